// Canonical distances: nearest centres, farthest-first minima, row norms. Centres are the left operand of a tile, rows of x its columns, so
// that every lane is a row of x and centres pass in ascending order: ties go to the lowest centre without further care.
#include <algorithm>
#include <limits>

#include "cpu/centre_products.h"
#include "cpu/context.h"
#include "cpu/cpu_operations.h"
#include "cpu/kernels.h"
#include "cpu/partition.h"

namespace mendset {
namespace {

using namespace cpu;


// The two nearest centres of the rows of one panel.
struct NearestSink {
  NearestSink(const ms_nearest_centre_args& arguments, const SelectionKernels& table, int64_t first_row, int64_t rows_used)
      : args(arguments), kernels(table), row(first_row), used(rows_used) {
    std::fill_n(best, kMostColumns, std::numeric_limits<float>::infinity());
    std::fill_n(second, kMostColumns, std::numeric_limits<float>::infinity());
    std::fill_n(label, kMostColumns, -1);
    std::fill_n(second_label, kMostColumns, -1);
  }
  void fold(const float* tile, int64_t first, int64_t centres) {
    const bool two = args.second != nullptr || args.second_label != nullptr;
    const NearestState state{best, label, two ? second : nullptr, second_label, nullptr};
    kernels.fold_nearest(tile, centres, args.c_norms + first, static_cast<int32_t>(first), state);
  }
  void end() {
    for (int64_t i = 0; i < used; ++i) {  // values that overflowed to +inf never won: the lowest centre, then the next lowest
      if (label[i] < 0 && args.k > 0) label[i] = 0;
      if (second_label[i] < 0 && args.k > 1) second_label[i] = label[i] == 0 ? 1 : 0;
    }
    std::copy_n(label, used, args.labels + row);
    if (args.best != nullptr) std::copy_n(best, used, args.best + row);
    if (args.second != nullptr) std::copy_n(second, used, args.second + row);
    if (args.second_label != nullptr) std::copy_n(second_label, used, args.second_label + row);
  }

  const ms_nearest_centre_args& args;
  const SelectionKernels& kernels;
  const int64_t row, used;
  alignas(64) float best[kMostColumns];
  alignas(64) float second[kMostColumns];
  alignas(64) int32_t label[kMostColumns];
  alignas(64) int32_t second_label[kMostColumns];
};

// Minimum distances of the rows of one panel.
struct DistanceSink {
  DistanceSink(const ms_min_distance_args& arguments, const SelectionKernels& table, int64_t first_row, int64_t rows_used)
      : args(arguments), kernels(table), row(first_row), used(rows_used) {
    std::copy_n(args.x_norms + row, used, x_norms);
    std::copy_n(args.m + row, used, m);
    if (args.nearest != nullptr) std::copy_n(args.nearest + row, used, nearest);
  }
  void fold(const float* tile, int64_t first, int64_t centres) {
    const DistancePanel panel{args.d, used, args.x + row * args.d, args.d, 1, x_norms, m, nearest};
    kernels.fold_distance(tile, centres, args.c + first * args.d, args.c_norms + first, args.first_number + static_cast<int32_t>(first), panel);
  }
  void end() const {
    std::copy_n(m, used, args.m + row);
    if (args.nearest != nullptr) std::copy_n(nearest, used, args.nearest + row);
  }

  const ms_min_distance_args& args;
  const SelectionKernels& kernels;
  const int64_t row, used;
  alignas(64) float x_norms[kMostColumns] = {};
  alignas(64) float m[kMostColumns] = {};
  alignas(64) int32_t nearest[kMostColumns] = {};
};

// Minimum distances of the rows of one panel with each centre alone.
struct EachDistanceSink {
  EachDistanceSink(const ms_each_distance_args& arguments, const SelectionKernels& table, int64_t columns, int64_t first_row, int64_t rows_used)
      : args(arguments), kernels(table), width(columns), row(first_row), used(rows_used), panel{arguments.d, rows_used, arguments.x + first_row * arguments.d, arguments.d, 1, x_norms, nullptr, nullptr} {
    std::copy_n(args.x_norms + row, used, x_norms);
  }
  void fold(float* tile, int64_t first, int64_t centres) {
    kernels.distances(tile, centres, args.c + first * args.d, args.c_norms + first, panel);
    for (int64_t j = 0; j < centres; ++j) {
      std::copy_n(tile + j * width, used, args.squares + (first + j) * args.ld_squares + row);
    }
  }
  void end() const {}

