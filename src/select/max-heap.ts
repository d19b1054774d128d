/** A binary heap over records 0 .. n-1 by (highest value, lowest index), whose values may change while they are in it. */
export class MaxHeap {
  readonly #values: Float64Array;
  /** heap order -> record */
  readonly #records: Int32Array;
  /** record -> place in heap order, -1 once popped */
  readonly #places: Int32Array;
  #size: number;

  /** @param values copied */
  constructor(values: Float64Array) {
    this.#values = values.slice();
    this.#size = values.length;
    this.#records = Int32Array.from({ length: this.#size }, (_, i) => i);
    this.#places = this.#records.slice();
    for (let place = (this.#size >> 1) - 1; place >= 0; place--) this.#sink(place);
  }

  get size(): number {
    return this.#size;
  }

  /** The current value of a record, popped or not. */
  value(record: number): number {
    return this.#values[record] as number;
  }

  /** Removes and returns the record with the highest value; -1 when none is left. */
  pop(): number {
    if (this.#size === 0) return -1;
    const top = this.#records[0] as number;
    const last = this.#records[--this.#size] as number;
    this.#places[top] = -1;
    if (this.#size > 0) {
      this.#put(last, 0);
      this.#sink(0);
    }
    return top;
  }

  /** Changes a record's value; without effect on the order once it was popped. */
  change(record: number, value: number): void {
    this.#values[record] = value;
    const place = this.#places[record] as number;
    if (place < 0) return;
    this.#rise(place);
    this.#sink(this.#places[record] as number);
  }

  #before(a: number, b: number): boolean {
    const [x, y] = [this.#values[a] as number, this.#values[b] as number];
    return x > y || (x === y && a < b);
  }

  #put(record: number, place: number): void {
    this.#records[place] = record;
    this.#places[record] = place;
  }

  #rise(from: number): void {
    const record = this.#records[from] as number;
    let place = from;
    while (place > 0) {
      const parent = this.#records[(place - 1) >> 1] as number;
      if (!this.#before(record, parent)) break;
      this.#put(parent, place);
      place = (place - 1) >> 1;
    }
    this.#put(record, place);
  }

  #sink(from: number): void {
    const record = this.#records[from] as number;
    let place = from;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= this.#size) break;
      if (child + 1 < this.#size && this.#before(this.#records[child + 1] as number, this.#records[child] as number)) child++;
      if (!this.#before(this.#records[child] as number, record)) break;
      this.#put(this.#records[child] as number, place);
      place = child;
    }
    this.#put(record, place);
  }
}
