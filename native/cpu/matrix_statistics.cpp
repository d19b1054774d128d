// Sums of rows by label and the fp64 statistics behind principal components.
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
constexpr int64_t kCovarianceRows = 512;  // rows whose centred copy lies in scratch at a time
constexpr int64_t kProductRows = 128;     // products summed in fp32 before fp64 takes over

// A power of two that is at least `value` (value > 0).
int exponent_above(double value) {
  int exponent;
  const double fraction = std::frexp(value, &exponent);  // value = fraction 2^exponent, 0.5 <= fraction < 1
  return fraction == 0.5 ? exponent - 1 : exponent;
}

// mean = shift + rest: x - shift is nearly exact where x is near the mean.
void split_mean(const double* mean, int64_t d, float* shift, float* rest) {
  for (int64_t p = 0; p < d; ++p) {
    shift[p] = static_cast<float>(mean[p]);
    rest[p] = static_cast<float>(mean[p] - static_cast<double>(shift[p]));
  }
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
  // Columns are shared out, so that every sum has one writer; the rows were just read and lie in the last-level cache.
  const int64_t width = std::clamp<int64_t>(blocks_of(d, 8 * 16) * 16, 16, 64);
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

// Products of blocks of kProductRows rows are canonical fp32 chains, their sums fp64: an entry errs by at most (gamma(kProductRows) + 8 u)
// sqrt(c_pp c_qq), the 8 u for rows that are centred in fp32, and its bits are the same on every instruction set.
int32_t cpu_covariance(ms_context* handle, const ms_covariance_args* args) {
  Context& context = context_of(handle);
  const auto& [n, d, x, mean, out] = *args;
  MS_EXPECT(context, n >= 2 && d >= 0);
  const GemmKernels& gemm = context.kernels.gemm;
  const int64_t row_panels = blocks_of(d, gemm.rows), ld = blocks_of(d, gemm.columns) * gemm.columns, most_rows = std::min(n, kCovarianceRows);
  ScratchPlan plan;
  const size_t shift_at = plan.add<float>(d), rest_at = plan.add<float>(d), centred_at = plan.add<float>(ld * most_rows), packed_at = plan.add<float>(row_panels * gemm.rows * blocks_of(most_rows, kProductRows) * kProductRows),
               largest_at = plan.add<float>(blocks_of(most_rows, kProductRows));
  std::byte* const scratch = context.workspace.reserve(plan.bytes());
  if (scratch == nullptr) return context.fail(MS_OUT_OF_MEMORY, "no room for the scratch of a covariance");
  auto* const shift = reinterpret_cast<float*>(scratch + shift_at);
  auto* const rest = reinterpret_cast<float*>(scratch + rest_at);
  auto* const centred = reinterpret_cast<float*>(scratch + centred_at);
  auto* const packed = reinterpret_cast<float*>(scratch + packed_at);
  auto* const largest = reinterpret_cast<float*>(scratch + largest_at);
  split_mean(mean, d, shift, rest);
  std::fill_n(out, d * d, 0.0);

  for (int64_t first = 0; first < n; first += kCovarianceRows) {
    const int64_t rows = std::min(kCovarianceRows, n - first), blocks = blocks_of(rows, kProductRows);
    const auto rows_of = [&](int64_t block) { return std::min(kProductRows, rows - block * kProductRows); };
    run_tasks(context, blocks, rows * d, [&](int64_t block, int) {
      float* const to = centred + block * kProductRows * ld;
      context.kernels.reduce.centre(x + (first + block * kProductRows) * d, rows_of(block), d, shift, rest, to, ld);
      largest[block] = static_cast<float>(context.kernels.reduce.largest_magnitude(to, rows_of(block) * ld));
    });
    // Far from 1 squares could overflow or vanish: such rows are scaled by a power of two.
    const float magnitude = *std::max_element(largest, largest + blocks);
    const bool scaled = magnitude > 0 && (magnitude > 0x1p50f || magnitude < 0x1p-20f);
    const int exponent = scaled ? exponent_above(static_cast<double>(magnitude)) : 0;
    const double unit = std::ldexp(1.0, 2 * exponent);
    run_tasks(context, blocks, rows * d, [&](int64_t block, int) {
      float* const from = centred + block * kProductRows * ld;
      for (int64_t i = 0; scaled && i < rows_of(block) * ld; ++i) from[i] = std::ldexp(from[i], -exponent);
      for (int64_t panel = 0; panel < row_panels; ++panel) {
        gemm.pack(packed + (block * row_panels + panel) * gemm.rows * kProductRows, gemm.rows, from + panel * gemm.rows, ld, false, std::min(gemm.rows, d - panel * gemm.rows), rows_of(block), MS_ACTIVATION_NONE);
      }
    });
    run_tasks(context, row_panels, rows * d * d, [&](int64_t task, int) {
      const int64_t panel = row_panels - 1 - task, row = panel * gemm.rows, rows_used = std::min(gemm.rows, d - row);  // longest rows of the lower triangle first
      alignas(64) float tile[kMostTileElements];
      alignas(64) double sums[kMostTileElements];
      for (int64_t column = 0; column < row + rows_used; column += gemm.columns) {
        const int64_t columns_used = std::min(gemm.columns, d - column);
        std::fill_n(sums, gemm.rows * gemm.columns, 0.0);
        for (int64_t block = 0; block < blocks; ++block) {
          gemm.tile_exact(rows_of(block), packed + (block * row_panels + panel) * gemm.rows * kProductRows, centred + block * kProductRows * ld + column, ld, tile, false, rows_used);
          context.kernels.reduce.add_tile(tile, rows_used * gemm.columns, sums);
        }
        for (int64_t r = 0; r < rows_used; ++r) {
          for (int64_t c = 0; c < columns_used; ++c) out[(row + r) * d + column + c] += unit * sums[r * gemm.columns + c];
        }
      }
    });
  }
  constexpr int64_t kMirror = 32;  // columns and rows of a block that is written to both sides of the diagonal
  run_tasks(context, blocks_of(d, kMirror), d * d, [&](int64_t block, int) {
    const int64_t last = std::min(d, (block + 1) * kMirror);
    for (int64_t column = 0; column < last; column += kMirror) {
      for (int64_t p = block * kMirror; p < last; ++p) {
        for (int64_t q = column; q < std::min(column + kMirror, p + 1); ++q) out[p * d + q] = out[q * d + p] = out[p * d + q] / static_cast<double>(n - 1);
      }
    }
  });
  return MS_OK;
}

// The same for projections: blocks of kProductRows columns.
int32_t cpu_project(ms_context* handle, const ms_project_args* args) {
  Context& context = context_of(handle);
  const auto& [n, d, r, x, mean, components, y] = *args;
  MS_EXPECT(context, n >= 0 && d >= 0 && r >= 0);
  const GemmKernels& gemm = context.kernels.gemm;
  const int64_t component_panels = blocks_of(r, gemm.rows), row_panels = blocks_of(n, gemm.columns), task_panels = std::max<int64_t>(1, 256 / gemm.columns);
  ScratchPlan plan;
  const size_t shift_at = plan.add<float>(d), rest_at = plan.add<float>(d), rounded_at = plan.add<float>(r * d), components_at = plan.add<float>(component_panels * gemm.rows * d);
  ScratchPlan worker_plan;
  worker_plan.add<float>(gemm.columns * d);
  const size_t workers_at = plan.bytes();
  std::byte* const scratch = context.workspace.reserve(workers_at + worker_plan.bytes() * static_cast<size_t>(context.pool.threads()));
  if (scratch == nullptr) return context.fail(MS_OUT_OF_MEMORY, "no room for the scratch of a projection");
  auto* const shift = reinterpret_cast<float*>(scratch + shift_at);
  auto* const rest = reinterpret_cast<float*>(scratch + rest_at);
  auto* const rounded = reinterpret_cast<float*>(scratch + rounded_at);
  auto* const packed = reinterpret_cast<float*>(scratch + components_at);  // [component panel][d][rows of a tile]
  split_mean(mean, d, shift, rest);
  for (int64_t i = 0; i < r * d; ++i) rounded[i] = static_cast<float>(components[i]);
  for (int64_t panel = 0; panel < component_panels; ++panel) {
    const int64_t first = panel * gemm.rows;
    gemm.pack(packed + first * d, gemm.rows, rounded + first * d, d, true, std::min(gemm.rows, r - first), d, MS_ACTIVATION_NONE);
  }
  run_tasks(context, blocks_of(row_panels, task_panels), n * d * r, [&](int64_t task, int worker) {
    auto* const rows = reinterpret_cast<float*>(scratch + workers_at + static_cast<size_t>(worker) * worker_plan.bytes());
    alignas(64) float tile[kMostTileElements];
    alignas(64) double sums[kMostTileElements];
    for (int64_t panel = task * task_panels; panel < std::min(row_panels, (task + 1) * task_panels); ++panel) {
      const int64_t row = panel * gemm.columns, used = std::min(gemm.columns, n - row);
      gemm.pack(rows, gemm.columns, x + row * d, d, true, used, d, MS_ACTIVATION_NONE);
      context.kernels.reduce.centre_panel(rows, d, shift, rest);
      for (int64_t first = 0; first < r; first += gemm.rows) {
        const int64_t count = std::min(gemm.rows, r - first);
        std::fill_n(sums, gemm.rows * gemm.columns, 0.0);
        for (int64_t p = 0; p < d; p += kProductRows) {
          gemm.tile_exact(std::min(kProductRows, d - p), packed + first * d + p * gemm.rows, rows + p * gemm.columns, gemm.columns, tile, false, count);
          context.kernels.reduce.add_tile(tile, count * gemm.columns, sums);
        }
        for (int64_t w = 0; w < used; ++w) {
          for (int64_t j = 0; j < count; ++j) y[(row + w) * r + first + j] = static_cast<float>(sums[j * gemm.columns + w]);
        }
      }
    }
  });
  return MS_OK;
}

}  // namespace mendset
