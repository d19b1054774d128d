// Nearest centres that most centres need not be compared for: bounds from the pass before, then a filter of r + 1 dimensions, then products
// in any order with a bound of their error, and canonical chains only where those leave a choice.
//
// Let e = gamma(d + 2) R (R + 2 |x|) plus underflow, R the largest |c|. Then v of nearest_centre, summed in any order, differs from
// |x - c|^2 - |x|^2 by at most e. A centre whose distance is proven to exceed that of another by more than 2 e in squares cannot win.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

#include "cpu/context.h"
#include "cpu/centre_products.h"
#include "cpu/cpu_operations.h"
#include "cpu/kernels.h"
#include "cpu/partition.h"

namespace mendset {
namespace {

using namespace cpu;

constexpr int64_t kFilteredRows = 1024;  // of a task: rows that the bounds leave are gathered within it
constexpr double kWider = 1 + 1e-9;      // covers the rounding of the fp64 bounds themselves
constexpr float kInfinity = std::numeric_limits<float>::infinity();

double gamma(int64_t operations) {
  const double error = static_cast<double>(operations) * 0x1p-24;
  return error < 0.5 ? error / (1 - error) : std::numeric_limits<double>::infinity();
}
float rounded_up(double value) {
  const float near = static_cast<float>(value);
  return static_cast<double>(near) < value ? std::nextafter(near, kInfinity) : near;
}
float rounded_down(double value) {
  const float near = static_cast<float>(value);
  return static_cast<double>(near) > value ? std::nextafter(near, -kInfinity) : near;
}

class Filtered {
 public:
  Filtered(Context& context, const ms_nearest_filtered_args& args)
      : context_(context), gemm_(context.kernels.gemm), selection_(context.kernels.selection), args_(args), depth_(args.r + 1), centre_panels_(blocks_of(args.k, gemm_.rows)) {
    heads_at_ = plan_.add<float>(centre_panels_ * gemm_.rows * depth_);
    ScratchPlan worker;
    active_at_ = worker.add<int32_t>(kFilteredRows);
    gathered_at_ = worker.add<float>(gemm_.columns * depth_);
    panel_at_ = worker.add<float>(gemm_.columns * depth_);
    tiles_at_ = worker.add<float>(centre_panels_ * gemm_.rows * gemm_.columns);
    lists_at_ = worker.add<int32_t>(gemm_.columns * args.k);
    values_at_ = worker.add<float>(args.k);
    close_at_ = worker.add<int32_t>(args.k);
    worker_bytes_ = worker.bytes();
    workers_at_ = plan_.bytes();
    for (int64_t j = 0; j < args.k && args.moved != nullptr; ++j) {
      if (args.moved[j] > most_moved_) {
        next_moved_ = most_moved_;
        most_moved_ = args.moved[j];
        most_mover_ = j;
      } else {
        next_moved_ = std::max(next_moved_, args.moved[j]);
      }
    }
    underflow_ = static_cast<double>(4 * args.d + 64) * 0x1p-149;
  }

  bool run() {
    scratch_ = context_.workspace.reserve(workers_at_ + worker_bytes_ * static_cast<size_t>(context_.pool.threads()));
    if (scratch_ == nullptr) return false;
    auto* const heads = reinterpret_cast<float*>(scratch_ + heads_at_);
    for (int64_t panel = 0; panel < centre_panels_; ++panel) {
      const int64_t first = panel * gemm_.rows;
      gemm_.pack(heads + first * depth_, gemm_.rows, args_.c_heads + first * depth_, depth_, true, std::min(gemm_.rows, args_.k - first), depth_, MS_ACTIVATION_NONE);
    }
    run_tasks(context_, blocks_of(args_.n, kFilteredRows), args_.n * args_.k * depth_, [&](int64_t task, int worker) { rows(task * kFilteredRows, std::min(args_.n, (task + 1) * kFilteredRows), worker); });
    args_.evaluated[0] += filtered_.load();
    args_.evaluated[1] += distances_.load();
    return true;
  }

 private:
  template <typename T> T* own(int worker, size_t at) const { return reinterpret_cast<T*>(scratch_ + workers_at_ + static_cast<size_t>(worker) * worker_bytes_ + at); }

  double error(int64_t row) const {
    return (gamma(args_.d + 2) * args_.c_length * (args_.c_length + 2 * std::sqrt(args_.squares[2 * row])) + underflow_) * kWider;
  }

  // Brings the bounds up to date; true when they prove that the label stays.
  bool stays(int64_t row) const {
    const int32_t label = args_.labels[row];
    float& upper = args_.upper[row];
    float& lower = args_.lower[row];
    if (label < 0 || args_.moved == nullptr || !(lower > 0)) return false;
    const double own = static_cast<double>(upper) + args_.moved[label];
    const double other = static_cast<double>(lower) - (label == most_mover_ ? next_moved_ : most_moved_);
    upper = rounded_up(own * kWider);
    lower = rounded_down(other - std::abs(other) * 1e-9);
    const double high = static_cast<double>(upper), low = static_cast<double>(lower);
    return low > 0 && low * low > (high * high + 2 * error(row)) * kWider;
  }

