// Nearest centroids that most centroids need not be compared for: bounds from the passes before, then a filter of r + 1 dimensions, then fp32
// products, and fp64 sums only where those leave a choice.
//
// Let V be |x - c|^2 - |x|^2 as the fp64 sum of label_distances gives it, R the largest |c|, and e = gamma(d + 6) R (R + 2 |x|) plus underflow and
// the rounding of those sums and of subnormal centroids. Then v = |c|^2 - 2 x.c of rounded centroids, in fp32 and any order, differs from V by at most e. A centroid
// whose v or proven squared distance exceeds that of another by more than 2 e cannot win.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

#include "cpu/centre_products.h"
#include "cpu/context.h"
#include "cpu/cpu_operations.h"
#include "cpu/kernels.h"
#include "cpu/partition.h"

namespace mendset {
namespace {

using namespace cpu;

constexpr int64_t kBoundedRows = 1024;  // of a task: rows that the bounds leave are gathered within it
constexpr int64_t kMostNear = 16;
constexpr int64_t kMostChoices = kMostNear + 17;  // of a row that the bounds do not settle: its own, kept ones and runners
constexpr int64_t kMostEntries = kMostNear + 2;  // the nearest, kMostNear others, and the next, which bounds the rest
constexpr double kWider = 1 + 1e-9;              // covers the rounding of the fp64 bounds themselves
constexpr double kLongest = 4e18;                // fp32 products of longer rows and centroids could overflow
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr double kInfinity64 = std::numeric_limits<double>::infinity();

double gamma(int64_t operations) {
  const double error = static_cast<double>(operations) * 0x1p-24;
  return error < 0.5 ? error / (1 - error) : kInfinity64;
}
float rounded_up(double value) {
  const float near = static_cast<float>(value);
  return static_cast<double>(near) < value ? std::nextafter(near, kInfinity) : near;
}
float rounded_down(double value) {
  const float near = static_cast<float>(value);
  return static_cast<double>(near) > value ? std::nextafter(near, -kInfinity) : near;
}

// The least values of a row, ascending, equal ones in the order they came.
struct Least {
  explicit Least(int64_t entries) : most(entries) {}
  void insert(float v, int32_t j) {
    if (count == most && !(v < value[count - 1])) return;
    int64_t place = count < most ? count++ : count - 1;
    for (; place > 0 && v < value[place - 1]; --place) {
      value[place] = value[place - 1];
      label[place] = label[place - 1];
    }
    value[place] = v;
    label[place] = j;
  }
  const int64_t most;
  int64_t count = 0;
  float value[kMostEntries];
  int32_t label[kMostEntries];
};

class Bounded {
 public:
  Bounded(Context& context, const ms_nearest_bounded_args& args)
      : context_(context), gemm_(context.kernels.gemm), selection_(context.kernels.selection), args_(args), kept_(args.upper != nullptr), m_(kept_ ? args.m : 0),
        entries_(kept_ ? m_ + 2 : 2), depth_(args.r + 1), centre_panels_(blocks_of(args.k, gemm_.rows)), gamma_(gamma(args.d + 6)), underflow_(static_cast<double>(4 * args.d + 64) * 0x1p-149), rounding_(std::sqrt(static_cast<double>(args.d)) * 0x1p-148),
        fp64_error_(static_cast<double>(args.d + 16) * 0x1p-52), products_(context, args.x, args.n, args.centres, args.k, args.d) {
    ScratchPlan& plan = products_.plan();
    const int64_t threads = context.pool.threads();
    active_at_ = plan.add<int32_t>(kBoundedRows * threads);
    if (kept_) still_at_ = plan.add<float>(args.k), calm_at_ = plan.add<float>(args.k);
    if (args.r > 0) {
      heads_at_ = plan.add<float>(centre_panels_ * gemm_.rows * depth_);
      gathered_at_ = plan.add<float>(gemm_.columns * depth_ * threads);
      panel_at_ = plan.add<float>(gemm_.columns * depth_ * threads);
      tiles_at_ = plan.add<float>(centre_panels_ * gemm_.rows * gemm_.columns * threads);
      lists_at_ = plan.add<int32_t>(gemm_.columns * args.k * threads);
      values_at_ = plan.add<float>(args.k * threads);
    }
  }

