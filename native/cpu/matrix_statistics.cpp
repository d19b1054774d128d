// Sums of rows by label, distances to centroids, and column means, in fp64.
#include <algorithm>
#include <cmath>

#include "cpu/column_sums.h"
#include "cpu/cpu_operations.h"
#include "cpu/kernels.h"
#include "cpu/partition.h"

namespace mendset {
namespace {

using namespace cpu;

constexpr int64_t kMagnitudeBlock = 1 << 16;
constexpr int64_t kMostOwnSums = 4096;  // numbers: 32 KiB for each worker

// A power of two that is at least `value` (value > 0).
int exponent_above(double value) {
  int exponent;
  const double fraction = std::frexp(value, &exponent);  // value = fraction 2^exponent, 0.5 <= fraction < 1
  return fraction == 0.5 ? exponent - 1 : exponent;
}

}  // namespace

// Order-free sums: with |x| <= 2^m and n <= 2^q every coordinate is rounded to a multiple of h = 2^(m+q-52), by adding and subtracting
// 1.5 2^52 h; then all partial sums are multiples of h below 2^53 h, hence exact.
int32_t cpu_label_sums(ms_context* handle, const ms_label_sums_args* args) {
  Context& context = context_of(handle);
  const auto& [n, k, d, x, labels, sums, counts] = *args;
  MS_EXPECT(context, n >= 0 && k >= 0 && d >= 0);
  std::fill_n(counts, k, int64_t{0});
  for (int64_t i = 0; i < n; ++i) {
    MS_EXPECT(context, labels[i] >= 0 && labels[i] < k);
    ++counts[labels[i]];
  }
  const int64_t blocks = blocks_of(n * d, kMagnitudeBlock);
  ScratchPlan plan;
  plan.add<double>(blocks);
  auto* const magnitudes = reinterpret_cast<double*>(context.workspace.reserve(plan.bytes()));
  if (magnitudes == nullptr) return context.fail(MS_OUT_OF_MEMORY, "no room for the scratch of label sums");
  run_tasks(context, blocks, n * d, [&](int64_t block, int) {
    const int64_t first = block * kMagnitudeBlock;
    magnitudes[block] = context.kernels.reduce.largest_magnitude(x + first, std::min(kMagnitudeBlock, n * d - first));
  });
  const double magnitude = blocks > 0 ? *std::max_element(magnitudes, magnitudes + blocks) : 0.0;
  const double grid = magnitude > 0 ? std::ldexp(1.5, exponent_above(magnitude) + exponent_above(static_cast<double>(n))) : 0.0;

  const int64_t width = std::clamp<int64_t>(blocks_of(d, 8 * 16) * 16, 16, 64);  // columns of a task
  run_tasks(context, blocks_of(d, width), n * d + k * d, [&](int64_t task, int) {
    const int64_t column = task * width, columns = std::min(width, d - column);
    for (int64_t j = 0; j < k; ++j) std::fill_n(sums + j * d + column, columns, 0.0);
    context.kernels.reduce.add_by_label(x + column, d, n, columns, labels, grid, sums + column, d);
  });
  return MS_OK;
}

// Sums on the grid are exact in any order: many moves are shared out by rows, every worker with sums of its own; where those would cost more than
// the moves, by columns.
int32_t cpu_move_rows(ms_context* handle, const ms_move_rows_args* args) {
  Context& context = context_of(handle);
  const auto& [n, k, d, x, before, after, grid, sums, counts] = *args;
  MS_EXPECT(context, n >= 0 && n <= INT32_MAX && k >= 0 && d >= 0);
  const int64_t threads = context.pool.threads();
  const bool few_sums = threads > 1 && n >= 8 * k && k * d <= kMostOwnSums;
  ScratchPlan plan;
  plan.add<int32_t>(n);
  const size_t own_at = plan.add<double>(few_sums ? threads * k * d : 0);
  std::byte* const scratch = context.workspace.reserve(plan.bytes());
  if (scratch == nullptr) return context.fail(MS_OUT_OF_MEMORY, "no room for the list of moved rows");
  auto* const moved = reinterpret_cast<int32_t*>(scratch);
  const int64_t count = context.kernels.selection.changed(before, after, n, moved);
  for (int64_t i = 0; i < count; ++i) {
    const int32_t from = before[moved[i]], to = after[moved[i]];
    MS_EXPECT(context, from >= -1 && from < k && to >= 0 && to < k);
    if (from >= 0) --counts[from];
    ++counts[to];
  }
  if (count == 0) return MS_OK;
  constexpr int64_t kCostOfMove = 8;  // operations: a number is taken from one sum and added to another
  const auto move = context.kernels.selection.move_rows;
  if (few_sums && count >= 8 * k) {
    auto* const own = reinterpret_cast<double*>(scratch + own_at);
    run_tasks(context, threads, count * d * kCostOfMove, [&](int64_t task, int) {
      const int64_t first = count * task / threads, last = count * (task + 1) / threads;
      double* const to = own + task * k * d;
      std::fill_n(to, k * d, 0.0);
      move(x, d, moved + first, last - first, d, before, after, grid, to, d);
    });
    for (int64_t task = 0; task < threads; ++task) {
      for (int64_t i = 0; i < k * d; ++i) sums[i] += own[task * k * d + i];
    }
    return MS_OK;
  }
  // Every sum has one writer: as many columns at once as leave all threads some, for few long reads of a row.
  const int64_t width = std::clamp<int64_t>(blocks_of(d, threads * 16) * 16, 32, 256);
  run_tasks(context, blocks_of(d, width), count * d * kCostOfMove, [&](int64_t task, int) {
    const int64_t column = task * width;
    move(x + column, d, moved, count, std::min(width, d - column), before, after, grid, sums + column, d);
  });
  return MS_OK;
}

int32_t cpu_label_distances(ms_context* handle, const ms_label_distances_args* args) {
  Context& context = context_of(handle);
  const auto& [n, d, x, centroids, labels, squares] = *args;
  MS_EXPECT(context, n >= 0 && d >= 0);
  constexpr int64_t kRows = 256;
  run_tasks(context, blocks_of(n, kRows), n * d, [&](int64_t task, int) {
    const int64_t row = task * kRows;
    context.kernels.selection.label_distances(x + row * d, std::min(kRows, n - row), d, centroids, centroids != nullptr ? labels + row : nullptr, squares + row);
  });
  return MS_OK;
}

int32_t cpu_column_means(ms_context* handle, const ms_column_means_args* args) {
  Context& context = context_of(handle);
  const auto& [n, d, x, mean] = *args;
  MS_EXPECT(context, n >= 0 && d >= 0);
  ScratchPlan plan;
  plan.add<double>(column_sums_scratch(n, d));
  auto* const scratch = reinterpret_cast<double*>(context.workspace.reserve(plan.bytes()));
  if (scratch == nullptr) return context.fail(MS_OUT_OF_MEMORY, "no room for the scratch of column means");
  column_sums(context, x, d, n, d, mean, scratch);
  for (int64_t c = 0; c < d && n > 0; ++c) mean[c] /= static_cast<double>(n);
  return MS_OK;
}

}  // namespace mendset
