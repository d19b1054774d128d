#include "cpu/row_bounds.h"

namespace mendset::cpu {
namespace {

constexpr int64_t kMostChoices = kMostNear + 17;  // of a row that the bounds do not settle: its own, kept ones and runners
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr double kInfinity64 = std::numeric_limits<double>::infinity();

double distance_at_least(double square) { return std::sqrt(std::max(0.0, square)) * (1 - 1e-9); }

}  // namespace

RowBounds::RowBounds(const SelectionKernels& kernels, const ms_nearest_bounded_args& args, ScratchPlan* plan)
    : kernels_(kernels), args_(args), kept_(args.upper != nullptr), m_(kept_ ? args.m : 0), gamma_(gamma(args.d + 6)),
      underflow_(static_cast<double>(4 * args.d + 64) * 0x1p-149), rounding_(std::sqrt(static_cast<double>(args.d)) * 0x1p-148),
      fp64_error_(static_cast<double>(args.d + 16) * 0x1p-52) {
  if (!kept_) return;
  still_at_ = plan->add<float>(args.k);
  moved_at_ = plan->add<float>(args.k);
  runner_moved_at_ = plan->add<float>(args.running);
  apart_at_ = plan->add<float>(args.running * args.k);
  runner_of_at_ = plan->add<int32_t>(args.k);
}

void RowBounds::place(std::byte* scratch) {
  if (!kept_) return;
  still_ = reinterpret_cast<float*>(scratch + still_at_);
  moved_ = reinterpret_cast<float*>(scratch + moved_at_);
  runner_moved_ = reinterpret_cast<float*>(scratch + runner_moved_at_);
  apart_ = reinterpret_cast<float*>(scratch + apart_at_);
  runner_of_ = reinterpret_cast<int32_t*>(scratch + runner_of_at_);
  for (int64_t j = 0; j < args_.k; ++j) {
    still_[j] = rounded_up(args_.all_moved + args_.moved[j]);
    moved_[j] = rounded_up(args_.moved[j]);
    for (int64_t q = 0; q < args_.running; ++q) apart_[q * args_.k + j] = args_.apart[j * args_.running + q];
  }
  std::fill_n(runner_of_, args_.k, -1);
  for (int64_t q = 0; q < args_.running; ++q) {
    runner_of_[args_.runners[q]] = static_cast<int32_t>(q);
    runner_moved_[q] = rounded_up(args_.moved[args_.runners[q]]);
  }
}

double RowBounds::exact_square(int64_t row, int32_t j) const {
  double square;
  kernels_.label_distances(args_.x + row * args_.d, 1, args_.d, args_.centroids, &j, &square);
  return square;
}

void RowBounds::forget(int64_t row) const {
  if (kept_) args_.lower[row] = args_.gap[row] = -kInfinity;
}

void RowBounds::compare_all(int64_t row) const {
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

void RowBounds::compare_close(int64_t row) const {
  constexpr int32_t kBlock = 64;
  const double e = error(row);
  float values[kBlock], close_value[kBlock], least = kInfinity;
  int32_t list[kBlock], close[kBlock];
  int64_t count = 0;
  for (int32_t first = 0; first < args_.k; first += kBlock) {
    const int32_t used = static_cast<int32_t>(std::min<int64_t>(kBlock, args_.k - first));
    for (int32_t i = 0; i < used; ++i) list[i] = first + i;
    kernels_.dots(args_.x + row * args_.d, args_.centres, list, used, args_.d, values);
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

void RowBounds::settle(int64_t row, const Least& least, double rest) const {
  if (least.count == 0) return compare_close(row);
  const double e = error(row), reach = static_cast<double>(least.value[0]) + 2 * e;
  if (rest <= reach) return compare_close(row);
  const int64_t place = choose(row, least.value, least.label, least.count, e);
  args_.labels[row] = least.label[place];
  if (!kept_) return;
  const double length = args_.squares[row];
  const auto distance_of = [&](double v) { return v == kInfinity64 ? v : distance_at_least(v + length - e); };
  int32_t* const near = args_.near + row * m_;
  float* const near_lower = args_.near_lower + row * m_;
  float* const runner_lower = args_.runner_lower + row * args_.most_running;
  for (int64_t q = 0; q < args_.running; ++q) runner_lower[q] = rounded_down(distance_of(rest) + args_.moved[args_.runners[q]]);
  int64_t others = 0;
  double beyond = rest;
  for (int64_t i = 0; i < least.count; ++i) {
    const int32_t j = least.label[i];
    const double v = static_cast<double>(least.value[i]);
    if (runs(j)) {
      runner_lower[runner_of_[j]] = rounded_down(distance_of(v) + args_.moved[j]);
    } else if (i != place && others < m_) {
      near[others] = j;
      near_lower[others++] = rounded_down(distance_of(v) + args_.moved[j]);
    } else if (i != place) {
      beyond = std::min(beyond, v);
    }
  }
  for (; others < m_; ++others) {
    near[others] = -1;
    near_lower[others] = kInfinity;
  }
  args_.lower[row] = rounded_down(distance_of(beyond) + args_.all_moved);
  keep(row, std::sqrt(std::max(0.0, static_cast<double>(least.value[place]) + length + e)) * kWider, e);
}

void RowBounds::settle_two(const float* best, const float* second, const int32_t* label, const int32_t* rows, int64_t first, int64_t used) const {
  constexpr int64_t kMost = 32;
  alignas(64) double squares[kMost] = {};
  alignas(64) float upper[kMost], lower[kMost], gap[kMost];
  uint8_t close[kMost];
  for (int64_t w = 0; w < used; ++w) squares[w] = args_.squares[rows != nullptr ? rows[w] : first + w];
  kernels_.bound_two({best, second, label, squares, args_.moved, args_.all_moved, std::max(args_.c_length, args_.longest), gamma_, fp64_error_, rounding_,
                      underflow_, upper, lower, gap}, used, close);
  for (int64_t w = 0; w < used; ++w) {
    const int64_t row = rows != nullptr ? rows[w] : first + w;
    if (close[w] != 0) {
      compare_close(row);
      continue;
    }
    args_.labels[row] = label[w];
    args_.upper[row] = upper[w];
    args_.lower[row] = lower[w];
    args_.gap[row] = gap[w];
    for (int64_t q = 0; q < args_.running; ++q) {
      const double rest = (static_cast<double>(lower[w]) - args_.all_moved) + args_.moved[args_.runners[q]];
      args_.runner_lower[row * args_.most_running + q] = static_cast<float>(rest - (std::abs(rest) * 0x1p-23 + 0x1p-148));
    }
  }
}

// upper: at least the distance to the row's centroid now. Sets what later passes read first.
void RowBounds::keep(int64_t row, double upper, double e) const {
  const double own_moved = args_.moved[args_.labels[row]];
  args_.upper[row] = rounded_up(upper - own_moved);
  double nearest = static_cast<double>(args_.lower[row]) - args_.all_moved;
  for (int64_t t = 0; t < m_; ++t) nearest = std::min(nearest, near_distance(row, t));
  if (nearest == kInfinity64) {  // no other centroid
    args_.gap[row] = kInfinity;
    return;
  }
  const double longest = std::max(e, error_of(std::sqrt(args_.squares[row]), args_.longest));
  const double margin = 2 * longest / (std::sqrt(upper * upper + 2 * longest) + upper + 1e-300);
  const double gap = nearest > 0 ? (nearest + args_.all_moved) - (upper - own_moved) - margin : -kInfinity64;
  // What is subtracted may be larger than the gap itself: the widening covers its rounding.
  args_.gap[row] = rounded_down(gap - 1e-8 * (std::abs(nearest) + args_.all_moved + std::abs(upper) + own_moved));
}

// The winner's place among a few values in no order.
int64_t RowBounds::choose(int64_t row, const float* values, const int32_t* who, int64_t count, double e) const {
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

// Until the pass before, a centroid that joined was kept near or bounded by `lower`.
void RowBounds::join_runners(int64_t first, int64_t last) const {
  for (int64_t q = args_.running_before; q < args_.running; ++q) {
    const int32_t j = args_.runners[q];
    for (int64_t row = first; row < last; ++row) {
      double lower = args_.labels[row] == j ? -kInfinity64 : static_cast<double>(args_.lower[row]) + args_.joined[q];
      for (int64_t t = 0; t < m_; ++t) {
        if (args_.near[row * m_ + t] == j) lower = static_cast<double>(args_.near_lower[row * m_ + t]);
      }
      args_.runner_lower[row * args_.most_running + q] = rounded_down(lower);
    }
  }
}

int64_t RowBounds::open_rows(int64_t first, int64_t last, int32_t* rows) const {
  join_runners(first, last);
  const float widest = rounded_up(2 * error_of(args_.x_length));
  return kernels_.unsettled({args_.k, args_.labels, args_.upper, args_.gap, still_, moved_, args_.running, args_.most_running, args_.runner_lower, runner_moved_, apart_, widest},
                            first, last, rows);
}

double RowBounds::near_distance(int64_t row, int64_t t) const {
  const int32_t j = args_.near[row * m_ + t];
  return j < 0 || runs(j) ? kInfinity64 : static_cast<double>(args_.near_lower[row * m_ + t]) - args_.moved[j];
}

void RowBounds::prefetch(int64_t row) const {
  const auto fetch = [](const void* from, int64_t bytes) {
    for (int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(static_cast<const char*>(from) + at, 0, 2);
  };
  fetch(args_.x + row * args_.d, args_.d * 4);
  fetch(args_.near + row * m_, m_ * 4);
  fetch(args_.near_lower + row * m_, m_ * 4);
  fetch(args_.runner_lower + row * args_.most_running, args_.running * 4);
}

// `label`, which the row leaves, at least `distance` away: it takes the place of the new label in the list of near ones, or that of a runner or the farthest.
void RowBounds::replace_label(int64_t row, int32_t label, int64_t place, double distance) const {
  int32_t* const near = args_.near + row * m_;
  float* const near_lower = args_.near_lower + row * m_;
  const float lower = rounded_down(distance + args_.moved[label]);
  if (runs(label)) {
    args_.runner_lower[row * args_.most_running + runner_of_[label]] = lower;
    if (place >= 0) near[place] = -1;
    return;
  }
  if (place < 0) {
    place = 0;
    for (int64_t t = 1; t < m_; ++t) {
      if (near_distance(row, t) > near_distance(row, place)) place = t;
    }
    const double farthest = near_distance(row, place);
    if (farthest != kInfinity64) args_.lower[row] = std::min(args_.lower[row], rounded_down(farthest + args_.all_moved));
  }
  near[place] = label;
  near_lower[place] = lower;
}

bool RowBounds::settled(int64_t row, int64_t& distances) const {
  const int32_t label = args_.labels[row];
  const double own_moved = args_.moved[label];
  const double rest = static_cast<double>(args_.lower[row]) - args_.all_moved;
  if (!(rest > 0)) return false;
  const double e = error(row), length = args_.squares[row];
  double upper = (static_cast<double>(args_.upper[row]) + own_moved) * kWider;
  double beyond = (upper * upper + 2 * e) * kWider;
  const auto excluded = [&](double lower) { return lower > 0 && lower * (1 - 1e-9) * lower > beyond; };
  float* const runner_lower = args_.runner_lower + row * args_.most_running;
  const auto runner_distance = [&](int64_t q) {
    return std::max(static_cast<double>(runner_lower[q]) - args_.moved[args_.runners[q]], static_cast<double>(args_.apart[label * args_.running + q]) - upper);
  };
  bool apart = excluded(rest);
  for (int64_t q = 0; apart && q < args_.running; ++q) apart = excluded(runner_distance(q));
  for (int64_t t = 0; apart && t < m_; ++t) apart = excluded(near_distance(row, t));
  if (apart) {
    keep(row, upper, e);
    return true;
  }
  const float* const x = args_.x + row * args_.d;
  float value[kMostChoices];
  int32_t who[kMostChoices];
  int64_t place[kMostChoices], count = 1;  // place: in the list of kept centroids, -1 a runner
  kernels_.dots(x, args_.centres, &label, 1, args_.d, value);
  ++distances;
  who[0] = label;
  value[0] = value_of(label, value[0]);
  upper = std::sqrt(std::max(0.0, static_cast<double>(value[0]) + length + e)) * kWider;
  beyond = (upper * upper + 2 * e) * kWider;
  if (!excluded(rest)) return false;
  for (int64_t t = 0; t < m_; ++t) {
    if (excluded(near_distance(row, t))) continue;
    place[count] = t;
    who[count++] = args_.near[row * m_ + t];
  }
  for (int64_t q = 0; q < args_.running; ++q) {
    const double distance = runner_distance(q);
    if (excluded(distance)) {
      if (distance != kInfinity64) runner_lower[q] = std::max(runner_lower[q], rounded_down(distance + args_.moved[args_.runners[q]]));
      continue;
    }
    if (count == kMostChoices) return false;
    place[count] = -1;
    who[count++] = args_.runners[q];
  }
  if (count > 1) {
    kernels_.dots(x, args_.centres, who + 1, count - 1, args_.d, value + 1);
    distances += count - 1;
    const auto distance_of = [&](int64_t i) { return distance_at_least(static_cast<double>(value[i]) + length - e); };
    for (int64_t i = 1; i < count; ++i) {
      value[i] = value_of(who[i], value[i]);
      float& lower = place[i] >= 0 ? args_.near_lower[row * m_ + place[i]] : runner_lower[runner_of_[who[i]]];
      lower = rounded_down(distance_of(i) + args_.moved[who[i]]);
    }
    const int64_t best = choose(row, value, who, count, e);
    if (best != 0) {
      replace_label(row, label, place[best], distance_of(0));
      args_.labels[row] = who[best];
      upper = std::sqrt(std::max(0.0, static_cast<double>(value[best]) + length + e)) * kWider;
    }
  }
  keep(row, upper, e);
  return true;
}

}  // namespace mendset::cpu