  bool run() {
    if (!products_.reserve()) return false;
    if (args_.c_length > kLongest || args_.x_length > kLongest) {
      run_tasks(context_, blocks_of(args_.n, kBoundedRows), args_.n * args_.k * args_.d, [&](int64_t task, int) {
        for (int64_t row = task * kBoundedRows; row < std::min(args_.n, (task + 1) * kBoundedRows); ++row) compare_all(row);
      });
      full_ += args_.n * args_.k;
    } else if (!kept_ || (args_.known == 0 && args_.r == 0)) {
      products_.run([&](int64_t row, int64_t used, int) { return Sink(*this, row, used, nullptr); });
      full_ += args_.n * args_.k;
    } else {
      products_.pack_centres();
      if (args_.r > 0) pack_heads();
      if (args_.known != 0) place_limits();
      run_tasks(context_, blocks_of(args_.n, kBoundedRows), args_.n * std::max<int64_t>(args_.k, 64), [&](int64_t task, int worker) { rows(task * kBoundedRows, std::min(args_.n, (task + 1) * kBoundedRows), worker); });
    }
    args_.evaluated[0] += filtered_.load();
    args_.evaluated[1] += survivors_.load();
    args_.evaluated[2] += kept_distances_.load();
    args_.evaluated[3] += full_.load();
    return true;
  }

 private:
  // The least values of a panel of rows against all centroids. index: of the rows, null when they follow each other.
  struct Sink {
    Sink(Bounded& bounded, int64_t first_row, int64_t rows_used, const int32_t* rows) : owner(bounded), first(first_row), used(rows_used), index(rows) {
      std::fill_n(value, owner.entries_ * kMostColumns, kInfinity);
      std::fill_n(label, owner.entries_ * kMostColumns, -1);
    }
    void fold(const float* tile, int64_t centre, int64_t centres) {
      const float* const c_norms = owner.args_.c_norms + centre;
      const int64_t width = owner.gemm_.columns;
      if (owner.m_ > 0) owner.selection_.fold_least(tile, centres, c_norms, static_cast<int32_t>(centre), owner.entries_, value, label);
      else owner.selection_.fold_nearest(tile, centres, c_norms, static_cast<int32_t>(centre), {value, label, value + width, label + width});
    }
    void end() {
      if (owner.kept_ && owner.m_ == 0 && owner.args_.k > 1) end_two();
      else end_each();
    }
    // Bounds of all rows at once; rows whose two nearest are too close are looked at one by one.
    void end_two() {
      const ms_nearest_bounded_args& args = owner.args_;
      const int64_t width = owner.gemm_.columns;
      alignas(64) double squares[kMostColumns] = {};
      alignas(64) float upper[kMostColumns], lower[kMostColumns], gap[kMostColumns];
      uint8_t close[kMostColumns];
      for (int64_t w = 0; w < used; ++w) squares[w] = args.squares[index != nullptr ? index[w] : first + w];
      owner.selection_.bound_two({value, value + width, label, squares, args.moved, args.all_moved, std::max(args.c_length, args.longest), owner.gamma_, owner.fp64_error_, owner.rounding_, owner.underflow_,
                                  upper, lower, gap}, used, close);
      for (int64_t w = 0; w < used; ++w) {
        const int64_t row = index != nullptr ? index[w] : first + w;
        if (close[w] != 0) {
          owner.compare_close(row);
          continue;
        }
        args.labels[row] = label[w];
        args.upper[row] = upper[w];
        args.lower[row] = lower[w];
        args.gap[row] = gap[w];
      }
    }
    void end_each() {
      const int64_t width = owner.gemm_.columns;
      const double widest = 2 * owner.error_of(owner.args_.x_length);
      for (int64_t w = 0; w < used; ++w) {
        const int64_t row = index != nullptr ? index[w] : first + w;
        if (!owner.kept_ && static_cast<double>(value[width + w]) > static_cast<double>(value[w]) + widest) {
          owner.args_.labels[row] = label[w];
          continue;
        }
        Least least(owner.entries_);
        for (int64_t entry = 0; entry < owner.entries_ && label[entry * width + w] >= 0; ++entry) {
          least.value[least.count] = value[entry * width + w];
          least.label[least.count++] = label[entry * width + w];
        }
        const bool all = least.count == owner.args_.k;
        owner.settle(row, least, all ? kInfinity64 : static_cast<double>(least.value[least.count - 1]));
      }
    }
    Bounded& owner;
    const int64_t first, used;
    const int32_t* index;
    alignas(64) float value[kMostEntries * kMostColumns];
    alignas(64) int32_t label[kMostEntries * kMostColumns];
  };

