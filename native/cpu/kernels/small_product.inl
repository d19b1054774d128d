// Products of small matrices that already lie in the first or second level cache.
namespace mendset::cpu::MENDSET_ISA {

inline constexpr int64_t kProductRows = 4;

// c[r][j] (+)= sum_k a[r * a_row + k * a_column] b[k * ld_b + j], r < R, j < n
template <int R>
MS_INLINE void product_rows(int64_t n, int64_t depth, const float* a, int64_t a_row, int64_t a_column, const float* b,
                            int64_t ld_b, float* c, int64_t ld_c, bool accumulate) {
  int64_t j = 0;
  for (; j + 2 * kLanes <= n; j += 2 * kLanes) {
    Vec sum[R][2];
    for (int r = 0; r < R; ++r) {
      sum[r][0] = accumulate ? load(c + r * ld_c + j) : zero();
      sum[r][1] = accumulate ? load(c + r * ld_c + j + kLanes) : zero();
    }
    for (int64_t k = 0; k < depth; ++k) {
      const Vec b0 = load(b + k * ld_b + j), b1 = load(b + k * ld_b + j + kLanes);
      for (int r = 0; r < R; ++r) {
        const Vec factor = set1(a[r * a_row + k * a_column]);
        sum[r][0] = fma(factor, b0, sum[r][0]);
        sum[r][1] = fma(factor, b1, sum[r][1]);
      }
    }
    for (int r = 0; r < R; ++r) {
      store(c + r * ld_c + j, sum[r][0]);
      store(c + r * ld_c + j + kLanes, sum[r][1]);
    }
  }
  over_vectors(n - j, [&](auto lanes, int64_t i) {
    Vec sum[R];
    for (int r = 0; r < R; ++r) sum[r] = accumulate ? lanes.get(c + r * ld_c + j + i) : zero();
    for (int64_t k = 0; k < depth; ++k) {
      const Vec b0 = lanes.get(b + k * ld_b + j + i);
      for (int r = 0; r < R; ++r) sum[r] = fma(set1(a[r * a_row + k * a_column]), b0, sum[r]);
    }
    for (int r = 0; r < R; ++r) lanes.put(c + r * ld_c + j + i, sum[r]);
  });
}

// The same for any number of rows.
static void small_product(int64_t rows, int64_t n, int64_t depth, const float* a, int64_t a_row, int64_t a_column, const float* b,
                          int64_t ld_b, float* c, int64_t ld_c, bool accumulate) {
  int64_t r = 0;
  for (; r + kProductRows <= rows; r += kProductRows) {
    product_rows<kProductRows>(n, depth, a + r * a_row, a_row, a_column, b, ld_b, c + r * ld_c, ld_c, accumulate);
  }
  for (; r < rows; ++r) product_rows<1>(n, depth, a + r * a_row, a_row, a_column, b, ld_b, c + r * ld_c, ld_c, accumulate);
}

}  // namespace mendset::cpu::MENDSET_ISA