  void rows(int64_t first, int64_t last, int worker) {
    auto* const active = own<int32_t>(worker, active_at_);
    int64_t count = 0;
    for (int64_t row = first; row < last; ++row) {
      if (!stays(row)) active[count++] = static_cast<int32_t>(row);
    }
    int64_t distances = 0;
    for (int64_t at = 0; at < count; at += gemm_.columns) distances += panel(active + at, std::min(gemm_.columns, count - at), worker);
    filtered_.fetch_add(count * args_.k, std::memory_order_relaxed);
    distances_.fetch_add(distances, std::memory_order_relaxed);
  }

  // One panel of rows; returns how many distances it took.
  int64_t panel(const int32_t* row, int64_t used, int worker) {
    auto* const gathered = own<float>(worker, gathered_at_);
    auto* const packed = own<float>(worker, panel_at_);
    auto* const tiles = own<float>(worker, tiles_at_);
    auto* const lists = own<int32_t>(worker, lists_at_);
    const auto* const heads = reinterpret_cast<const float*>(scratch_ + heads_at_);
    const int64_t tile = gemm_.rows * gemm_.columns;
    for (int64_t w = 0; w < used; ++w) std::copy_n(args_.heads + row[w] * depth_, depth_, gathered + w * depth_);
    gemm_.pack(packed, gemm_.columns, gathered, depth_, true, used, depth_, MS_ACTIVATION_NONE);

    alignas(64) float least[kMostColumns], next[kMostColumns], limits[kMostColumns];
    alignas(64) int32_t least_label[kMostColumns], next_label[kMostColumns], counts[kMostColumns] = {};
    std::fill_n(least, kMostColumns, kInfinity);
    std::fill_n(next, kMostColumns, kInfinity);
    std::fill_n(limits, kMostColumns, -kInfinity);
    std::fill_n(least_label, kMostColumns, -1);
    std::fill_n(next_label, kMostColumns, -1);
    for (int64_t p = 0; p < centre_panels_; ++p) {
      const int64_t centre = p * gemm_.rows, centres = std::min(gemm_.rows, args_.k - centre);
      gemm_.tile(depth_, heads + centre * depth_, packed, gemm_.columns, tiles + p * tile, false, centres);
      selection_.fold_nearest(tiles + p * tile, centres, args_.c_squares + centre, static_cast<int32_t>(centre), {least, least_label, next, next_label});
    }

    // The label of the pass before and the most promising other centre tell how near a centre must be to matter.
    int32_t pair[kMostColumns][2];
    float value[kMostColumns][2];
    double reach[kMostColumns];  // squared distance that every centre beyond the limit exceeds
    for (int64_t w = 0; w < used; ++w) {
      const int32_t before = args_.labels[row[w]];
      const int32_t own = before >= 0 ? before : std::max(least_label[w], 0);
      int32_t other = least_label[w] != own ? least_label[w] : next_label[w];
      if (other < 0 || other == own) other = own == 0 && args_.k > 1 ? 1 : 0;
      pair[w][0] = own;
      pair[w][1] = other;
      float products[2];
      selection_.dots(args_.x + static_cast<int64_t>(row[w]) * args_.d, args_.centres, pair[w], args_.k > 1 ? 2 : 1, args_.d, products);
      for (int i = 0; i < (args_.k > 1 ? 2 : 1); ++i) value[w][i] = std::fma(-2.0f, products[i], args_.c_norms[pair[w][i]]);
      if (args_.k == 1) continue;
      const double length = args_.squares[2 * row[w]], spread = args_.squares[2 * row[w] + 1], e = error(row[w]);
      const double nearness = static_cast<double>(worth_knowing_second(length, value[w]) ? std::max(value[w][0], value[w][1]) : std::min(value[w][0], value[w][1])) + length + 3 * e;
      reach[w] = nearness;
      limits[w] = rounded_up((nearness - spread + slack(spread)) + (std::abs(nearness) + spread) * 1e-9);
    }
    if (args_.k > 1) {
      for (int64_t p = 0; p < centre_panels_; ++p) {
        const int64_t centre = p * gemm_.rows, centres = std::min(gemm_.rows, args_.k - centre);
        selection_.append_below(tiles + p * tile, centres, args_.c_squares + centre, static_cast<int32_t>(centre), limits, lists, args_.k, counts);
      }
    }
    int64_t distances = 0;
    for (int64_t w = 0; w < used; ++w) distances += decide(row[w], pair[w], value[w], reach[w], lists + w * args_.k, counts[w], worker);
    return distances;
  }

  // What the filter's value may lack to be a lower bound of the squared distance (performance.md 2.4, source 4).
  double slack(double spread) const {
    const double length = 1.001 * std::sqrt(spread), radius = 1.001 * args_.c_spread, h = args_.head_error;
    return (gamma(depth_ + 4) * radius * (radius + 2 * length) + 2 * (2 * h + h * h) * length * radius + underflow_) * kWider;
  }