  template <typename T> T* own(int worker, size_t at, int64_t count) const { return reinterpret_cast<T*>(products_.scratch() + at) + worker * count; }

  double error_of(double length, double longest) const {
    return (gamma_ * longest * (longest + 2 * length) + (fp64_error_ * (longest + length) + rounding_) * (longest + length) + underflow_) * kWider;
  }
  double error_of(double length) const { return error_of(length, args_.c_length); }
  double error(int64_t row) const { return error_of(std::sqrt(args_.squares[row])); }

  float value_of(int32_t j, float product) const { return std::fma(-2.0f, product, args_.c_norms[j]); }

  double exact_square(int64_t row, int32_t j) const {
    double square;
    selection_.label_distances(args_.x + row * args_.d, 1, args_.d, args_.centroids, &j, &square);
    return square;
  }

  void forget(int64_t row) {
    if (kept_) args_.lower[row] = args_.gap[row] = -kInfinity;
  }

  void compare_all(int64_t row) {
    int32_t label = 0;
    double least = kInfinity64;
    for (int32_t j = 0; j < args_.k; ++j) {
      const double square = exact_square(row, j);
      if (!(square < least)) continue;
      least = square;
      label = j;
    }
    args_.labels[row] = label;
    forget(row);
  }

  // The same with fp32 products first: what is within 2 e of the least is rarely more than a few.
  void compare_close(int64_t row) {
    constexpr int32_t kBlock = 64;
    const double e = error(row);
    float values[kBlock], close_value[kBlock], least = kInfinity;
    int32_t list[kBlock], close[kBlock];
    int64_t count = 0;
    for (int32_t first = 0; first < args_.k; first += kBlock) {
      const int32_t used = static_cast<int32_t>(std::min<int64_t>(kBlock, args_.k - first));
      for (int32_t i = 0; i < used; ++i) list[i] = first + i;
      selection_.dots(args_.x + row * args_.d, args_.centres, list, used, args_.d, values);
      for (int32_t i = 0; i < used; ++i) {
        const float v = value_of(list[i], values[i]);
        if (static_cast<double>(v) > static_cast<double>(least) + 2 * e) continue;
        least = std::min(least, v);
        if (count == kBlock) return compare_all(row);
        close_value[count] = v;
        close[count++] = list[i];
      }
    }
    int32_t label = -1;
    double least_square = kInfinity64;
    for (int64_t i = 0; i < count; ++i) {  // by ascending number
      if (static_cast<double>(close_value[i]) > static_cast<double>(least) + 2 * e) continue;
      const double square = exact_square(row, close[i]);
      if (!(square < least_square)) continue;
      least_square = square;
      label = close[i];
    }
    args_.labels[row] = label;
    forget(row);
  }

  // Decides a row by the least values of all centroids; `rest`: no further centroid has a smaller v.
  void settle(int64_t row, const Least& least, double rest) {
    if (least.count == 0) return compare_close(row);
    const double e = error(row), reach = static_cast<double>(least.value[0]) + 2 * e;
    if (rest <= reach) return compare_close(row);
    const int64_t place = choose(row, least.value, least.label, least.count, e);
    args_.labels[row] = least.label[place];
    if (!kept_) return;
    const double length = args_.squares[row];
    int32_t* const near = args_.near + row * m_;
    float* const near_lower = args_.near_lower + row * m_;
    const double upper = std::sqrt(std::max(0.0, static_cast<double>(least.value[place]) + length + e)) * kWider;
    int64_t others = 0;
    for (int64_t i = 0; i < least.count; ++i) {
      if (i == place) continue;
      if (others == m_) {
        rest = std::min(rest, static_cast<double>(least.value[i]));
        break;
      }
      near[others] = least.label[i];
      near_lower[others++] = rounded_down(distance_at_least(static_cast<double>(least.value[i]) + length - e) + args_.moved[least.label[i]]);
    }
    for (; others < m_; ++others) {
      near[others] = -1;
      near_lower[others] = kInfinity;
    }
    args_.lower[row] = rest == kInfinity64 ? kInfinity : rounded_down(distance_at_least(rest + length - e) + args_.all_moved);
    keep(row, upper, e);
  }

