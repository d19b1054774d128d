#include "select/k_means_filter.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "select/orthonormal.h"

namespace mendset {

namespace {

constexpr int64_t kLeastRows = 4096, kLeastColumns = 64, kLeastClusters = 16;
constexpr int64_t kDirectionStep = 24;  // a multiple of every tile's height
constexpr int64_t kMostDirections = 120;
constexpr int64_t kSampleWork = int64_t{1} << 28;  // multiply-adds of the sample's covariance
constexpr int64_t kRounds = 3;
constexpr int64_t kDecisionEvery = 4;  // passes between two attempts while the filter is off
// Costs in units of one multiply-add of an unfiltered pass: what the filter's own products and those of single distances take.
constexpr double kFilterCost = 1.6, kDistanceCost = 3;
constexpr double kWorthwhile = 0.7;
constexpr double kLongest = 1e18;

}  // namespace

std::unique_ptr<KMeansFilter> KMeansFilter::create(std::shared_ptr<Backend> backend, const InputMatrix& x, int64_t k) {
  if (directions_for(x.n(), x.d(), k) == 0) return nullptr;
  return std::unique_ptr<KMeansFilter>(new KMeansFilter(std::move(backend), x, k));
}

int64_t KMeansFilter::directions_for(int64_t n, int64_t d, int64_t k) {
  if (n < kLeastRows || d < kLeastColumns || k < kLeastClusters) return 0;
  return std::clamp((d / 8 + kDirectionStep / 2) / kDirectionStep * kDirectionStep, kDirectionStep, kMostDirections);
}

KMeansFilter::KMeansFilter(std::shared_ptr<Backend> backend, const InputMatrix& x, int64_t k)
    : backend_(std::move(backend)), x_(x), k_(k), r_(directions_for(x.n(), x.d(), k)) {
  // A head is a chain of d products of rounded numbers with rounded directions: gamma(d + 8) per direction.
  const double error = static_cast<double>(x.d() + 8) * 0x1p-24;
  head_error_ = error / (1 - error) * std::sqrt(static_cast<double>(r_));
}

Status KMeansFilter::prepare() {
  if (round_ < 0) {
    MS_TRY(sample());
    round_ = 0;
    return {};
  }
  if (round_ < kRounds) {
    MS_TRY(improve_directions());
    ++round_;
    return {};
  }
  const size_t n = static_cast<size_t>(x_.n()), r = static_cast<size_t>(r_), k = static_cast<size_t>(k_);
  std::vector<float> rounded(directions_.begin(), directions_.end());
  MS_TRY(Buffer::allocate(backend_, rounded.size() * sizeof(float), &rounded_directions_));
  MS_TRY(rounded_directions_.upload(rounded.data(), rounded.size() * sizeof(float)));
  for (Buffer* done : {&zero_mean_, &covariance_, &components_, &product_}) done->reset();
  MS_TRY(Buffer::allocate(backend_, n * (r + 1) * sizeof(float), &heads_));
  MS_TRY(Buffer::allocate(backend_, n * 2 * sizeof(double), &squares_));
  MS_TRY(Buffer::allocate(backend_, n * sizeof(float), &upper_));
  MS_TRY(Buffer::allocate(backend_, n * sizeof(float), &lower_));
  MS_TRY(Buffer::allocate(backend_, k * (r + 1) * sizeof(float), &c_heads_));
  MS_TRY(Buffer::allocate(backend_, k * 2 * sizeof(double), &c_squares64_));
  MS_TRY(Buffer::allocate(backend_, k * sizeof(float), &c_squares_));
  MS_TRY(Buffer::allocate(backend_, k * sizeof(double), &moved_));
  MS_TRY(Buffer::allocate(backend_, 2 * sizeof(int64_t), &counters_));
  prepared_ = true;
  return {};
}

// Covariance of a strided sample, and its first rows as a start of the directions.
Status KMeansFilter::sample() {
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
Status KMeansFilter::improve_directions() {
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

void KMeansFilter::begin_restart() {
  previous_.clear();
  bounded_.clear();
  pass_ = -1;
  next_decision_ = 0;
  on_ = true;
}

Status KMeansFilter::begin_pass(const std::vector<float>& rounded, const float* centres, const float* c_norms) {
  const size_t d = static_cast<size_t>(x_.d()), k = static_cast<size_t>(k_);
  // What the pass before showed; while off, another attempt every few passes.
  if (pass_ >= 0 && on_ && seen_rows_ > 0) {
    const double cost = (kFilterCost * static_cast<double>(r_ + 1) * static_cast<double>(seen_[0]) + kDistanceCost * static_cast<double>(x_.d()) * static_cast<double>(seen_[1])) /
                        (static_cast<double>(seen_rows_) * static_cast<double>(k_) * static_cast<double>(x_.d()));
    if (cost > kWorthwhile) {
      on_ = false;
      next_decision_ = pass_ == 0 ? 1 : pass_ + kDecisionEvery;
    }
  }
  ++pass_;
  if (!on_ && pass_ >= next_decision_) on_ = true;
  chunk_ = seen_rows_ = seen_[0] = seen_[1] = 0;
  centres_ = centres;
  c_norms_ = c_norms;

  if (on_) {
    const ms_filter_heads_args args{k_, x_.d(), r_, centres, mean_.as<float>(), rounded_directions_.as<float>(), head_error_, c_heads_.as<float>(), c_squares64_.as<double>()};
    MS_TRY(backend_->check(backend_->table().filter_heads(backend_->context(), &args), "filter_heads"));
    std::vector<double> squares(2 * k);
    MS_TRY(c_squares64_.download(squares.data(), squares.size() * sizeof(double)));
    std::vector<float> spreads(k);
    c_length_ = c_spread_ = 0;
    for (size_t j = 0; j < k; ++j) {
      c_length_ = std::max(c_length_, squares[2 * j]);
      c_spread_ = std::max(c_spread_, squares[2 * j + 1]);
      spreads[j] = static_cast<float>(squares[2 * j + 1]);
    }
    c_length_ = std::sqrt(c_length_) * (1 + 1e-9);
    c_spread_ = std::sqrt(c_spread_) * (1 + 1e-9);
    MS_TRY(c_squares_.upload(spreads.data(), k * sizeof(float)));
    if (c_length_ > kLongest || c_spread_ > kLongest) {  // the filter's products could overflow
      on_ = false;
      next_decision_ = pass_ + kDecisionEvery;
    }
  }
  if (!previous_.empty()) {
    std::vector<double> moved(k);
    for (size_t j = 0; j < k; ++j) {
      double square[4] = {};
      for (size_t p = 0; p < d; ++p) {
        const double difference = static_cast<double>(rounded[j * d + p]) - static_cast<double>(previous_[j * d + p]);
        square[p % 4] += difference * difference;
      }
      moved[j] = std::sqrt((square[0] + square[1]) + (square[2] + square[3])) * (1 + 1e-9);
    }
    MS_TRY(moved_.upload(moved.data(), k * sizeof(double)));
  }
  previous_ = rounded;
  return {};
}

Status KMeansFilter::assign(int64_t first, int64_t last, int32_t* labels) {
  const int64_t rows = last - first;
  const size_t chunk = static_cast<size_t>(chunk_++);
  if (bounded_.size() <= chunk) bounded_.resize(chunk + 1, -1);
  if (!on_) return unfiltered(first, last, labels);

  const ms_backend& table = backend_->table();
  if (heads_done_ < last) {
    const int64_t from = std::max(first, heads_done_);
    const ms_filter_heads_args args{last - from, x_.d(), r_, x_.device_row(from), mean_.as<float>(), rounded_directions_.as<float>(), head_error_,
                                    heads_.as<float>() + from * (r_ + 1), squares_.as<double>() + from * 2};
    MS_TRY(backend_->check(table.filter_heads(backend_->context(), &args), "filter_heads"));
    heads_done_ = last;
  }
  const bool bounds = pass_ > 0 && bounded_[chunk] == pass_ - 1;
  const int64_t none[2] = {0, 0};
  MS_TRY(counters_.upload(none, sizeof none));
  const ms_nearest_filtered_args args{rows, k_, x_.d(), r_, x_.device_row(first), squares_.as<double>() + first * 2, heads_.as<float>() + first * (r_ + 1), centres_, c_norms_,
                                      c_heads_.as<float>(), c_squares_.as<float>(), c_length_, c_spread_, head_error_, bounds ? moved_.as<double>() : nullptr, labels + first,
                                      upper_.as<float>() + first, lower_.as<float>() + first, counters_.as<int64_t>()};
  MS_TRY(backend_->check(table.nearest_filtered(backend_->context(), &args), "nearest_filtered"));
  int64_t counts[2];
  MS_TRY(counters_.download(counts, sizeof counts));
  bounded_[chunk] = pass_;
  seen_rows_ += rows;
  for (int i = 0; i < 2; ++i) {
    seen_[i] += counts[i];
    evaluated_[i] += counts[i];
  }
  // One chunk shows whether the rest of the pass is worth filtering.
  if (chunk == 0) {
    const double cost = (kFilterCost * static_cast<double>(r_ + 1) * static_cast<double>(counts[0]) + kDistanceCost * static_cast<double>(x_.d()) * static_cast<double>(counts[1])) /
                        (static_cast<double>(rows) * static_cast<double>(k_) * static_cast<double>(x_.d()));
    if (cost > kWorthwhile) {
      on_ = false;
      next_decision_ = pass_ == 0 ? 1 : pass_ + kDecisionEvery;
    }
  }
  return {};
}

Status KMeansFilter::unfiltered(int64_t first, int64_t last, int32_t* labels) {
  const ms_nearest_centre_args args{last - first, k_, x_.d(), x_.device_row(first), centres_, c_norms_, labels + first, nullptr, nullptr, nullptr};
  evaluated_[1] += (last - first) * k_;
  return backend_->check(backend_->table().nearest_centre(backend_->context(), &args), "nearest_centre");
}

Status KMeansFilter::forget(int64_t row) {
  const float unknown = -1;
  return lower_.upload(&unknown, sizeof unknown, static_cast<size_t>(row) * sizeof(float));
}

}  // namespace mendset
