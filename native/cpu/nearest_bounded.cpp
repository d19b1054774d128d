// Nearest centroids that most centroids need not be compared for: bounds from the passes before (row_bounds), then a filter of r + 1 dimensions
// (head_filter), then fp32 products, and fp64 sums only where those leave a choice.
#include <algorithm>
#include <atomic>
#include <limits>

#include "cpu/centre_products.h"
#include "cpu/context.h"
#include "cpu/cpu_operations.h"
#include "cpu/head_filter.h"
#include "cpu/kernels.h"
#include "cpu/partition.h"
#include "cpu/row_bounds.h"

namespace mendset {
namespace {

using namespace cpu;

constexpr int64_t kBoundedRows = 1024;  // of a task: rows that the bounds leave are gathered within it
constexpr double kLongest = 4e18;       // fp32 products of longer rows and centroids could overflow
constexpr float kInfinity = std::numeric_limits<float>::infinity();

class Bounded {
 public:
  Bounded(Context& context, const ms_nearest_bounded_args& args)
      : context_(context), gemm_(context.kernels.gemm), selection_(context.kernels.selection), args_(args), products_(context, args.x, args.n, args.centres, args.k, args.d),
        bounds_(selection_, args, &products_.plan()), filter_(context, args, bounds_, &products_.plan()),
        active_at_(products_.plan().add<int32_t>(kBoundedRows * context.pool.threads())) {}

  bool run() {
    if (!products_.reserve()) return false;
    bounds_.place(products_.scratch());
    if (args_.c_length > kLongest || args_.x_length > kLongest) {
      run_tasks(context_, blocks_of(args_.n, kBoundedRows), args_.n * args_.k * args_.d, [&](int64_t task, int) {
        for (int64_t row = task * kBoundedRows; row < std::min(args_.n, (task + 1) * kBoundedRows); ++row) bounds_.compare_all(row);
      });
      full_ += args_.n * args_.k;
    } else if (!bounds_.kept() || (args_.known == 0 && args_.r == 0)) {
      products_.run([&](int64_t row, int64_t used, int) { return Sink(*this, row, used, nullptr); });
      full_ += args_.n * args_.k;
    } else {
      products_.pack_centres();
      filter_.place(products_.scratch());
      run_tasks(context_, blocks_of(args_.n, kBoundedRows), args_.n * std::max<int64_t>(args_.k, 64),
                [&](int64_t task, int worker) { rows(task * kBoundedRows, std::min(args_.n, (task + 1) * kBoundedRows), worker); });
    }
    args_.evaluated[0] += filtered_.load();
    args_.evaluated[1] += survivors_.load();
    args_.evaluated[2] += kept_distances_.load();
    args_.evaluated[3] += full_.load();
    return true;
  }

