// Sums of rows by label and the fp64 statistics behind principal components.
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
constexpr int64_t kCovarianceRows = 1024;  // rows whose centred fp64 copy lies in scratch at a time
constexpr int64_t kMostTile64 = 4 * 16;

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
  MS_EXPECT(context, n >= 0 && k >= 0 && d >= 0);
  int64_t moved = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (before[i] == after[i]) continue;
    MS_EXPECT(context, before[i] >= -1 && before[i] < k && after[i] >= 0 && after[i] < k);
    ++moved;
    if (before[i] >= 0) --counts[before[i]];
    ++counts[after[i]];
  }
  if (moved == 0) return MS_OK;
  // Columns are shared out, so that every sum has one writer; the rows were just read and lie in the last-level cache.
  const int64_t width = std::clamp<int64_t>(blocks_of(d, 8 * 16) * 16, 16, 64);
  run_tasks(context, blocks_of(d, width), moved * d, [&](int64_t task, int) {
    const int64_t column = task * width;
    context.kernels.selection.move_rows(x + column, d, n, std::min(width, d - column), before, after, grid, sums + column, d);
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

int32_t cpu_covariance(ms_context* handle, const ms_covariance_args* args) {
  Context& context = context_of(handle);
  const auto& [n, d, x, mean, out] = *args;
  MS_EXPECT(context, n >= 2 && d >= 0);
  const ReduceKernels& kernels = context.kernels.reduce;
  const int64_t width = kernels.tile64_columns, panels = blocks_of(d, width), most_rows = std::min(n, kCovarianceRows);
  ScratchPlan plan;
  plan.add<double>(panels * width * most_rows);
  auto* const centred = reinterpret_cast<double*>(context.workspace.reserve(plan.bytes()));
  if (centred == nullptr) return context.fail(MS_OUT_OF_MEMORY, "no room for the scratch of a covariance");
  std::fill_n(out, d * d, 0.0);

  for (int64_t first = 0; first < n; first += kCovarianceRows) {
    const int64_t rows = std::min(kCovarianceRows, n - first);
    run_tasks(context, panels, rows * d, [&](int64_t panel, int) {
      const int64_t column = panel * width;
      kernels.centre_columns(x + first * d + column, d, rows, std::min(width, d - column), mean + column, centred + panel * width * rows);
    });
    run_tasks(context, panels, rows * d * d, [&](int64_t task, int) {
      const int64_t row_panel = panels - 1 - task;  // longest rows of the lower triangle first
      for (int64_t column_panel = 0; column_panel <= row_panel; ++column_panel) {
        for (int64_t group = 0; group < width && row_panel * width + group < d; group += 4) {
          const int64_t row = row_panel * width + group, column = column_panel * width;
          const int64_t rows_used = std::min<int64_t>(4, d - row), columns_used = std::min(width, d - column);
          alignas(64) double tile[kMostTile64] = {};
          for (int64_t r = 0; r < rows_used; ++r) std::copy_n(out + (row + r) * d + column, columns_used, tile + r * width);
          kernels.tile64(rows, centred + row_panel * width * rows + group, centred + column_panel * width * rows, tile);
          for (int64_t r = 0; r < rows_used; ++r) std::copy_n(tile + r * width, columns_used, out + (row + r) * d + column);
        }
      }
    });
  }
  for (int64_t p = 0; p < d; ++p) {
    for (int64_t q = 0; q <= p; ++q) out[p * d + q] = out[q * d + p] = out[p * d + q] / static_cast<double>(n - 1);
  }
  return MS_OK;
}

int32_t cpu_project(ms_context* handle, const ms_project_args* args) {
  Context& context = context_of(handle);
  const auto& [n, d, r, x, mean, components, y] = *args;
  MS_EXPECT(context, n >= 0 && d >= 0 && r >= 0);
  const ReduceKernels& kernels = context.kernels.reduce;
  const int64_t width = kernels.tile64_columns, component_panels = blocks_of(r, width), row_panels = blocks_of(n, width);
  ScratchPlan plan;
  const size_t components_at = plan.add<double>(component_panels * width * d);
  ScratchPlan worker_plan;
  worker_plan.add<double>(width * d);
  const size_t workers_at = plan.bytes();
  std::byte* const scratch = context.workspace.reserve(workers_at + worker_plan.bytes() * static_cast<size_t>(context.pool.threads()));
  if (scratch == nullptr) return context.fail(MS_OUT_OF_MEMORY, "no room for the scratch of a projection");
  auto* const packed = reinterpret_cast<double*>(scratch + components_at);  // [component panel][d][width]
  for (int64_t panel = 0; panel < component_panels; ++panel) {
    for (int64_t c = 0; c < d; ++c) {
      for (int64_t w = 0; w < width; ++w) {
        const int64_t component = panel * width + w;
        packed[(panel * d + c) * width + w] = component < r ? components[component * d + c] : 0.0;
      }
    }
  }
  run_tasks(context, row_panels, n * d * r, [&](int64_t panel, int worker) {
    auto* const rows = reinterpret_cast<double*>(scratch + workers_at + static_cast<size_t>(worker) * worker_plan.bytes());
    const int64_t row = panel * width, used = std::min(width, n - row);
    kernels.centre_rows(x + row * d, d, used, d, mean, rows);
    for (int64_t column_panel = 0; column_panel < component_panels; ++column_panel) {
      const int64_t column = column_panel * width, columns_used = std::min(width, r - column);
      for (int64_t group = 0; group < used; group += 4) {
        alignas(64) double tile[kMostTile64] = {};
        kernels.tile64(d, rows + group, packed + column_panel * width * d, tile);
        for (int64_t i = group; i < std::min(group + 4, used); ++i) {
          for (int64_t c = 0; c < columns_used; ++c) y[(row + i) * r + column + c] = static_cast<float>(tile[(i - group) * width + c]);
        }
      }
    }
  });
  return MS_OK;
}

}  // namespace mendset
