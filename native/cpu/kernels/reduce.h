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

  // fp64 products: a tile of 4 rows by tile64_columns columns. Panels are [depth][tile64_columns]; `a` points at one of a panel's groups of four.
  int64_t tile64_columns;
  // panel[p][w] = source(w, p) - mean: w a column of x and p a row ...
  void (*centre_columns)(const float* x, int64_t ld, int64_t rows, int64_t columns_used, const double* mean, double* panel);
  // ... or w a row of x and p a column.
  void (*centre_rows)(const float* x, int64_t ld, int64_t rows_used, int64_t columns, const double* mean, double* panel);
  // tile[4][tile64_columns] += a b, ascending depth
  void (*tile64)(int64_t depth, const double* a, const double* b, double* tile);
};

}  // namespace mendset::cpu