  static double distance_at_least(double square) { return std::sqrt(std::max(0.0, square)) * (1 - 1e-9); }

  // upper: at least the distance to the row's centroid now. Sets what later passes read first.
  void keep(int64_t row, double upper, double e) {
    const double own_moved = args_.moved[args_.labels[row]];
    args_.upper[row] = rounded_up(upper - own_moved);
    double nearest = static_cast<double>(args_.lower[row]) - args_.all_moved;
    for (int64_t t = 0; t < m_; ++t) {
      const int32_t j = args_.near[row * m_ + t];
      if (j >= 0) nearest = std::min(nearest, static_cast<double>(args_.near_lower[row * m_ + t]) - args_.moved[j]);
    }
    if (nearest == kInfinity64) {  // one centroid
      args_.gap[row] = kInfinity;
      return;
    }
    const double longest = std::max(e, error_of(std::sqrt(args_.squares[row]), args_.longest));
    const double margin = 2 * longest / (std::sqrt(upper * upper + 2 * longest) + upper + 1e-300);
    const double gap = nearest > 0 ? (nearest + args_.all_moved) - (upper - own_moved) - margin : -kInfinity64;
    // What is subtracted may be larger than the gap itself: the widening covers its rounding.
    args_.gap[row] = rounded_down(gap - 1e-8 * (std::abs(nearest) + args_.all_moved + std::abs(upper) + own_moved));
  }

  // What gap and upper must exceed and stay below for the label to stay, by label, in fp32.
  void place_limits() {
    auto* const still = own<float>(0, still_at_, 0);
    auto* const calm = own<float>(0, calm_at_, 0);
    for (int64_t j = 0; j < args_.k; ++j) {
      still[j] = rounded_up(args_.all_moved + args_.moved[j]);
      calm[j] = rounded_down(static_cast<double>(args_.calm[j]) - args_.moved[j]);
    }
  }

