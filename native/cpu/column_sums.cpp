#include "cpu/column_sums.h"

#include <algorithm>

#include "cpu/kernels.h"
#include "cpu/partition.h"

namespace mendset::cpu {
namespace {
constexpr int64_t kRowBlock = 2048;
constexpr int64_t kColumnBlock = 256;
}  // namespace

int64_t column_sums_scratch(int64_t rows, int64_t columns) { return std::max<int64_t>(1, blocks_of(rows, kRowBlock)) * columns; }

void column_sums(Context& context, const float* x, int64_t ld, int64_t rows, int64_t columns, double* sums, double* scratch) {
  const int64_t row_blocks = blocks_of(rows, kRowBlock), column_blocks = blocks_of(columns, kColumnBlock);
  run_tasks(context, row_blocks * column_blocks, rows * columns, [&](int64_t task, int) {
    const int64_t block = task / column_blocks, column = task % column_blocks * kColumnBlock, row = block * kRowBlock;
    context.kernels.reduce.column_sums(x + row * ld + column, ld, std::min(kRowBlock, rows - row), std::min(kColumnBlock, columns - column),
                                       scratch + block * columns + column);
  });
  std::fill_n(sums, columns, 0.0);
  for (int64_t block = 0; block < row_blocks; ++block) {
    for (int64_t c = 0; c < columns; ++c) sums[c] += scratch[block * columns + c];
  }
}

}  // namespace mendset::cpu
