// Sums over rows in a fixed order.
#pragma once

#include "cuda/context.h"

namespace mendset::cuda {

constexpr int64_t kColumnSumRows = 512;  // of one partial sum
inline int64_t column_sum_partials(int64_t rows, int64_t columns) { return ceil_div<int64_t>(rows, kColumnSumRows) * columns; }

// out = beta * out + column sums of x; beta 0 does not read out. partials: column_sum_partials numbers.
int32_t column_sums(Context& context, int64_t rows, int64_t columns, const float* x, int64_t ld, float* partials, float beta, float* out);

// The same from partial sums [shares, columns] made elsewhere.
int32_t column_sums_final(Context& context, int64_t shares, int64_t columns, const float* partials, float beta, float* out);

}  // namespace mendset::cuda