  // The exact second distance makes a bound that spares the row in later passes, if centres move little against the gap between the two
  // distances; otherwise only the nearest centre is looked for.
  bool worth_knowing_second(double length, const float* values) const {
    if (args_.moved == nullptr) return false;
    const double own = std::sqrt(std::max(0.0, static_cast<double>(values[0]) + length)), other = std::sqrt(std::max(0.0, static_cast<double>(values[1]) + length));
    return std::abs(other - own) > 2 * most_moved_;
  }

  int64_t decide(int64_t row, const int32_t* pair, const float* pair_values, double reach, int32_t* list, int64_t count, int worker) {
    const float* const x = args_.x + row * args_.d;
    auto* const values = own<float>(worker, values_at_);
    auto* const close = own<int32_t>(worker, close_at_);
    count = std::remove_if(list, list + count, [&](int32_t j) { return j == pair[0] || j == pair[1]; }) - list;
    selection_.dots(x, args_.centres, list, count, args_.d, values);
    // The two least values, and who has them; then everybody whose value may be canonically the least.
    float best = pair_values[0], second = kInfinity;
    int32_t label = pair[0];
    const auto consider = [&](float v, int32_t j) {
      if (v < best) {
        second = best;
        best = v;
        label = j;
      } else {
        second = std::min(second, v);
      }
    };
    if (args_.k > 1) consider(pair_values[1], pair[1]);
    for (int64_t i = 0; i < count; ++i) {
      values[i] = std::fma(-2.0f, values[i], args_.c_norms[list[i]]);
      consider(values[i], list[i]);
    }
    const double e = error(row), length = args_.squares[2 * row];
    double worst = static_cast<double>(best);
    if (args_.k > 1 && static_cast<double>(second) <= static_cast<double>(best) + 4 * e) {
      const auto near = [&](float v) { return static_cast<double>(v) <= static_cast<double>(best) + 4 * e; };
      int64_t choices = 0;
      for (int i = 0; i < 2; ++i) {
        if (near(pair_values[i])) close[choices++] = pair[i];
      }
      for (int64_t i = 0; i < count; ++i) {
        if (near(values[i])) close[choices++] = list[i];
      }
      selection_.chains(x, args_.centres, close, choices, args_.d, values);
      label = -1;
      float least = kInfinity;
      for (int64_t i = 0; i < choices; ++i) {
        const float v = std::fma(-2.0f, values[i], args_.c_norms[close[i]]);
        if (label >= 0 && (v > least || (v == least && close[i] > label))) continue;
        least = v;
        label = close[i];
      }
      worst = static_cast<double>(best) + 4 * e;
      second = best;  // the label need not have the least value: any other centre may
    }
    args_.labels[row] = label;
    args_.upper[row] = rounded_up(std::sqrt(std::max(0.0, worst + length + e)) * kWider);
    const double other = std::min(static_cast<double>(second) + length - e, reach);
    args_.lower[row] = args_.k > 1 ? rounded_down(std::sqrt(std::max(0.0, other)) * (1 - 1e-9)) : kInfinity;
    return count + (args_.k > 1 ? 2 : 1);
  }

  Context& context_;
  const GemmKernels& gemm_;
  const SelectionKernels& selection_;
  const ms_nearest_filtered_args& args_;
  const int64_t depth_, centre_panels_;
  ScratchPlan plan_;
  size_t heads_at_ = 0, active_at_ = 0, gathered_at_ = 0, panel_at_ = 0, tiles_at_ = 0, lists_at_ = 0, values_at_ = 0, close_at_ = 0, workers_at_ = 0, worker_bytes_ = 0;
  std::byte* scratch_ = nullptr;
  double most_moved_ = 0, next_moved_ = 0, underflow_ = 0;
  int64_t most_mover_ = -1;
  std::atomic<int64_t> filtered_{0}, distances_{0};
};

}  // namespace

int32_t cpu_nearest_filtered(ms_context* handle, const ms_nearest_filtered_args* args) {
  Context& context = context_of(handle);
  MS_EXPECT(context, args->n >= 0 && args->k >= 1 && args->k <= INT32_MAX && args->d >= 0 && args->r >= 1);
  if (!Filtered(context, *args).run()) return context.fail(MS_OUT_OF_MEMORY, "no room for the scratch of filtered nearest centres");
  return MS_OK;
}

int32_t cpu_filter_heads(ms_context* handle, const ms_filter_heads_args* args) {
  Context& context = context_of(handle);
  const auto& [n, d, r, x, mean, directions, head_error, heads, squares] = *args;
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
      context.kernels.selection.centre_panel(x + row * d, used, d, mean, panel, squares + 2 * row);
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
        const double spread = squares[2 * (row + w) + 1];
        heads[(row + w) * (r + 1) + r] = std::nextafter(static_cast<float>(std::sqrt(std::max(0.0, spread - length[w] + 3 * head_error * spread))), kInfinity);
      }
    }
  });
  return MS_OK;
}

}  // namespace mendset
