/**
 * The merges of a byte-level BPE: (left id, right id) -> (rank, merged id). Open addressing in typed arrays, several times faster
 * than a Map with number keys above 2^31.
 */
export class MergeTable {
  private readonly left: Int32Array;
  private readonly right: Int32Array;
  private readonly value: Int32Array;
  private readonly mask: number;
  /** [merges] id that the merge of a rank produces */
  private readonly merged: Int32Array;
  private count = 0;

  constructor(capacity: number) {
    let size = 16;
    while (size < capacity * 2) size *= 2;
    this.mask = size - 1;
    this.left = new Int32Array(size).fill(-1);
    this.right = new Int32Array(size);
    this.value = new Int32Array(size);
    this.merged = new Int32Array(capacity);
  }

  /** Adds the next merge; its rank is the number of earlier ones. A pair that is already there takes the new rank, as in the reference. */
  add(left: number, right: number, merged: number): void {
    const slot = this.slot(left, right);
    this.left[slot] = left;
    this.right[slot] = right;
    this.value[slot] = this.count;
    this.merged[this.count++] = merged;
  }

  /** Rank of a pair, -1 when it never merges. */
  rank(left: number, right: number): number {
    const slot = this.slot(left, right);
    return this.left[slot] === -1 ? -1 : (this.value[slot] as number);
  }

  mergedId(rank: number): number {
    return this.merged[rank] as number;
  }

  private slot(left: number, right: number): number {
    let slot = ((Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b)) >>> 7) & this.mask;
    while (this.left[slot] !== -1 && (this.left[slot] !== left || this.right[slot] !== right)) slot = (slot + 1) & this.mask;
    return slot;
  }
}
