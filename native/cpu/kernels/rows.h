// Kernels on arrays and rows: adding, filling, summing, pooling.
#pragma once

#include <cstdint>

namespace mendset::cpu {

struct RowKernels {
  void (*add)(float* y, const float* x, int64_t n);                      // y += x
  void (*add_two)(float* y, const float* a, const float* b, int64_t n);  // y = a + b
  void (*widen)(float* y, const uint16_t* x, int32_t type, int64_t n);   // y = x of MS_TYPE_BF16 or MS_TYPE_F16
  void (*scale)(float* y, float factor, int64_t n);                      // y *= factor
  double (*squares)(const float* x, int64_t n);                          // sum of x^2, fp64
  // mean of `rows` rows of x, divided by max(|mean|, 1e-12) when normalize; sums [width] is scratch
  void (*mean_pool)(const float* x, int64_t rows, int64_t width, bool normalize, double* sums, float* out);
  // sums [2, width] is scratch; adds |sum xhat o d_y|^2 and |sum d_y|^2 over rows and their `groups` stretches of width columns
  // (nullable); rstd [rows, groups]
  void (*norm_squares)(const float* x, int64_t ld_x, const float* d_y, int64_t ld_y, const float* mean, const float* rstd,
                       int64_t rows, int64_t groups, int64_t width, float* sums, double* gain_square, double* bias_square);
  // 2 sum_{u,t} columns[u, t] (hidden_u . e_t) over one sample; scratch [4, width]
  double (*tied_product)(const float* columns, const float* hidden, const float* e, int64_t length, int64_t width,
                         float* scratch);
};

}  // namespace mendset::cpu
