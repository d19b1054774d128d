import type { MergeTable } from './merge-table.ts';

const longWord = 64;

/**
 * Applies merges to `symbols` in place, lowest rank first and leftmost among equals, and returns how many symbols remain.
 * Short words are scanned for each merge; long ones go through a heap, so that a run of n equal letters costs n log n.
 */
export function mergeSymbols(symbols: Int32Array, count: number, merges: MergeTable): number {
  return count > longWord ? mergeByHeap(symbols, count, merges) : mergeByScan(symbols, count, merges);
}

function mergeByScan(symbols: Int32Array, count: number, merges: MergeTable): number {
  const ranks: number[] = [];
  for (let i = 0; i + 1 < count; i++) ranks.push(merges.rank(symbols[i] as number, symbols[i + 1] as number));
  for (;;) {
    let best = -1;
    let bestRank = 0x7fffffff;
    for (let i = 0; i < ranks.length; i++) {
      const rank = ranks[i] as number;
      if (rank >= 0 && rank < bestRank) {
        best = i;
        bestRank = rank;
      }
    }
    if (best < 0) return count;
    symbols[best] = merges.mergedId(bestRank);
    symbols.copyWithin(best + 1, best + 2, count);
    count--;
    ranks.splice(best, 1);
    if (best > 0) ranks[best - 1] = merges.rank(symbols[best - 1] as number, symbols[best] as number);
    if (best < ranks.length) ranks[best] = merges.rank(symbols[best] as number, symbols[best + 1] as number);
  }
}

/** The heap holds rank * count + position; an entry is stale when the pair at its position has another rank by now. */
function mergeByHeap(symbols: Int32Array, count: number, merges: MergeTable): number {
  const next = new Int32Array(count);
  const previous = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    next[i] = i + 1 < count ? i + 1 : -1;
    previous[i] = i - 1;
  }
  const heap: number[] = [];
  const offer = (position: number): void => {
    const after = next[position] as number;
    if (after < 0) return;
    const rank = merges.rank(symbols[position] as number, symbols[after] as number);
    if (rank >= 0) heapPush(heap, rank * count + position);
  };
  for (let i = 0; i + 1 < count; i++) offer(i);

  while (heap.length > 0) {
    const entry = heapPop(heap);
    const position = entry % count;
    const after = next[position] as number;
    if (after < 0 || symbols[position] === -1) continue;
    const rank = Math.floor(entry / count);
    if (merges.rank(symbols[position] as number, symbols[after] as number) !== rank) continue;
    symbols[position] = merges.mergedId(rank);
    symbols[after] = -1;
    const beyond = next[after] as number;
    next[position] = beyond;
    if (beyond >= 0) previous[beyond] = position;
    next[after] = -1;
    if ((previous[position] as number) >= 0) offer(previous[position] as number);
    offer(position);
  }

  let kept = 0;
  for (let i = 0; i < count; i++) if (symbols[i] !== -1) symbols[kept++] = symbols[i] as number;
  return kept;
}

function heapPush(heap: number[], value: number): void {
  let at = heap.length;
  heap.push(value);
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if ((heap[parent] as number) <= value) break;
    heap[at] = heap[parent] as number;
    at = parent;
  }
  heap[at] = value;
}

function heapPop(heap: number[]): number {
  const top = heap[0] as number;
  const last = heap.pop() as number;
  const size = heap.length;
  if (size === 0) return top;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= size) break;
    if (child + 1 < size && (heap[child + 1] as number) < (heap[child] as number)) child++;
    if ((heap[child] as number) >= last) break;
    heap[at] = heap[child] as number;
    at = child;
  }
  heap[at] = last;
  return top;
}
