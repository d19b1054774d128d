// fp64 linear algebra on small dense matrices. Sums run by columns of equal remainder modulo 8 and are added in one order: the same bits on
// every instruction set.
#pragma once

#include <cstdint>

namespace mendset::cpu {

struct DenseKernels {
  double (*dot)(const double* a, const double* b, int64_t n);
  double (*sum)(const float* x, int64_t n);
  double (*sum_of_least)(const float* x, const float* y, int64_t n);  // of min(x, y), in the order of `sum`
  // The largest |x| as the bits of a float, which are ordered as magnitudes are: at least those of infinity where a number is not finite.
  int32_t (*largest_bits)(const float* x, int64_t n);
  void (*subtract)(double share, const double* from, double* to, int64_t n);  // to -= share from
  // The block of a [size, size] that begins at row and column `first`: a -= v w^T + w v^T, then products[i] = row i . u over that block. v, w, u and
  // products are indexed as rows of a are; v, w and u are 0 from the multiple of 8 at or below `first` up to it.
  void (*update_and_multiply)(double* a, int64_t size, int64_t first, const double* v, const double* w, const double* u, double* products);
  // below[i] = eigenvalues less than shifts[i] of the symmetric tridiagonal matrix with this diagonal [n] and these squares [n - 1] of what
  // stands beside it; pivots of less than `smallest` count as negative ones of that size.
  void (*count_below)(const double* diagonal, const double* squares, int64_t n, double smallest, const double* shifts, int64_t count, int64_t* below);
};

}  // namespace mendset::cpu
