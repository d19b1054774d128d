// Nearest rows and the gains of facility location: blocked canonical products, no matrix of distances.
#include <algorithm>

#include "cpu/centre_products.h"
#include "cpu/context.h"
#include "cpu/cpu_operations.h"
#include "cpu/kernels.h"

namespace mendset {
namespace {

using namespace cpu;

// The canonical squared distances of one panel of rows to the centres of a tile.
class Distances {
 public:
  Distances(const SelectionKernels& kernels, const float* x, const float* x_norms, const float* c, const float* c_norms, int64_t d, int64_t row, int64_t used)
      : kernels_(kernels), c_(c), c_norms_(c_norms), panel_{d, used, x + row * d, d, 1, norms_, nullptr, nullptr} {
    std::copy_n(x_norms + row, used, norms_);
  }
  void apply(float* tile, int64_t first, int64_t centres) { kernels_.distances(tile, centres, c_ + first * panel_.d, c_norms_ + first, panel_); }

 private:
  const SelectionKernels& kernels_;
  const float* const c_;
  const float* const c_norms_;
  alignas(64) float norms_[kMostColumns] = {};
  const DistancePanel panel_;
};

struct NeighbourSink {
  NeighbourSink(const ms_nearest_rows_args& arguments, const SelectionKernels& table, int64_t first_row, int64_t rows_used)
      : args(arguments), kernels(table), row(first_row), used(rows_used), distances(table, arguments.x, arguments.x_norms, arguments.c, arguments.c_norms, arguments.d, first_row, rows_used) {
    for (int64_t w = 0; w < used; ++w) limits[w] = args.distances[(row + w + 1) * args.k - 1];
  }
  void fold(float* tile, int64_t first, int64_t centres) {
    distances.apply(tile, first, centres);
    kernels.merge_nearest(tile, centres, static_cast<int32_t>(args.first_candidate + first), args.first_row + row, used, args.k, limits, args.distances + row * args.k, args.indices + row * args.k);
  }
  void end() const {}

  const ms_nearest_rows_args& args;
  const SelectionKernels& kernels;
  const int64_t row, used;
  Distances distances;
  alignas(64) float limits[kMostColumns] = {};
};

struct GainSink {
  GainSink(const ms_coverage_gains_args& arguments, const SelectionKernels& table, int64_t first_row, int64_t rows_used, int64_t width, double* sums)
      : args(arguments), kernels(table), row(first_row), used(rows_used), columns(width), gains(sums), distances(table, arguments.x, arguments.x_norms, arguments.c, arguments.c_norms, arguments.d, first_row, rows_used) {
    std::copy_n(args.best + row, used, best);
  }
  void fold(float* tile, int64_t first, int64_t centres) {
    const bool dot = args.similarity == MS_SIMILARITY_DOT;
    if (!dot) distances.apply(tile, first, centres);
    if (args.update == 0) {
      kernels.add_rises(tile, centres, dot, best, used, args.grid, gains + first * columns);
    } else if (first == 0) {
      for (int64_t w = 0; w < used; ++w) best[w] = dot ? std::max(best[w], tile[w]) : std::min(best[w], tile[w]);
    }
  }
  void end() const {
    if (args.update != 0) std::copy_n(best, used, args.best + row);
  }

  const ms_coverage_gains_args& args;
  const SelectionKernels& kernels;
  const int64_t row, used, columns;
  double* const gains;  // [candidates][columns]
  Distances distances;
  alignas(64) float best[kMostColumns] = {};
};

}  // namespace

int32_t cpu_nearest_rows(ms_context* handle, const ms_nearest_rows_args* args) {
  Context& context = context_of(handle);
  MS_EXPECT(context, args->n >= 0 && args->k >= 1 && args->d >= 0 && args->candidates >= 0 && args->first_candidate + args->candidates <= INT32_MAX);
  CentreProducts products(context, args->x, args->n, args->c, args->candidates, args->d);
  if (!products.reserve()) return context.fail(MS_OUT_OF_MEMORY, "no room for packed candidates");
  products.run([&](int64_t row, int64_t used, int) { return NeighbourSink(*args, context.kernels.selection, row, used); });
  return MS_OK;
}

int32_t cpu_coverage_gains(ms_context* handle, const ms_coverage_gains_args* args) {
  Context& context = context_of(handle);
  MS_EXPECT(context, args->n >= 0 && args->d >= 0 && args->candidates >= 0 && (args->update == 0 || args->candidates == 1));
  const int64_t columns = context.kernels.gemm.columns, threads = context.pool.threads(), sums = args->candidates * columns;
  CentreProducts products(context, args->x, args->n, args->c, args->candidates, args->d);
  const size_t gains_at = products.plan().add<double>(sums * threads);
  if (!products.reserve()) return context.fail(MS_OUT_OF_MEMORY, "no room for packed candidates");
  auto* const gains = reinterpret_cast<double*>(products.scratch() + gains_at);
  std::fill_n(gains, sums * threads, 0.0);
  products.run([&](int64_t row, int64_t used, int worker) { return GainSink(*args, context.kernels.selection, row, used, columns, gains + sums * worker); });
  if (args->update != 0) return MS_OK;
  // Every sum is exact, so the order does not matter.
  for (int64_t worker = 0; worker < threads; ++worker) {
    for (int64_t j = 0; j < args->candidates; ++j) {
      for (int64_t w = 0; w < columns; ++w) args->gains[j] += gains[sums * worker + j * columns + w];
    }
  }
  return MS_OK;
}

}  // namespace mendset
