// Sums of rows by label, distances to centroids, and column means, in fp64.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "cpu/column_sums.h"
#include "cpu/cpu_operations.h"
#include "cpu/kernels.h"
#include "cpu/partition.h"

namespace mendset {
namespace {

using namespace cpu;

constexpr int64_t kMagnitudeBlock = 1 << 16;

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

int32_t cpu_move_rows(ms_context* handle, const ms_move_rows_args* args) {
  Context& context = context_of(handle);
  const auto& [n, k, d, x, before, after, grid, sums, counts] = *args;
  MS_EXPECT(context, n >= 0 && n <= INT32_MAX && k >= 0 && d >= 0);
  ScratchPlan plan;
  plan.add<int32_t>(n);
  auto* const moved = reinterpret_cast<int32_t*>(context.workspace.reserve(plan.bytes()));
  if (moved == nullptr) return context.fail(MS_OUT_OF_MEMORY, "no room for the list of moved rows");
  int64_t count = 0;
  constexpr int64_t kAtOnce = 16;
  for (int64_t i = 0; i < n; ++i) {
    if (i % kAtOnce == 0) {
      while (i + kAtOnce <= n && std::memcmp(before + i, after + i, kAtOnce * sizeof(int32_t)) == 0) i += kAtOnce;
      if (i == n) break;
    }
    if (before[i] == after[i]) continue;
    MS_EXPECT(context, before[i] >= -1 && before[i] < k && after[i] >= 0 && after[i] < k);
    moved[count++] = static_cast<int32_t>(i);
    if (before[i] >= 0) --counts[before[i]];
    ++counts[after[i]];
  }
  if (count == 0) return MS_OK;
  // Columns are shared out, so that every sum has one writer: as many at once as leave all threads some, for few long reads of a row.
  const int64_t width = std::clamp<int64_t>(blocks_of(d, context.pool.threads() * 16) * 16, 32, 256);
  run_tasks(context, blocks_of(d, width), count * d, [&](int64_t task, int) {
    const int64_t column = task * width;
    context.kernels.selection.move_rows(x + column, d, moved, count, std::min(width, d - column), before, after, grid, sums + column, d);
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
