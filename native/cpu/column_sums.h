// Sums of columns in fp64: ascending rows within blocks of a fixed number of rows, blocks added in ascending order.
#pragma once

#include "cpu/context.h"

namespace mendset::cpu {

int64_t column_sums_scratch(int64_t rows, int64_t columns);  // doubles
void column_sums(Context& context, const float* x, int64_t ld, int64_t rows, int64_t columns, double* sums, double* scratch);

}  // namespace mendset::cpu
