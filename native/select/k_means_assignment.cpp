#include "select/k_means_assignment.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>

#include "select/orthonormal.h"

namespace mendset {

namespace {

constexpr int64_t kLeastRows = 4096, kLeastColumns = 64, kLeastClusters = 16;
constexpr int64_t kDirectionStep = 24;  // a multiple of every tile's height
constexpr int64_t kMostDirections = 120;
constexpr int64_t kSampleWork = int64_t{1} << 28;  // multiply-adds of the sample's covariance
constexpr int64_t kRounds = 3;
// Costs in units of one multiply-add of a pass over all pairs: what the filter's own products and those of single distances take.
constexpr double kFilterCost = 1.6, kDistanceCost = 3, kDistanceCalls = 128;  // the last for each distance, whatever its length
constexpr double kWorthwhile = 0.85, kFilterWorthwhile = 0.5;  // of the cost without
constexpr double kHeadCost = 3, kHeadPasses = 4;  // multiply-adds of a row's head count that much; passes in which heads must pay for themselves
// Bounds are left where they will spare this share of the rows in the next pass, about what leaving them costs: of a row with kept centroids, with none.
constexpr double kSparedNear = 0.3, kSparedTwo = 0.15;
constexpr double kLeastShrinkage = 0.3;
constexpr int64_t kTrialRows = 512;  // of the filter
constexpr int64_t kEarlyPasses = 3;  // each of which shows whether bounds are worth leaving
constexpr int64_t kFilterPatience = 2, kBoundsPatience = 1, kMostPatience = 32;  // passes between two attempts
constexpr int64_t kMostNear = 4, kFewestRunners = 2, kMostRunners = 64;
// Multiply-adds of a row in a pass: fewer than the first cost less than looking at its bounds, fewer than the second less than looking at
// the centroids that a row keeps apart.
constexpr int64_t kLeastWork = 96, kLeastNearWork = 1024;
constexpr double kRunnerPace = 4;    // times what most of the others move
constexpr double kHarmless = 0.02;   // of the distance of rows to their centroids: a move that bounds stand many times
constexpr double kLongest = 1e18;  // the filter's products of longer rows could overflow
constexpr double kWider = 1 + 1e-9;

}  // namespace

int64_t KMeansAssignment::directions_for(int64_t n, int64_t d, int64_t k) {
  if (n < kLeastRows || d < kLeastColumns || k < kLeastClusters) return 0;
  return std::clamp((d / 8 + kDirectionStep / 2) / kDirectionStep * kDirectionStep, kDirectionStep, kMostDirections);
}

// Some 8 bytes each: a few per cent of the row.
int64_t KMeansAssignment::near_for(int64_t d, int64_t k) { return k * d < kLeastNearWork ? 0 : std::min(std::clamp<int64_t>(d / 32, 3, kMostNear), k - 1); }

// Some 4 bytes each: as many as a few per cent of the row, and of the centroids.
int64_t KMeansAssignment::runners_for(int64_t d, int64_t k) {
  return std::min(std::clamp<int64_t>(std::min(k / 16, std::max<int64_t>(d / 16, 4)), kFewestRunners, kMostRunners), k - 1);
}

KMeansAssignment::KMeansAssignment(std::shared_ptr<Backend> backend, const InputMatrix& x, int64_t k, bool prune)
    : backend_(std::move(backend)), x_(x), k_(k), r_(prune ? directions_for(x.n(), x.d(), k) : 0), m_(near_for(x.d(), k)), most_running_(runners_for(x.d(), k)), prune_(prune && k > 1 && k * x.d() >= kLeastWork) {
  // A head is a chain of d products of rounded numbers with rounded directions: gamma(d + 8) per direction.
  const double error = static_cast<double>(x.d() + 8) * 0x1p-24;
  head_error_ = error / (1 - error) * std::sqrt(static_cast<double>(r_));
}

Status KMeansAssignment::prepare() {
  const size_t k = static_cast<size_t>(k_);
  if (r_ > 0 && round_ < kRounds) {
    if (round_ < 0) MS_TRY(sample());
    else MS_TRY(improve_directions());
    ++round_;
    return {};
  }
  if (r_ > 0) {
    const size_t r = static_cast<size_t>(r_);
    std::vector<float> rounded(directions_.begin(), directions_.end());
    MS_TRY(Buffer::allocate(backend_, rounded.size() * sizeof(float), &rounded_directions_));
    MS_TRY(rounded_directions_.upload(rounded.data(), rounded.size() * sizeof(float)));
    for (Buffer* done : {&zero_mean_, &covariance_, &components_, &product_}) done->reset();
    directions_ = {};
    MS_TRY(Buffer::allocate(backend_, k * (r + 1) * sizeof(float), &c_heads_));
    MS_TRY(Buffer::allocate(backend_, k * sizeof(double), &c_spreads64_));
    MS_TRY(Buffer::allocate(backend_, k * sizeof(float), &c_spreads_));
  }
  MS_TRY(Buffer::allocate(backend_, k * sizeof(double), &moved_));
  MS_TRY(Buffer::allocate(backend_, sizeof evaluated_, &counters_));
  prepared_ = true;
  return {};
}

// Covariance of a strided sample, and its first rows as a start of the directions.
Status KMeansAssignment::sample() {
  const int64_t n = x_.n(), d = x_.d(), m = std::min(n, std::clamp<int64_t>(kSampleWork / (d * d), 2 * r_, 4096));
  const size_t columns = static_cast<size_t>(d);
  Buffer index, rows, mean64;
  std::vector<int32_t> places(static_cast<size_t>(m));
  for (int64_t i = 0; i < m; ++i) places[static_cast<size_t>(i)] = static_cast<int32_t>(i * n / m);
  MS_TRY(Buffer::allocate(backend_, places.size() * sizeof(int32_t), &index));
  MS_TRY(index.upload(places.data(), places.size() * sizeof(int32_t)));
  MS_TRY(Buffer::allocate(backend_, static_cast<size_t>(m) * columns * sizeof(float), &rows));
  MS_TRY(Buffer::allocate(backend_, columns * sizeof(double), &mean64));
  const ms_backend& table = backend_->table();
  const ms_gather_rows_args gather{m, d, index.as<int32_t>(), x_.device_row(0), rows.as<float>()};
  MS_TRY(backend_->check(table.gather_rows(backend_->context(), &gather), "gather_rows"));
  const ms_column_means_args means{m, d, rows.as<float>(), mean64.as<double>()};
  MS_TRY(backend_->check(table.column_means(backend_->context(), &means), "column_means"));
  std::vector<double> mean(columns);
  MS_TRY(mean64.download(mean.data(), columns * sizeof(double)));
  std::vector<float> rounded(mean.begin(), mean.end());
  std::copy(rounded.begin(), rounded.end(), mean.begin());
  MS_TRY(Buffer::allocate(backend_, columns * sizeof(float), &mean_));
  MS_TRY(mean_.upload(rounded.data(), columns * sizeof(float)));
  MS_TRY(mean64.upload(mean.data(), columns * sizeof(double)));

  Buffer exact;
  MS_TRY(Buffer::allocate(backend_, columns * columns * sizeof(double), &exact));
  const ms_covariance_args covariance{m, d, rows.as<float>(), mean64.as<double>(), exact.as<double>()};
  MS_TRY(backend_->check(table.covariance(backend_->context(), &covariance), "covariance"));
  std::vector<double> values(columns * columns);
  MS_TRY(exact.download(values.data(), values.size() * sizeof(double)));
  double largest = 0;
  for (double value : values) largest = std::max(largest, std::abs(value));
  std::vector<float> scaled(values.size());
  for (size_t i = 0; i < values.size(); ++i) scaled[i] = largest > 0 ? static_cast<float>(values[i] / largest) : 0.0f;
  MS_TRY(Buffer::allocate(backend_, scaled.size() * sizeof(float), &covariance_));
  MS_TRY(covariance_.upload(scaled.data(), scaled.size() * sizeof(float)));
  MS_TRY(Buffer::allocate(backend_, columns * sizeof(double), &zero_mean_));  // zeroed
  MS_TRY(Buffer::allocate(backend_, static_cast<size_t>(r_ * d) * sizeof(double), &components_));
  MS_TRY(Buffer::allocate(backend_, static_cast<size_t>(r_ * d) * sizeof(float), &product_));

  directions_.resize(static_cast<size_t>(r_ * d));
  for (int64_t j = 0; j < r_; ++j) {
    const float* x = x_.host().row(places[static_cast<size_t>(j * m / r_)]);
    for (size_t p = 0; p < columns; ++p) directions_[static_cast<size_t>(j) * columns + p] = static_cast<double>(x[p]) - mean[p];
  }
  orthonormalise(directions_.data(), r_, x_.d());
  return {};
}

// One round of subspace iteration: the covariance applied to the directions.
Status KMeansAssignment::improve_directions() {
  const int64_t d = x_.d();
  MS_TRY(components_.upload(directions_.data(), directions_.size() * sizeof(double)));
  const ms_project_args args{d, d, r_, covariance_.as<float>(), zero_mean_.as<double>(), components_.as<double>(), product_.as<float>()};
  MS_TRY(backend_->check(backend_->table().project(backend_->context(), &args), "project"));
  std::vector<float> product(directions_.size());
  MS_TRY(product_.download(product.data(), product.size() * sizeof(float)));
  for (int64_t p = 0; p < d; ++p) {
    for (int64_t j = 0; j < r_; ++j) directions_[static_cast<size_t>(j * d + p)] = static_cast<double>(product[static_cast<size_t>(p * r_ + j)]);
  }
  orthonormalise(directions_.data(), r_, x_.d());
  return {};
}

void KMeansAssignment::begin_restart(const double* squares, double x_length, const std::vector<double>& centroids) {
  squares_ = squares;
  x_length_ = longest_ = x_length * (1 + 1e-6);  // means of rows whose coordinates are rounded to the grid of exact sums
  for (size_t j = 0; j < static_cast<size_t>(k_); ++j) {
    double square = 0;
    for (size_t p = j * static_cast<size_t>(x_.d()); p < (j + 1) * static_cast<size_t>(x_.d()); ++p) square += centroids[p] * centroids[p];
    longest_ = std::max(longest_, std::sqrt(square) * kWider);
  }
  previous_.clear();
  bounded_.clear();
  moved_sums_.assign(static_cast<size_t>(k_), 0.0);
  runs_.assign(static_cast<size_t>(k_), false);
  runners_.clear();
  steps_.assign(static_cast<size_t>(k_), 0.0);
  all_moved_ = stretch_ = all_step_ = 0;
  pass_ = -1;
  next_filter_ = 0;
  next_bounds_ = 1;  // the first pass moves centroids farther than any bound reaches
  patience_ = kBoundsPatience;
  filter_patience_ = kFilterPatience;
}

Status KMeansAssignment::begin_pass(const PassCentroids& centroids) {
  const size_t d = static_cast<size_t>(x_.d()), k = static_cast<size_t>(k_);
  ++pass_;
  chunk_ = 0;
  exact_ = centroids.device_exact;
  rounded_ = centroids.rounded;
  norms_ = centroids.norms;
  double longest = 0;
  for (size_t j = 0; j < k; ++j) {
    const double* const c = centroids.exact.data() + j * d;
    const double* const before = previous_.empty() ? c : previous_.data() + j * d;
    double square[4] = {}, step[4] = {};
    for (size_t p = 0; p < d; ++p) {
      square[p % 4] += c[p] * c[p];
      step[p % 4] += (c[p] - before[p]) * (c[p] - before[p]);
    }
    longest = std::max(longest, (square[0] + square[1]) + (square[2] + square[3]));
    steps_[j] = std::sqrt((step[0] + step[1]) + (step[2] + step[3])) * kWider;
    moved_sums_[j] += steps_[j];
  }
  c_length_ = std::sqrt(longest) * kWider;
  filter_ = r_ > 0 && pass_ >= next_filter_;
  bounds_ = prune_ && (filter_ || pass_ >= next_bounds_);
  if (!prune_) return {};
  const bool first = previous_.empty();
  previous_ = centroids.exact;
  if (!first) MS_TRY(place_runners(centroids.spread));
  MS_TRY(moved_.upload(moved_sums_.data(), k * sizeof(double)));
  return filter_ ? begin_filter() : Status();
}

// Who runs, and how far the runners and the others moved at most. Whoever starts to run needs no new bounds, whoever stops does.
Status KMeansAssignment::place_runners(double spread) {
  const size_t k = steps_.size(), most = static_cast<size_t>(most_running_);
  if (most == 0) return {};
  std::vector<double> order(steps_);
  std::nth_element(order.begin(), order.begin() + static_cast<ptrdiff_t>(most), order.end(), std::greater<double>());
  const double pace = std::max(kRunnerPace * order[most], kHarmless * spread);
  const bool known = bounds_ && std::find(bounded_.begin(), bounded_.end(), pass_ - 1) != bounded_.end();
  if (!known) {
    std::fill(runs_.begin(), runs_.end(), false);
    runners_.clear();
  }
  std::vector<int32_t> faster;
  for (size_t j = 0; j < k; ++j) {
    if (steps_[j] > pace && !runs_[j]) faster.push_back(static_cast<int32_t>(j));
  }
  std::stable_sort(faster.begin(), faster.end(), [&](int32_t a, int32_t b) { return steps_[static_cast<size_t>(a)] > steps_[static_cast<size_t>(b)]; });
  running_before_ = runners_.size();
  joined_.assign(running_before_, 0.0);
  for (size_t i = 0; i < faster.size() && runners_.size() < most; ++i) {
    const size_t j = static_cast<size_t>(faster[i]);
    runs_[j] = true;
    runners_.push_back(faster[i]);
    joined_.push_back((moved_sums_[j] - steps_[j]) - all_moved_ - 1e-14 * (moved_sums_[j] + all_moved_));
  }
  double farthest = 0;
  for (size_t j = 0; j < k; ++j) {
    if (!runs_[j]) farthest = std::max(farthest, steps_[j]);
  }
  shrinkage_ = all_step_ > 0 ? std::clamp(farthest / all_step_, kLeastShrinkage, 1.0) : 1;
  all_step_ = farthest;
  all_moved_ += farthest;
  stretch_ = 2 * farthest;
  return bounds_ ? part_runners() : Status();
}

// Distances of all centroids to the runners.
Status KMeansAssignment::part_runners() {
  const size_t k = static_cast<size_t>(k_), running = runners_.size();
  if (running == 0) return {};
  if (apart_.data() == nullptr) {
    const size_t most = static_cast<size_t>(most_running_);
    MS_TRY(Buffer::allocate(backend_, k * most * sizeof(float), &apart_));
    MS_TRY(Buffer::allocate(backend_, most * sizeof(int32_t), &runners_device_));
    MS_TRY(Buffer::allocate(backend_, most * sizeof(double), &joined_device_));
    MS_TRY(Buffer::allocate(backend_, k * sizeof(int32_t), &runner_labels_));
    MS_TRY(Buffer::allocate(backend_, k * sizeof(double), &runner_squares_));
  }
  std::vector<double> squares(k);
  std::vector<float> apart(k * running);
  std::vector<int32_t> labels(k);
  for (size_t q = 0; q < running; ++q) {
    std::fill(labels.begin(), labels.end(), runners_[q]);
    MS_TRY(runner_labels_.upload(labels.data(), k * sizeof(int32_t)));
    const ms_label_distances_args args{k_, x_.d(), rounded_, exact_, runner_labels_.as<int32_t>(), runner_squares_.as<double>()};
    MS_TRY(backend_->check(backend_->table().label_distances(backend_->context(), &args), "label_distances"));
    MS_TRY(runner_squares_.download(squares.data(), k * sizeof(double)));
    for (size_t j = 0; j < k; ++j) {
      // From a rounded centroid: it may be 2^-24 of its length, or of its subnormals, nearer. 1e-7 covers that and the conversion to fp32.
      const double distance = std::max(0.0, std::sqrt(squares[j]) * (1 - 1e-7) - 1e-7 * c_length_ - 0x1p-140);
      apart[j * running + q] = static_cast<int32_t>(j) == runners_[q] ? std::numeric_limits<float>::infinity() : static_cast<float>(distance * (1 - 1e-7));
    }
  }
  MS_TRY(apart_.upload(apart.data(), k * running * sizeof(float)));
  MS_TRY(joined_device_.upload(joined_.data(), running * sizeof(double)));
  return runners_device_.upload(runners_.data(), running * sizeof(int32_t));
}

Status KMeansAssignment::begin_filter() {
  const size_t k = static_cast<size_t>(k_);
  const ms_filter_heads_args args{k_, x_.d(), r_, rounded_, mean_.as<float>(), rounded_directions_.as<float>(), head_error_, c_heads_.as<float>(), nullptr, c_spreads64_.as<double>()};
  MS_TRY(backend_->check(backend_->table().filter_heads(backend_->context(), &args), "filter_heads"));
  std::vector<double> squares(k);
  MS_TRY(c_spreads64_.download(squares.data(), k * sizeof(double)));
  const std::vector<float> spreads(squares.begin(), squares.end());
  c_spread_ = std::sqrt(*std::max_element(squares.begin(), squares.end())) * kWider;
  MS_TRY(c_spreads_.upload(spreads.data(), k * sizeof(float)));
  if (longest_ > kLongest || c_spread_ > kLongest) {
    filter_ = false;
    bounds_ = pass_ >= next_bounds_;
    next_filter_ = pass_ + kFilterPatience;
  }
  return {};
}

Status KMeansAssignment::allocate_bounds() {
  const size_t n = static_cast<size_t>(x_.n()), m = static_cast<size_t>(m_);
  if (upper_.data() == nullptr) {
    for (Buffer* buffer : {&upper_, &lower_, &gap_}) MS_TRY(Buffer::allocate(backend_, n * sizeof(float), buffer));
    MS_TRY(Buffer::allocate(backend_, std::max<size_t>(n * m, 1) * sizeof(int32_t), &near_));
    MS_TRY(Buffer::allocate(backend_, std::max<size_t>(n * m, 1) * sizeof(float), &near_lower_));
    MS_TRY(Buffer::allocate(backend_, n * static_cast<size_t>(most_running_) * sizeof(float), &runner_lower_));
  }
  if (!filter_ || heads_.data() != nullptr) return {};
  MS_TRY(Buffer::allocate(backend_, n * static_cast<size_t>(r_ + 1) * sizeof(float), &heads_));
  return Buffer::allocate(backend_, n * sizeof(double), &spreads_);
}

// Heads of the rows up to `last`, all before which have theirs.
Status KMeansAssignment::extend_heads(int64_t last) {
  if (heads_done_ >= last) return {};
  const int64_t first = heads_done_;
  const ms_filter_heads_args args{last - first, x_.d(), r_, x_.device_row(first), mean_.as<float>(), rounded_directions_.as<float>(), head_error_, heads_.as<float>() + first * (r_ + 1),
                                  nullptr, spreads_.as<double>() + first};
  heads_done_ = last;
  return backend_->check(backend_->table().filter_heads(backend_->context(), &args), "filter_heads");
}

// Rows [first, last) with what is in use now. known: their bounds are those of the pass before. counts: +=.
Status KMeansAssignment::compare(int64_t first, int64_t last, bool known, int32_t* labels, int64_t* counts) {
  ms_nearest_bounded_args args{};
  args.n = last - first;
  args.k = k_;
  args.d = x_.d();
  args.x = x_.device_row(first);
  args.squares = squares_ + first;
  args.centres = rounded_;
  args.c_norms = norms_;
  args.centroids = exact_;
  args.c_length = c_length_;
  args.x_length = x_length_;
  args.longest = longest_;
  args.labels = labels + first;
  args.evaluated = counters_.as<int64_t>();
  if (bounds_) {
    MS_TRY(allocate_bounds());
    args.m = m_;
    args.known = known ? 1 : 0;
    args.moved = moved_.as<double>();
    args.all_moved = all_moved_;
    args.running = static_cast<int64_t>(runners_.size());
    args.running_before = static_cast<int64_t>(running_before_);
    args.most_running = most_running_;
    args.runners = runners_device_.as<int32_t>();
    args.joined = joined_device_.as<double>();
    args.apart = apart_.as<float>();
    args.upper = upper_.as<float>() + first;
    args.lower = lower_.as<float>() + first;
    args.gap = gap_.as<float>() + first;
    args.near = near_.as<int32_t>() + first * m_;
    args.near_lower = near_lower_.as<float>() + first * m_;
    args.runner_lower = runner_lower_.as<float>() + first * most_running_;
  }
  if (filter_ && bounds_) {
    MS_TRY(extend_heads(last));
    args.r = r_;
    args.heads = heads_.as<float>() + first * (r_ + 1);
    args.spreads = spreads_.as<double>() + first;
    args.c_heads = c_heads_.as<float>();
    args.c_squares = c_spreads_.as<float>();
    args.c_spread = c_spread_;
    args.head_error = head_error_;
    args.stretch = stretch_;
  }
  int64_t evaluated[4] = {0, 0, 0, 0};
  MS_TRY(counters_.upload(evaluated, sizeof evaluated));
  MS_TRY(backend_->check(backend_->table().nearest_bounded(backend_->context(), &args), "nearest_bounded"));
  MS_TRY(counters_.download(evaluated, sizeof evaluated));
  for (int i = 0; i < 4; ++i) {
    evaluated_[i] += evaluated[i];
    counts[i] += evaluated[i];
  }
  return {};
}

Status KMeansAssignment::assign(int64_t first, int64_t last, int32_t* labels) {
  const size_t chunk = static_cast<size_t>(chunk_++);
  if (bounded_.size() <= chunk) bounded_.resize(chunk + 1, -1);
  const bool known = bounds_ && pass_ > 0 && bounded_[chunk] == pass_ - 1;
  int64_t counts[4] = {0, 0, 0, 0}, from = first;
  if (chunk == 0 && filter_ && bounds_) {
    from = std::min(last, first + kTrialRows);
    MS_TRY(compare(first, from, known, labels, counts));
    decide_filter(from - first, counts);
    if (!filter_ && bounds_) {  // what leaves much leaves poor bounds too: once more without
      std::fill_n(counts, 4, 0);
      MS_TRY(compare(first, from, false, labels, counts));
    }
  }
  MS_TRY(compare(from, last, known, labels, counts));
  if (!bounds_) return {};
  bounded_[chunk] = pass_;
  if (chunk == 0 && pass_ > 0) decide_bounds(last - first, known, counts, labels);
  return {};
}

// Multiply-adds that rows took which the bounds left to the filter, in units of those of a pass over all pairs.
double KMeansAssignment::filtered_cost(const int64_t* counts) const {
  return kFilterCost * static_cast<double>(r_ + 1) * static_cast<double>(counts[0]) + (kDistanceCost * static_cast<double>(x_.d()) + kDistanceCalls) * static_cast<double>(counts[1]);
}

// The first rows show whether the filter is worth having in the rest of the pass, and the heads of all rows worth computing.
void KMeansAssignment::decide_filter(int64_t rows, const int64_t* counts) {
  const double d = static_cast<double>(x_.d()), filtered = filtered_cost(counts), unfiltered = static_cast<double>(counts[0]) * d;
  const double heads = heads_done_ < x_.n() ? kHeadCost * static_cast<double>((r_ + 1) * rows) * d : 0;
  if (filtered <= kFilterWorthwhile * unfiltered && (unfiltered - filtered) * kHeadPasses >= heads) return;
  filter_ = false;
  bounds_ = pass_ >= next_bounds_;
  next_filter_ = pass_ + filter_patience_;
  filter_patience_ = std::min(2 * filter_patience_, kMostPatience);
}

// The first chunk shows whether bounds are worth leaving in the rest of the pass.
void KMeansAssignment::decide_bounds(int64_t rows, bool known, const int64_t* counts, const int32_t* labels) {
  const double d = static_cast<double>(x_.d());
  const double cost = filtered_cost(counts) + (kDistanceCost * d + kDistanceCalls) * static_cast<double>(counts[2]) + d * static_cast<double>(counts[3]);
  const bool pays = (known || filter_) && cost <= kWorthwhile * d * static_cast<double>(rows * k_);
  if (pays || spared_ahead(rows, labels) >= (m_ > 0 ? kSparedNear : kSparedTwo)) {
    patience_ = kBoundsPatience;
    return;
  }
  bounds_ = filter_ = false;
  next_bounds_ = pass_ + patience_;
  next_filter_ = std::max(next_filter_, next_bounds_);
  if (pass_ >= kEarlyPasses) patience_ = std::min(2 * patience_, kMostPatience);
}

// The share of the first rows that the bounds they were just given will spare comparing with all centroids, if centroids go on slowing down as they do.
double KMeansAssignment::spared_ahead(int64_t rows, const int32_t* labels) const {
  const float *const upper = upper_.as<float>(), *const lower = lower_.as<float>(), *const gap = gap_.as<float>();
  const double all_moved = all_moved_ + shrinkage_ * all_step_;
  int64_t spared = 0;
  for (int64_t i = 0; i < rows; ++i) {
    const size_t label = static_cast<size_t>(labels[i]);
    const double own = moved_sums_[label];
    spared += m_ > 0 ? static_cast<double>(lower[i]) - all_moved > static_cast<double>(upper[i]) + own : static_cast<double>(gap[i]) > all_moved + own + shrinkage_ * steps_[label];
  }
  return static_cast<double>(spared) / static_cast<double>(rows);
}

Status KMeansAssignment::forget(int64_t row) {
  if (upper_.data() == nullptr) return {};
  const float unknown = -std::numeric_limits<float>::infinity();
  const size_t at = static_cast<size_t>(row) * sizeof(float);
  MS_TRY(gap_.upload(&unknown, sizeof unknown, at));
  return lower_.upload(&unknown, sizeof unknown, at);
}

}  // namespace mendset
