namespace mendset::cpu::MENDSET_ISA {
namespace reduce {

static void column_sums(const float* x, int64_t ld, int64_t rows, int64_t columns, double* sums) {
  std::fill_n(sums, columns, 0.0);
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4, x += 4 * ld) {
    const float *a = x, *b = x + ld, *c = x + 2 * ld, *d = x + 3 * ld;
    for (int64_t i = 0; i < columns; ++i) {
      sums[i] = (((sums[i] + static_cast<double>(a[i])) + static_cast<double>(b[i])) + static_cast<double>(c[i])) + static_cast<double>(d[i]);
    }
  }
  for (; r < rows; ++r, x += ld) {
    for (int64_t i = 0; i < columns; ++i) sums[i] += static_cast<double>(x[i]);
  }
}

static double largest_magnitude(const float* x, int64_t count) {
  Vec largest = zero();
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) largest = max(largest, abs(load(x + i)));
  largest = max(largest, abs(load_partial(x + i, count - i)));
  return static_cast<double>(reduce_max(largest));
}

static void add_by_label(const float* x, int64_t ld, int64_t rows, int64_t columns, const int32_t* labels, double grid, double* sums, int64_t ld_sums) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* const row = x + r * ld;
    double* const sum = sums + labels[r] * ld_sums;
    for (int64_t c = 0; c < columns; ++c) sum[c] += (static_cast<double>(row[c]) + grid) - grid;
  }
}

static void centre(const float* x, int64_t rows, int64_t columns, const float* shift, const float* rest, float* out, int64_t ld) {
  for (int64_t r = 0; r < rows; ++r, x += columns, out += ld) {
    for (int64_t c = 0; c < columns; ++c) out[c] = (x[c] - shift[c]) - rest[c];
    for (int64_t c = columns; c < ld; ++c) out[c] = 0;
  }
}

static void add_tile(const float* tile, int64_t count, double* sums) {
  for (int64_t i = 0; i < count; ++i) sums[i] += static_cast<double>(tile[i]);
}

static constexpr ReduceKernels kernels = {
    .column_sums = column_sums,
    .largest_magnitude = largest_magnitude,
    .add_by_label = add_by_label,
    .centre = centre,
    .add_tile = add_tile,
};

}  // namespace reduce
}  // namespace mendset::cpu::MENDSET_ISA
