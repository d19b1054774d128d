/** A reproducible matrix for benchmarks: clusters of equal size with heavy noise, or noise alone (clusters 0). Not for statistics. */
export function randomMatrix(rows, columns, { clusters = 0, seed = 1 } = {}) {
  let state = seed >>> 0 || 1;
  // the sum of two uniform numbers by xorshift32: quick, and close enough to a bell
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state & 0xffff) / 65536 + (state >>> 16) / 65536 - 1;
  };
  const centres = Float32Array.from({ length: clusters * columns }, next);
  const data = new Float32Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    const base = clusters === 0 ? -1 : (i % clusters) * columns;
    for (let p = 0; p < columns; p++) data[i * columns + p] = next() + (base < 0 ? 0 : centres[base + p]);
  }
  return { data, rows, columns };
}