  const ms_each_distance_args& args;
  const SelectionKernels& kernels;
  const int64_t width, row, used;  // width: of a tile
  alignas(64) float x_norms[kMostColumns] = {};
  const DistancePanel panel;
};

}  // namespace

int32_t cpu_row_norms(ms_context* handle, const ms_row_norms_args* args) {
  Context& context = context_of(handle);
  const auto& [n, d, x, norms] = *args;
  MS_EXPECT(context, n >= 0 && d >= 0);
  const GemmKernels& gemm = context.kernels.gemm;
  const int64_t depth_block = std::min(d, gemm.depth_block), panels = blocks_of(n, gemm.columns), task_panels = kRowsPerTask / gemm.columns;
  ScratchPlan worker_plan;
  worker_plan.add<float>(depth_block * gemm.columns);
  std::byte* const scratch = context.workspace.reserve(worker_plan.bytes() * static_cast<size_t>(context.pool.threads()));
  if (scratch == nullptr) return context.fail(MS_OUT_OF_MEMORY, "no room for the scratch of row norms");
  run_tasks(context, blocks_of(panels, task_panels), n * d, [&](int64_t task, int worker) {
    float* const packed = reinterpret_cast<float*>(scratch + static_cast<size_t>(worker) * worker_plan.bytes());
    for (int64_t panel = task * task_panels; panel < std::min(panels, (task + 1) * task_panels); ++panel) {
      const int64_t row = panel * gemm.columns, used = std::min(gemm.columns, n - row);
      alignas(64) float sums[kMostColumns] = {};
      for (int64_t p = 0; p < d; p += depth_block) {
        const int64_t depth = std::min(depth_block, d - p);
        gemm.pack(packed, gemm.columns, x + row * d + p, d, true, used, depth, MS_ACTIVATION_NONE);
        context.kernels.selection.chain_squares(packed, depth, sums);
      }
      std::copy_n(sums, used, norms + row);
    }
  });
  return MS_OK;
}

int32_t cpu_nearest_centre(ms_context* handle, const ms_nearest_centre_args* args) {
  Context& context = context_of(handle);
  MS_EXPECT(context, args->n >= 0 && args->k >= 0 && args->k <= INT32_MAX && args->d >= 0);
  CentreProducts products(context, args->x, args->n, args->centres, args->k, args->d);
  if (!products.reserve()) return context.fail(MS_OUT_OF_MEMORY, "no room for packed centres");
  products.run([&](int64_t row, int64_t used, int) { return NearestSink(*args, context.kernels.selection, row, used); });
  return MS_OK;
}

int32_t cpu_min_distance(ms_context* handle, const ms_min_distance_args* args) {
  Context& context = context_of(handle);
  MS_EXPECT(context, args->n >= 0 && args->centres >= 0 && args->centres <= INT32_MAX && args->d >= 0);
  CentreProducts products(context, args->x, args->n, args->c, args->centres, args->d);
  if (!products.reserve()) return context.fail(MS_OUT_OF_MEMORY, "no room for packed centres");
  products.run([&](int64_t row, int64_t used, int) { return DistanceSink(*args, context.kernels.selection, row, used); });
  return MS_OK;
}

int32_t cpu_each_distance(ms_context* handle, const ms_each_distance_args* args) {
  Context& context = context_of(handle);
  MS_EXPECT(context, args->n >= 0 && args->centres >= 0 && args->centres <= INT32_MAX && args->d >= 0 && args->ld_squares >= args->n);
  CentreProducts products(context, args->x, args->n, args->c, args->centres, args->d);
  if (!products.reserve()) return context.fail(MS_OUT_OF_MEMORY, "no room for packed centres");
  products.run([&](int64_t row, int64_t used, int) { return EachDistanceSink(*args, context.kernels.selection, context.kernels.gemm.columns, row, used); });
  return MS_OK;
}

int32_t cpu_argmax(ms_context* handle, const ms_argmax_args* args) {
  Context& context = context_of(handle);
  const auto& [n, m, taken, value, index] = *args;
  MS_EXPECT(context, n >= 0);
  constexpr int64_t kBlock = 16384;
  struct Candidate {
    float value;
    int64_t index;
  };
  const int64_t blocks = blocks_of(n, kBlock);
  ScratchPlan plan;
  plan.add<Candidate>(blocks);
  auto* const candidates = reinterpret_cast<Candidate*>(context.workspace.reserve(plan.bytes()));
  if (candidates == nullptr) return context.fail(MS_OUT_OF_MEMORY, "no room for the scratch of argmax");
  run_tasks(context, blocks, n, [&](int64_t block, int) {
    const int64_t first = block * kBlock;
    Candidate& candidate = candidates[block];
    context.kernels.selection.largest(m + first, taken + first, std::min(kBlock, n - first), &candidate.value, &candidate.index);
    if (candidate.index >= 0) candidate.index += first;
  });
  *value = -std::numeric_limits<float>::infinity();
  *index = -1;
  for (int64_t block = 0; block < blocks; ++block) {
    if (candidates[block].index < 0 || (*index >= 0 && !(candidates[block].value > *value))) continue;
    *value = candidates[block].value;
    *index = candidates[block].index;
  }
  return MS_OK;
}

}  // namespace mendset
