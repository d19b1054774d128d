// Adding, pooling and squaring rows.
namespace mendset::cpu::MENDSET_ISA {

static void rows_add(float* y, const float* x, int64_t n) { add_to(y, x, n); }

static void rows_add_two(float* y, const float* a, const float* b, int64_t n) {
  over_vectors(n, [&](auto lanes, int64_t i) { lanes.put(y + i, lanes.get(a + i) + lanes.get(b + i)); });
}

static void rows_scale(float* y, float factor, int64_t n) {
  over_vectors(n, [&](auto lanes, int64_t i) { lanes.put(y + i, lanes.get(y + i) * set1(factor)); });
}

static double rows_squares(const float* x, int64_t n) { return sum_of_squares(x, n); }

static void rows_mean_pool(const float* x, int64_t rows, int64_t width, bool normalize, double* sums, float* out) {
  for (int64_t c = 0; c < width; ++c) sums[c] = 0;
  for (int64_t t = 0; t < rows; ++t) {
    for (int64_t c = 0; c < width; ++c) sums[c] += static_cast<double>(x[t * width + c]);
  }
  double squares = 0;
  for (int64_t c = 0; c < width; ++c) {
    if (rows > 0) sums[c] /= static_cast<double>(rows);
    squares += sums[c] * sums[c];
  }
  const double length = std::sqrt(squares), divisor = !normalize ? 1 : length > 1e-12 ? length : 1e-12;
  for (int64_t c = 0; c < width; ++c) out[c] = static_cast<float>(sums[c] / divisor);
}

static void rows_norm_squares(const float* x, int64_t ld_x, const float* d_y, int64_t ld_y, const float* mean, const float* rstd,
                              int64_t rows, int64_t groups, int64_t width, float* sums, double* gain_square,
                              double* bias_square) {
  float* const gain = sums;
  float* const bias = sums + width;
  for (int64_t c = 0; c < 2 * width; ++c) sums[c] = 0;
  for (int64_t i = 0; i < rows * groups; ++i) {
    const int64_t t = i / groups, column = i % groups * width;
    const float *const x_at = x + t * ld_x + column, *const d_at = d_y + t * ld_y + column;
    const Vec middle = set1(mean ? mean[t] : 0.0f), factor = set1(rstd[i]);
    over_vectors(width, [&](auto lanes, int64_t c) {
      const Vec d = lanes.get(d_at + c);
      lanes.put(gain + c, fma((lanes.get(x_at + c) - middle) * factor, d, lanes.get(gain + c)));
      lanes.put(bias + c, lanes.get(bias + c) + d);
    });
  }
  if (gain_square) *gain_square += sum_of_squares(gain, width);
  if (bias_square) *bias_square += sum_of_squares(bias, width);
}

static double rows_tied_product(const float* columns, const float* hidden, const float* e, int64_t length, int64_t width,
                                float* scratch) {
  Sum64 sum;
  for (int64_t u = 0; u < length; u += kProductRows) {
    const int64_t rows = length - u < kProductRows ? length - u : kProductRows;
    small_product(rows, width, length, columns + u * length, length, 1, e, width, scratch, width, false);
    for (int64_t r = 0; r < rows; ++r) {
      over_vectors(width, [&](auto lanes, int64_t c) {
        sum.add_product(lanes.get(scratch + r * width + c), lanes.get(hidden + (u + r) * width + c));
      });
    }
  }
  return 2 * sum.total();
}

static const RowKernels row_kernels = {.add = rows_add,
                                       .add_two = rows_add_two,
                                       .widen = widen,
                                       .scale = rows_scale,
                                       .squares = rows_squares,
                                       .mean_pool = rows_mean_pool,
                                       .norm_squares = rows_norm_squares,
                                       .tied_product = rows_tied_product};

}  // namespace mendset::cpu::MENDSET_ISA