  // For rows that the limits do not settle. True when the label stays or changed to one of the kept centroids; false: all have to be looked at.
  bool settled(int64_t row, int64_t& distances) {
    const int32_t label = args_.labels[row];
    const double own_moved = args_.moved[label];
    double rest = static_cast<double>(args_.lower[row]) - args_.all_moved;
    if (!(rest > 0)) return false;
    const double e = error(row), length = args_.squares[row];
    double upper = (static_cast<double>(args_.upper[row]) + own_moved) * kWider;
    double beyond = (upper * upper + 2 * e) * kWider;
    const auto excluded = [&](double lower) { return lower > 0 && lower * (1 - 1e-9) * lower > beyond; };
    int32_t* const near = args_.near + row * m_;
    float* const near_lower = args_.near_lower + row * m_;
    const auto lower_of = [&](int64_t t) { return near[t] < 0 ? kInfinity64 : static_cast<double>(near_lower[t]) - args_.moved[near[t]]; };
    bool apart = excluded(rest) && upper < static_cast<double>(args_.calm[label]);
    for (int64_t t = 0; apart && t < m_; ++t) apart = excluded(lower_of(t));
    if (apart) {
      keep(row, upper, e);
      return true;
    }
    const float* const x = args_.x + row * args_.d;
    float value[kMostChoices], product;
    int32_t who[kMostChoices];
    int64_t place[kMostChoices], count = 1;  // place: in the list of kept centroids, -1 a runner
    selection_.dots(x, args_.centres, &label, 1, args_.d, &product);
    ++distances;
    who[0] = label;
    value[0] = value_of(label, product);
    upper = std::sqrt(std::max(0.0, static_cast<double>(value[0]) + length + e)) * kWider;
    beyond = (upper * upper + 2 * e) * kWider;
    if (!excluded(rest)) return false;
    for (int64_t t = 0; t < m_; ++t) {
      if (excluded(lower_of(t))) continue;
      place[count] = t;
      who[count++] = near[t];
    }
    for (int64_t q = 0; q < args_.running; ++q) {
      if (excluded(static_cast<double>(args_.apart[label * args_.running + q]) - upper) || std::find(near, near + m_, args_.runners[q]) != near + m_) continue;
      if (count == kMostChoices) return false;
      place[count] = -1;
      who[count++] = args_.runners[q];
    }
    if (count > 1) {
      selection_.dots(x, args_.centres, who + 1, count - 1, args_.d, value + 1);
      distances += count - 1;
      for (int64_t i = 1; i < count; ++i) {
        value[i] = value_of(who[i], value[i]);
        if (place[i] >= 0) near_lower[place[i]] = rounded_down(distance_at_least(static_cast<double>(value[i]) + length - e) + args_.moved[who[i]]);
      }
      const int64_t best = choose(row, value, who, count, e);
      if (best != 0) {
        int64_t left = place[best];
        if (left < 0) {  // a runner: the farthest kept centroid makes room for the label
          left = 0;
          for (int64_t t = 1; t < m_; ++t) {
            if (lower_of(t) > lower_of(left)) left = t;
          }
          args_.lower[row] = std::min(args_.lower[row], rounded_down(std::min(lower_of(left), 1e30) + args_.all_moved));
        }
        near[left] = label;
        near_lower[left] = rounded_down(distance_at_least(static_cast<double>(value[0]) + length - e) + args_.moved[label]);
        args_.labels[row] = who[best];
        upper = std::sqrt(std::max(0.0, static_cast<double>(value[best]) + length + e)) * kWider;
      }
    }
    keep(row, upper, e);
    return true;
  }

  // The winner's place among a few values in no order.
  int64_t choose(int64_t row, const float* values, const int32_t* who, int64_t count, double e) const {
    const double reach = static_cast<double>(*std::min_element(values, values + count)) + 2 * e;
    int64_t close = 0, best = 0, place[kMostChoices];
    for (int64_t i = 0; i < count; ++i) {
      if (static_cast<double>(values[i]) <= reach) place[close++] = i;
    }
    if (close == 1) return place[0];
    double least = kInfinity64;
    for (int64_t i = 0; i < close; ++i) {
      const double square = exact_square(row, who[place[i]]);
      if (square > least || (square == least && who[place[i]] > who[best])) continue;
      least = square;
      best = place[i];
    }
    return best;
  }