 private:
  // The least values of a panel of rows against all centroids. rows: null when they follow each other.
  struct Sink {
    Sink(const Bounded& bounded, int64_t first_row, int64_t rows_used, const int32_t* row_list) : owner(bounded), first(first_row), used(rows_used), rows(row_list) {
      const int64_t count = std::max<int64_t>(owner.bounds_.entries(), 3) * owner.gemm_.columns;
      std::fill_n(value, count, kInfinity);
      std::fill_n(label, count, -1);
    }
    void fold(const float* tile, int64_t centre, int64_t centres) {
      const float* const c_norms = owner.args_.c_norms + centre;
      const int64_t width = owner.gemm_.columns;
      if (owner.bounds_.near() > 0) owner.selection_.fold_least(tile, centres, c_norms, static_cast<int32_t>(centre), owner.bounds_.entries(), value, label);
      else owner.selection_.fold_nearest(tile, centres, c_norms, static_cast<int32_t>(centre), {value, label, value + width, label + width, owner.bounds_.kept() ? nullptr : value + 2 * width});
    }
    void end() {
      const RowBounds& bounds = owner.bounds_;
      if (!bounds.kept()) return end_labels();
      if (bounds.near() == 0 && owner.args_.k > 1) return bounds.settle_two(value, value + owner.gemm_.columns, label, rows, first, used);
      for (int64_t w = 0; w < used; ++w) {
        const Least least = least_of(w);
        const bool all = least.count == owner.args_.k;
        bounds.settle(row_of(w), least, all ? std::numeric_limits<double>::infinity() : static_cast<double>(least.value[least.count - 1]));
      }
    }
    // Labels alone: most rows have one centroid that can win, nearly all others two.
    void end_labels() {
      const int64_t width = owner.gemm_.columns;
      const float widest = rounded_up(2 * owner.bounds_.error_of(owner.args_.x_length) * (1 + 1e-6));
      uint8_t close[kMostColumns];
      for (int64_t w = 0; w < width; ++w) close[w] = !(value[width + w] - value[w] > widest);
      for (int64_t w = 0; w < used; ++w) {
        if (close[w] == 0) owner.args_.labels[row_of(w)] = label[w];
        else owner.bounds_.settle(row_of(w), least_of(w), static_cast<double>(value[2 * width + w]));
      }
    }
    int64_t row_of(int64_t w) const { return rows != nullptr ? rows[w] : first + w; }
    Least least_of(int64_t w) const {
      const int64_t width = owner.gemm_.columns;
      Least least(owner.bounds_.entries());
      for (int64_t entry = 0; entry < least.most && label[entry * width + w] >= 0; ++entry) {
        least.value[least.count] = value[entry * width + w];
        least.label[least.count++] = label[entry * width + w];
      }
      return least;
    }
    const Bounded& owner;
    const int64_t first, used;
    const int32_t* rows;
    alignas(64) float value[kMostEntries * kMostColumns];
    alignas(64) int32_t label[kMostEntries * kMostColumns];
  };

  void rows(int64_t first, int64_t last, int worker) {
    auto* const active = reinterpret_cast<int32_t*>(products_.scratch() + active_at_) + worker * kBoundedRows;
    int64_t count = 0, distances = 0, survivors = 0;
    if (args_.known != 0) {
      const int64_t open = bounds_.open_rows(first, last, active);
      if (bounds_.near() == 0) count = open;
      for (int64_t i = 0; bounds_.near() > 0 && i < open; ++i) {
        if (i + 1 < open) bounds_.prefetch(active[i + 1]);
        if (!bounds_.settled(active[i], distances)) active[count++] = active[i];
      }
    } else {
      for (int64_t row = first; row < last; ++row) active[count++] = static_cast<int32_t>(row);
    }
    for (int64_t at = 0; at < count; at += gemm_.columns) {
      const int64_t used = std::min(gemm_.columns, count - at);
      if (args_.r > 0) {
        survivors += filter_.panel(active + at, used, worker);
      } else {
        const float* x[kMostColumns];
        for (int64_t w = 0; w < used; ++w) x[w] = args_.x + static_cast<int64_t>(active[at + w]) * args_.d;
        Sink sink(*this, 0, used, active + at);
        products_.gathered(x, used, worker, sink);
        sink.end();
      }
    }
    (args_.r > 0 ? filtered_ : full_).fetch_add(count * args_.k, std::memory_order_relaxed);
    survivors_.fetch_add(survivors, std::memory_order_relaxed);
    kept_distances_.fetch_add(distances, std::memory_order_relaxed);
  }

  Context& context_;
  const GemmKernels& gemm_;
  const SelectionKernels& selection_;
  const ms_nearest_bounded_args& args_;
  CentreProducts products_;
  RowBounds bounds_;
  HeadFilter filter_;
  const size_t active_at_;
  std::atomic<int64_t> filtered_{0}, survivors_{0}, kept_distances_{0}, full_{0};
};

}  // namespace

int32_t cpu_nearest_bounded(ms_context* handle, const ms_nearest_bounded_args* args) {
  Context& context = context_of(handle);
  MS_EXPECT(context, args->n >= 0 && args->k >= 1 && args->k <= INT32_MAX && args->d >= 0 && args->r >= 0 && args->m >= 0 && args->m <= kMostNear);
  MS_EXPECT(context, args->upper != nullptr || args->r == 0);
  if (!Bounded(context, *args).run()) return context.fail(MS_OUT_OF_MEMORY, "no room for the scratch of nearest centroids");
  return MS_OK;
}

}  // namespace mendset
