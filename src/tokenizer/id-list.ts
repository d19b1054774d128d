/** A list of ids that grows; one array is filled and copied once. */
export class IdList {
  length = 0;
  private ids: Int32Array;

  constructor(expected: number) {
    this.ids = new Int32Array(Math.max(16, expected));
  }

  append(id: number): void {
    if (this.length === this.ids.length) this.grow(this.length + 1);
    this.ids[this.length++] = id;
  }

  appendAll(more: ArrayLike<number>): void {
    if (this.length + more.length > this.ids.length) this.grow(this.length + more.length);
    for (let i = 0; i < more.length; i++) this.ids[this.length++] = more[i] as number;
  }

  /** Of everything from `start` on keeps so many ids: the first, or with `last` the last ones. */
  keep(start: number, count: number, last: boolean): void {
    if (last) this.ids.copyWithin(start, this.length - count, this.length);
    this.length = start + count;
  }

  /** Moves what is there to the end of `length` places and fills those before it. */
  fillBefore(length: number, id: number): void {
    if (length > this.ids.length) this.grow(length);
    const by = length - this.length;
    this.ids.copyWithin(by, 0, this.length);
    this.ids.fill(id, 0, by);
    this.length = length;
  }

  toArray(): Int32Array {
    return this.ids.slice(0, this.length);
  }

  private grow(least: number): void {
    const grown = new Int32Array(Math.max(this.ids.length * 2, least));
    grown.set(this.ids.subarray(0, this.length));
    this.ids = grown;
  }
}