  void rows(int64_t first, int64_t last, int worker) {
    auto* const active = own<int32_t>(worker, active_at_, kBoundedRows);
    int64_t count = 0, distances = 0, survivors = 0;
    if (args_.known != 0) {
      const int64_t open = selection_.unsettled(args_.labels, args_.upper, args_.gap, own<float>(0, still_at_, 0), own<float>(0, calm_at_, 0), first, last, active);
      if (m_ == 0) count = open;
      for (int64_t i = 0; m_ > 0 && i < open; ++i) {
        if (!settled(active[i], distances)) active[count++] = active[i];
      }
    } else {
      for (int64_t row = first; row < last; ++row) active[count++] = static_cast<int32_t>(row);
    }
    for (int64_t at = 0; at < count; at += gemm_.columns) {
      const int64_t used = std::min(gemm_.columns, count - at);
      if (args_.r > 0) {
        survivors += filtered_panel(active + at, used, worker);
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

  void pack_heads() {
    auto* const heads = reinterpret_cast<float*>(products_.scratch() + heads_at_);
    for (int64_t panel = 0; panel < centre_panels_; ++panel) {
      const int64_t first = panel * gemm_.rows;
      gemm_.pack(heads + first * depth_, gemm_.rows, args_.c_heads + first * depth_, depth_, true, std::min(gemm_.rows, args_.k - first), depth_, MS_ACTIVATION_NONE);
    }
  }

  // What the filter's value may lack to be a lower bound of the squared distance (performance.md 2.4, source 4).
  double slack(double spread) const {
    const double length = 1.001 * std::sqrt(spread), radius = 1.001 * args_.c_spread, h = args_.head_error;
    return (gamma(depth_ + 4) * radius * (radius + 2 * length) + 2 * (2 * h + h * h) * length * radius + underflow_) * kWider;
  }

  // One panel of rows through the filter; returns how many distances it took.
  int64_t filtered_panel(const int32_t* row, int64_t used, int worker) {
    auto* const gathered = own<float>(worker, gathered_at_, gemm_.columns * depth_);
    auto* const packed = own<float>(worker, panel_at_, gemm_.columns * depth_);
    auto* const tiles = own<float>(worker, tiles_at_, centre_panels_ * gemm_.rows * gemm_.columns);
    auto* const lists = own<int32_t>(worker, lists_at_, gemm_.columns * args_.k);
    auto* const values = own<float>(worker, values_at_, args_.k);
    const auto* const heads = reinterpret_cast<const float*>(products_.scratch() + heads_at_);
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

    // The label of the pass before and the most promising other centroid tell how near a centroid must be to matter.
    double reach[kMostColumns];  // squared distance that every centroid beyond the limit exceeds
    for (int64_t w = 0; w < used; ++w) {
      const int32_t before = args_.labels[row[w]];
      int32_t pair[2] = {before >= 0 ? before : std::max(least_label[w], 0), least_label[w]};
      if (pair[1] == pair[0]) pair[1] = next_label[w];
      if (pair[1] < 0) pair[1] = pair[0];
      float products[2];
      selection_.dots(args_.x + static_cast<int64_t>(row[w]) * args_.d, args_.centres, pair, 2, args_.d, products);
      const double length = args_.squares[row[w]], spread = args_.spreads[row[w]], e = error(row[w]);
      const double least_square = static_cast<double>(std::min(value_of(pair[0], products[0]), value_of(pair[1], products[1]))) + length;
      const double radius = std::sqrt(std::max(0.0, least_square)) + args_.stretch;
      reach[w] = std::max(least_square, radius * radius) + 4 * e;
      limits[w] = rounded_up((reach[w] - spread + slack(spread)) + (std::abs(reach[w]) + spread) * 1e-9);
    }
    for (int64_t p = 0; p < centre_panels_; ++p) {
      const int64_t centre = p * gemm_.rows, centres = std::min(gemm_.rows, args_.k - centre);
      selection_.append_below(tiles + p * tile, centres, args_.c_squares + centre, static_cast<int32_t>(centre), limits, lists, args_.k, counts);
    }
    int64_t distances = 2 * used;
    for (int64_t w = 0; w < used; ++w) {
      const int32_t* const list = lists + w * args_.k;
      selection_.dots(args_.x + static_cast<int64_t>(row[w]) * args_.d, args_.centres, list, counts[w], args_.d, values);
      distances += counts[w];
      Least nearest(entries_);
      for (int64_t i = 0; i < counts[w]; ++i) nearest.insert(value_of(list[i], values[i]), list[i]);
      // Beyond the limit: a distance above `reach`, hence v above reach - |x|^2 - e.
      double rest = counts[w] == args_.k ? kInfinity64 : reach[w] - args_.squares[row[w]] - error(row[w]);
      if (counts[w] > nearest.count) rest = std::min(rest, static_cast<double>(nearest.value[nearest.count - 1]));
      settle(row[w], nearest, rest);
    }
    return distances;
  }

  Context& context_;
  const GemmKernels& gemm_;
  const SelectionKernels& selection_;
  const ms_nearest_bounded_args& args_;
  const bool kept_;
  const int64_t m_, entries_, depth_, centre_panels_;
  const double gamma_, underflow_, rounding_, fp64_error_;
  CentreProducts products_;
  size_t active_at_ = 0, still_at_ = 0, calm_at_ = 0, heads_at_ = 0, gathered_at_ = 0, panel_at_ = 0, tiles_at_ = 0, lists_at_ = 0, values_at_ = 0;
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
