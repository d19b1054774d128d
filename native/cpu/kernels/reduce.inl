namespace mendset::cpu::MENDSET_ISA {
namespace reduce {

inline constexpr int kDoubles = kLanes / 2;

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

static void centre_columns(const float* x, int64_t ld, int64_t rows, int64_t columns_used, const double* mean, double* panel) {
  for (int64_t p = 0; p < rows; ++p) {
    for (int64_t w = 0; w < kLanes; ++w) panel[p * kLanes + w] = w < columns_used ? static_cast<double>(x[p * ld + w]) - mean[w] : 0.0;
  }
}

static void centre_rows(const float* x, int64_t ld, int64_t rows_used, int64_t columns, const double* mean, double* panel) {
  for (int64_t w = 0; w < kLanes; ++w) {
    for (int64_t p = 0; p < columns; ++p) panel[p * kLanes + w] = w < rows_used ? static_cast<double>(x[w * ld + p]) - mean[p] : 0.0;
  }
}

static void tile64(int64_t depth, const double* a, const double* b, double* tile) {
  Doubles sum[4][2];
  std::memcpy(sum, tile, sizeof sum);
  for (int64_t p = 0; p < depth; ++p, a += kLanes, b += kLanes) {
    Doubles left, right;
    std::memcpy(&left, b, sizeof left);
    std::memcpy(&right, b + kDoubles, sizeof right);
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r) {
      const Doubles factor = Doubles{} + a[r];
      sum[r][0] = fma(factor, left, sum[r][0]);
      sum[r][1] = fma(factor, right, sum[r][1]);
    }
  }
  std::memcpy(tile, sum, sizeof sum);
}

static constexpr ReduceKernels kernels = {
    .column_sums = column_sums,
    .largest_magnitude = largest_magnitude,
    .add_by_label = add_by_label,
    .tile64_columns = kLanes,
    .centre_columns = centre_columns,
    .centre_rows = centre_rows,
    .tile64 = tile64,
};

}  // namespace reduce
}  // namespace mendset::cpu::MENDSET_ISA
