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

constexpr int64_t kBoundedRows = 256;  // of a task that looks at bounds
constexpr int64_t kGatheredRows = 1024;  // of one that also compares what they leave
constexpr double kLongest = 4e18;       // fp32 products of longer rows and centroids could overflow
constexpr float kInfinity = std::numeric_limits<float>::infinity();

class Bounded {
 public:
  Bounded(Context& context, const ms_nearest_bounded_args& args)
      : context_(context), gemm_(context.kernels.gemm), selection_(context.kernels.selection), args_(args), products_(context, args.x, args.n, args.centres, args.k, args.d),
        bounds_(selection_, args, &products_.plan()), filter_(context, args, bounds_, &products_.plan()),
        tasks_(blocks_of(args.n, kBoundedRows)), open_at_(products_.plan().add<int32_t>(args.n)), counts_at_(products_.plan().add<int64_t>(tasks_)) {}

  bool run() {
    if (!products_.reserve()) return false;
    bounds_.place(products_.scratch());
    if (args_.c_length > kLongest || args_.x_length > kLongest) {
      run_tasks(context_, tasks_, args_.n * args_.k * args_.d, [&](int64_t task, int) {
        for (int64_t row = task * kBoundedRows; row < std::min(args_.n, (task + 1) * kBoundedRows); ++row) bounds_.compare_all(row);
      });
      full_ += args_.n * args_.k;
    } else if (!bounds_.kept() || (args_.known == 0 && args_.r == 0)) {
      products_.run([&](int64_t row, int64_t used, int) { return Sink(*this, row, used, nullptr); });
      full_ += args_.n * args_.k;
    } else {
      if (args_.known != 0 && bounds_.near() == 0) find_and_compare();
      else compare_open(args_.known != 0 ? find_open() : all_open());
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

  int32_t* open() const { return reinterpret_cast<int32_t*>(products_.scratch() + open_at_); }

  // Lists the rows of [first, last) that have to be compared with all centroids; returns how many.
  int64_t find(int64_t first, int64_t last, int32_t* rows) {
    const int64_t count = bounds_.open_rows(first, last, rows);
    if (bounds_.near() == 0) return count;
    int64_t left = 0, distances = 0;
    for (int64_t i = 0; i < count; ++i) {
      if (i + 1 < count) bounds_.prefetch(rows[i + 1]);
      if (!bounds_.settled(rows[i], distances)) rows[left++] = rows[i];
    }
    kept_distances_.fetch_add(distances, std::memory_order_relaxed);
    return left;
  }

  // The panel of rows that starts at `at`, of `count` rows.
  void compare(const int32_t* all_rows, int64_t at, int64_t count, int worker) {
    const int64_t used = std::min(gemm_.columns, count - at), following = std::min(gemm_.columns, count - at - used);
    const int32_t* const rows = all_rows + at;
    if (args_.r > 0) {
      survivors_.fetch_add(filter_.panel(rows, used, worker), std::memory_order_relaxed);
      filtered_.fetch_add(used * args_.k, std::memory_order_relaxed);
      return;
    }
    const float *x[kMostColumns], *next[kMostColumns];
    for (int64_t w = 0; w < used; ++w) x[w] = args_.x + rows[w] * args_.d;
    for (int64_t w = 0; w < following; ++w) next[w] = args_.x + rows[used + w] * args_.d;
    Sink sink(*this, 0, used, rows);
    products_.gathered(x, used, next, following, worker, sink);
    sink.end();
    full_.fetch_add(used * args_.k, std::memory_order_relaxed);
  }

  // Passes of a fraction of a millisecond: the threads meet once.
  void find_and_compare() {
    products_.pack_centres();
    filter_.place(products_.scratch());
    run_tasks(context_, blocks_of(args_.n, kGatheredRows), args_.n * 64, [&](int64_t task, int worker) {
      const int64_t first = task * kGatheredRows;
      int32_t* const rows = open() + first;
      const int64_t count = find(first, std::min(args_.n, first + kGatheredRows), rows);
      for (int64_t at = 0; at < count; at += gemm_.columns) compare(rows, at, count, worker);
    });
  }

  int64_t all_open() {
    for (int64_t row = 0; row < args_.n; ++row) open()[row] = static_cast<int32_t>(row);
    return args_.n;
  }

  int64_t find_open() {
    auto* const counts = reinterpret_cast<int64_t*>(products_.scratch() + counts_at_);
    run_tasks(context_, tasks_, args_.n * 64, [&](int64_t task, int) {
      const int64_t first = task * kBoundedRows;
      counts[task] = find(first, std::min(args_.n, first + kBoundedRows), open() + first);
    });
    int64_t count = 0;
    for (int64_t task = 0; task < tasks_; ++task) {
      const int32_t* const rows = open() + task * kBoundedRows;
      std::copy(rows, rows + counts[task], open() + count);
      count += counts[task];
    }
    return count;
  }

  void compare_open(int64_t count) {
    if (count == 0) return;
    products_.pack_centres();
    filter_.place(products_.scratch());
    run_tasks(context_, blocks_of(count, gemm_.columns), count * args_.k * args_.d, [&](int64_t panel, int worker) { compare(open(), panel * gemm_.columns, count, worker); });
  }

  Context& context_;
  const GemmKernels& gemm_;
  const SelectionKernels& selection_;
  const ms_nearest_bounded_args& args_;
  CentreProducts products_;
  RowBounds bounds_;
  HeadFilter filter_;
  const int64_t tasks_;
  const size_t open_at_, counts_at_;  // of rows that the bounds leave, by task, then all together
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
