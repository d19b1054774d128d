// What the filter of nearest_bounded sees of a row: its part along a few directions, and the length of the rest.
#include <algorithm>
#include <cmath>
#include <limits>

#include "cpu/centre_products.h"
#include "cpu/context.h"
#include "cpu/cpu_operations.h"
#include "cpu/kernels.h"
#include "cpu/partition.h"

namespace mendset {

using namespace cpu;

int32_t cpu_filter_heads(ms_context* handle, const ms_filter_heads_args* args) {
  Context& context = context_of(handle);
  const auto& [n, d, r, x, mean, directions, head_error, heads, lengths, spreads] = *args;
  MS_EXPECT(context, n >= 0 && d >= 1 && r >= 1);
  const GemmKernels& gemm = context.kernels.gemm;
  const int64_t direction_panels = blocks_of(r, gemm.rows), row_panels = blocks_of(n, gemm.columns), task_panels = std::max<int64_t>(1, kRowsPerTask / gemm.columns);
  ScratchPlan plan;
  const size_t directions_at = plan.add<float>(direction_panels * gemm.rows * d);
  ScratchPlan worker_plan;
  const size_t panel_at = worker_plan.add<float>(d * gemm.columns), tile_at = worker_plan.add<float>(gemm.rows * gemm.columns);
  const size_t workers_at = plan.bytes();
  std::byte* const scratch = context.workspace.reserve(workers_at + worker_plan.bytes() * static_cast<size_t>(context.pool.threads()));
  if (scratch == nullptr) return context.fail(MS_OUT_OF_MEMORY, "no room for the scratch of filter heads");
  auto* const packed = reinterpret_cast<float*>(scratch + directions_at);
  for (int64_t p = 0; p < direction_panels; ++p) {
    const int64_t first = p * gemm.rows;
    gemm.pack(packed + first * d, gemm.rows, directions + first * d, d, true, std::min(gemm.rows, r - first), d, MS_ACTIVATION_NONE);
  }
  run_tasks(context, blocks_of(row_panels, task_panels), n * d * r, [&](int64_t task, int worker) {
    std::byte* const own = scratch + workers_at + static_cast<size_t>(worker) * worker_plan.bytes();
    auto* const panel = reinterpret_cast<float*>(own + panel_at);
    auto* const tile = reinterpret_cast<float*>(own + tile_at);
    for (int64_t q = task * task_panels; q < std::min(row_panels, (task + 1) * task_panels); ++q) {
      const int64_t row = q * gemm.columns, used = std::min(gemm.columns, n - row);
      double squares[2 * kMostColumns];
      context.kernels.selection.centre_panel(x + row * d, used, d, mean, panel, squares);
      double length[kMostColumns] = {};
      for (int64_t p = 0; p < direction_panels; ++p) {
        const int64_t first = p * gemm.rows, count = std::min(gemm.rows, r - first);
        gemm.tile_exact(d, packed + first * d, panel, gemm.columns, tile, false, count);
        for (int64_t w = 0; w < used; ++w) {
          float* const out = heads + (row + w) * (r + 1) + first;
          for (int64_t j = 0; j < count; ++j) {
            const float value = tile[j * gemm.columns + w];
            out[j] = value;
            length[w] += static_cast<double>(value) * static_cast<double>(value);
          }
        }
      }
      for (int64_t w = 0; w < used; ++w) {
        const double spread = squares[2 * w + 1];
        if (lengths != nullptr) lengths[row + w] = squares[2 * w];
        spreads[row + w] = spread;
        heads[(row + w) * (r + 1) + r] = std::nextafter(static_cast<float>(std::sqrt(std::max(0.0, spread - length[w] + 3 * head_error * spread))), std::numeric_limits<float>::infinity());
      }
    }
  });
  return MS_OK;
}

}  // namespace mendset
