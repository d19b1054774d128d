// K-Center's local greedy on packed rows.
#include <algorithm>
#include <cmath>

#include "cpu/centre_products.h"
#include "cpu/context.h"
#include "cpu/cpu_operations.h"
#include "cpu/kernels.h"
#include "cpu/partition.h"

namespace mendset {
namespace {

using namespace cpu;

// The farthest of some rows that are at or above the threshold, and how many those are.
struct Farthest {
  float m = -INFINITY;
  int64_t place = -1, open = 0;

  void offer(const Farthest& other) {
    open += other.open;
    if (other.place >= 0 && (place < 0 || other.m > m)) m = other.m, place = other.place;
  }
};

Farthest farthest_of(const float* m, int64_t first, int64_t last, float threshold) {
  Farthest found;
  for (int64_t i = first; i < last; ++i) {
    if (m[i] >= threshold) found.offer({m[i], i, 1});
  }
  return found;
}

}  // namespace

int32_t cpu_pack_rows(ms_context* handle, const ms_pack_rows_args* args) {
  Context& context = context_of(handle);
  const auto& [n, d, index, x, packed] = *args;
  MS_EXPECT(context, n >= 0 && d >= 0);
  const int64_t columns = context.kernels.gemm.columns;
  run_tasks(context, blocks_of(n, columns), n * d, [&](int64_t panel, int) {
    const float* rows[kMostColumns];
    const int64_t first = panel * columns, used = std::min(columns, n - first);
    for (int64_t w = 0; w < used; ++w) rows[w] = x + index[first + w] * d;
    context.kernels.selection.pack_rows(rows, used, d, packed + first * d);
  });
  return MS_OK;
}

int32_t cpu_pick_farthest(ms_context* handle, const ms_pick_farthest_args* args) {
  Context& context = context_of(handle);
  const auto& [n, d, most, fewest, packed, x_norms, threshold, m, picks, squares, count] = *args;
  MS_EXPECT(context, n >= 0 && n <= INT32_MAX && d >= 0 && most >= 0 && threshold >= 0);
  const int64_t columns = context.kernels.gemm.columns;
  // Four panels at a time, so that their chains hide each other's latency.
  const int64_t rows = 4 * columns, tasks = blocks_of(n, rows);
  ScratchPlan plan;
  const size_t centre_at = plan.add<float>(d), found_at = plan.add<Farthest>(tasks);
  std::byte* const scratch = context.workspace.reserve(plan.bytes());
  if (scratch == nullptr) return context.fail(MS_OUT_OF_MEMORY, "no room for the scratch of pick_farthest");
  auto* const centre = reinterpret_cast<float*>(scratch + centre_at);
  auto* const found = reinterpret_cast<Farthest*>(scratch + found_at);
  for (int64_t task = 0; task < tasks; ++task) found[task] = farthest_of(m, task * rows, std::min(n, (task + 1) * rows), threshold);
  for (*count = 0; *count < most; ++*count) {
    Farthest best;
    for (int64_t task = 0; task < tasks; ++task) best.offer(found[task]);
    if (best.place < 0 || best.m == 0 || (*count > 0 && best.open < fewest)) break;
    picks[*count] = static_cast<int32_t>(best.place);
    squares[*count] = best.m;
    m[best.place] = -INFINITY;
    const float* const column = packed + best.place / columns * columns * d + best.place % columns;
    for (int64_t p = 0; p < d; ++p) centre[p] = column[p * columns];
    run_tasks(context, tasks, n * d, [&](int64_t task, int) {
      const int64_t first = task * rows, used = std::min(rows, n - first);
      alignas(64) float norms[4 * kMostColumns] = {}, least[4 * kMostColumns] = {};
      std::copy_n(x_norms + first, used, norms);
      std::copy_n(m + first, used, least);
      context.kernels.selection.packed_distance(packed + first * d, blocks_of(used, columns), d, norms, centre, x_norms[best.place], least);
      std::copy_n(least, used, m + first);
      found[task] = farthest_of(m, first, first + used, threshold);
    });
  }
  return MS_OK;
}

}  // namespace mendset
