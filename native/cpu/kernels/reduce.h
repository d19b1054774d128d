// Reductions in fp64 over rows of a matrix.
#pragma once

#include <cstdint>

namespace mendset::cpu {

struct ReduceKernels {
  // sums[c] = sum over rows of x[r, c], ascending rows
  void (*column_sums)(const float* x, int64_t ld, int64_t rows, int64_t columns, double* sums);
  double (*largest_magnitude)(const float* x, int64_t count);
  // sums[labels[r] * ld_sums + c] += x[r, c] rounded to a multiple of 2^-52 `grid` (see label_sums); ld is x's
  void (*add_by_label)(const float* x, int64_t ld, int64_t rows, int64_t columns, const int32_t* labels, double grid, double* sums, int64_t ld_sums);

  // out[r, c] = (x[r, c] - shift[c]) - rest[c], zeros for c >= columns; ld is that of out
  void (*centre)(const float* x, int64_t rows, int64_t columns, const float* shift, const float* rest, float* out, int64_t ld);
  void (*add_tile)(const float* tile, int64_t count, double* sums);  // sums[i] += tile[i]
};

}  // namespace mendset::cpu
