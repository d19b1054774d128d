// Where k-means starts: greedy k-means++ and k-means||.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "select/k_means.h"
#include "select/row_chunks.h"

namespace mendset {

namespace {

constexpr int64_t kBlock = 240;  // candidates of k-means|| applied at once

size_t bytes_of(int64_t count, size_t size) { return static_cast<size_t>(count) * size; }

// A row with probability ~ its part of the prefix sums; `total` > 0 is the last of them.
int64_t draw(std::vector<double>::const_iterator begin, std::vector<double>::const_iterator end, double total, double uniform) {
  // The first row whose prefix exceeds the draw has a positive part; rounding of u * total to total lands on the last such row.
  auto place = std::upper_bound(begin, end, uniform * total);
  if (place == end) place = std::lower_bound(begin, end, total);
  return place - begin;
}

}  // namespace

Status KMeans::allocate_start() {
  const int64_t n = x_.n(), d = x_.d();
  const bool greedy = options_.start == KMeansStart::greedy;
  trials_ = greedy ? 2 + static_cast<int64_t>(std::floor(std::log(static_cast<double>(options_.k)))) : kBlock;
  MS_TRY(Buffer::allocate(backend_, bytes_of(n, sizeof(float)), &minimum_));
  if (greedy) MS_TRY(Buffer::allocate(backend_, bytes_of(n * trials_, sizeof(float)), &trial_));
  if (!greedy) MS_TRY(Buffer::allocate(backend_, bytes_of(n, sizeof(int32_t)), &nearest_));
  MS_TRY(Buffer::allocate(backend_, bytes_of(trials_, sizeof(int32_t)), &candidate_index_));
  MS_TRY(Buffer::allocate(backend_, bytes_of(trials_ * d, sizeof(float)), &candidate_x_));
  MS_TRY(Buffer::allocate(backend_, bytes_of(trials_, sizeof(float)), &candidate_norms_));
  prefix_.resize(static_cast<size_t>(n));
  return {};
}

// Rows candidates_[applied_ ...], as many as fit.
Status KMeans::gather_candidates() {
  std::vector<int32_t> rows;
  for (size_t i = static_cast<size_t>(applied_); i < candidates_.size() && static_cast<int64_t>(rows.size()) < trials_; ++i) rows.push_back(static_cast<int32_t>(candidates_[i]));
  const int64_t count = static_cast<int64_t>(rows.size());
  MS_TRY(candidate_index_.upload(rows.data(), rows.size() * sizeof(int32_t)));
  const ms_gather_rows_args features{count, x_.d(), candidate_index_.as<int32_t>(), x_.device_row(0), candidate_x_.as<float>()};
  MS_TRY(backend_->check(backend_->table().gather_rows(backend_->context(), &features), "gather_rows"));
  const ms_gather_rows_args norms{count, 1, candidate_index_.as<int32_t>(), x_norms_.as<float>(), candidate_norms_.as<float>()};
  return backend_->check(backend_->table().gather_rows(backend_->context(), &norms), "gather_rows");
}

Status KMeans::begin_greedy() {
  applied_ = 0;
  potentials_.assign(1, 0.0);
  phase_ = Phase::seed;
  return gather_candidates();
}

// One chunk of rows against every candidate, so that the rows are read from memory once.
Status KMeans::advance_seed() {
  const int64_t n = x_.n(), d = x_.d(), count = static_cast<int64_t>(candidates_.size());
  const int64_t last = std::min(n, row_ + x_.chunk_rows(d * trials_, int64_t{1} << 27));
  const int64_t rows = last - row_;
  const ms_each_distance_args args{rows, d, count, x_.device_row(row_), x_norms_.as<float>() + row_, candidate_x_.as<float>(), candidate_norms_.as<float>(),
                                   minimum_.as<float>() + row_, trial_.as<float>() + row_, n};
  MS_TRY(backend_->check(backend_->table().each_distance(backend_->context(), &args), "each_distance"));
  // Sums in row order, several at once: one alone would wait for its own additions.
  std::vector<float> values(static_cast<size_t>(rows * count));
  for (int64_t t = 0; t < count; ++t)
    MS_TRY(trial_.download(values.data() + t * rows, bytes_of(rows, sizeof(float)), bytes_of(t * n + row_, sizeof(float))));
  for (int64_t first = 0; first < count; first += 4) {
    const int64_t group = std::min<int64_t>(4, count - first);
    double sums[4] = {};
    const float* from[4];
    for (int64_t t = 0; t < 4; ++t) {
      sums[t] = t < group ? potentials_[static_cast<size_t>(first + t)] : 0;
      from[t] = values.data() + (first + std::min(t, group - 1)) * rows;
    }
    for (int64_t i = 0; i < rows; ++i) {
      for (int t = 0; t < 4; ++t) sums[t] += static_cast<double>(from[t][i]);
    }
    for (int64_t t = 0; t < group; ++t) potentials_[static_cast<size_t>(first + t)] = sums[t];
  }
  row_ = last;
  rows_done_ += rows;
  return row_ < n ? Status() : choose_seed();
}

// Keeps the candidate of least potential (ties: drawn first) and draws the next ones with probability ~ squared distance.
Status KMeans::choose_seed() {
  const int64_t n = x_.n();
  const auto least = std::min_element(potentials_.begin(), potentials_.end());
  const int64_t chosen = least - potentials_.begin();
  seeds_.push_back(candidates_[static_cast<size_t>(chosen)]);
  MS_TRY(backend_->check(backend_->table().copy(backend_->context(), minimum_.data(), trial_.as<float>() + chosen * n, bytes_of(n, sizeof(float))), "copy"));
  row_ = 0;

  if (static_cast<int64_t>(seeds_.size()) == options_.k) {
    run_.centroids.clear();
    for (int64_t seed : seeds_) {
      const float* x = x_.host().row(seed);
      run_.centroids.insert(run_.centroids.end(), x, x + x_.d());
    }
    return begin_lloyd();
  }

  MS_TRY(minimum_.download(host_.data(), bytes_of(n, sizeof(float))));
  double total = 0;
  for (size_t i = 0; i < host_.size(); ++i) prefix_[i] = total += static_cast<double>(host_[i]);
  candidates_.clear();
  for (int64_t t = 0; t < trials_; ++t) {
    // Not positive: every row coincides with a centre already.
    candidates_.push_back(total > 0 ? draw(prefix_.begin(), prefix_.end(), total, stream_.uniform()) : static_cast<int64_t>(stream_.below(static_cast<uint32_t>(n))));
  }
  potentials_.assign(candidates_.size(), 0.0);
  applied_ = 0;
  return gather_candidates();
}

Status KMeans::begin_parallel() {
  round_ = applied_ = 0;
  row_ = 0;
  phase_ = Phase::sample;
  return gather_candidates();
}

// One block of candidates on one chunk of rows.
Status KMeans::advance_sample() {
  const int64_t n = x_.n(), d = x_.d(), count = std::min(trials_, static_cast<int64_t>(candidates_.size()) - applied_);
  if (count == 0) return finish_round();
  const int64_t last = std::min(n, row_ + x_.chunk_rows(d * count, int64_t{1} << 29));
  const ms_min_distance_args args{last - row_, d, count, x_.device_row(row_), x_norms_.as<float>() + row_, candidate_x_.as<float>(), candidate_norms_.as<float>(),
                                  minimum_.as<float>() + row_, static_cast<int32_t>(applied_), nearest_.as<int32_t>() + row_};
  MS_TRY(backend_->check(backend_->table().min_distance(backend_->context(), &args), "min_distance"));
  row_ = last;
  if (row_ < n) return {};
  row_ = 0;
  applied_ += count;
  if (applied_ < static_cast<int64_t>(candidates_.size())) return gather_candidates();
  rows_done_ += n;
  return finish_round();
}

// Every row becomes a candidate with probability 2 k x its share of the potential.
Status KMeans::finish_round() {
  const int64_t n = x_.n();
  if (round_ == kParallelRounds) {
    phase_ = Phase::weigh;
    return {};
  }
  ++round_;
  MS_TRY(minimum_.download(host_.data(), bytes_of(n, sizeof(float))));
  double total = 0;
  for (float square : host_) total += static_cast<double>(square);
  if (!(total > 0)) {
    round_ = kParallelRounds;
    return {};
  }
  const double factor = 2 * static_cast<double>(options_.k) / total;
  for (int64_t i = 0; i < n; ++i) {
    if (stream_.uniform() < factor * static_cast<double>(host_[static_cast<size_t>(i)])) candidates_.push_back(i);
  }
  return applied_ < static_cast<int64_t>(candidates_.size()) ? gather_candidates() : Status();
}

// k-means++ on the candidates, each with as many rows as are nearest to it; one choice per call. When every candidate is a centre, rows
// drawn evenly fill up.
Status KMeans::weigh() {
  const int64_t n = x_.n(), d = x_.d(), count = static_cast<int64_t>(candidates_.size());
  const ms_backend& table = backend_->table();
  if (weights_.empty()) {
    std::vector<int32_t> nearest(static_cast<size_t>(n)), places(candidates_.begin(), candidates_.end());
    MS_TRY(nearest_.download(nearest.data(), bytes_of(n, sizeof(int32_t))));
    weights_.assign(static_cast<size_t>(count), 0.0);
    for (int32_t candidate : nearest) weights_[static_cast<size_t>(candidate)] += 1;
    Buffer index;
    weighed_x_.reset();
    weighed_norms_.reset();
    weighed_minimum_.reset();
    MS_TRY(Buffer::allocate(backend_, bytes_of(count, sizeof(int32_t)), &index));
    MS_TRY(Buffer::allocate(backend_, bytes_of(count * d, sizeof(float)), &weighed_x_));
    MS_TRY(Buffer::allocate(backend_, bytes_of(count, sizeof(float)), &weighed_norms_));
    MS_TRY(Buffer::allocate(backend_, bytes_of(count, sizeof(float)), &weighed_minimum_));
    MS_TRY(index.upload(places.data(), places.size() * sizeof(int32_t)));
    const ms_gather_rows_args features{count, d, index.as<int32_t>(), x_.device_row(0), weighed_x_.as<float>()};
    MS_TRY(backend_->check(table.gather_rows(backend_->context(), &features), "gather_rows"));
    const ms_gather_rows_args lengths{count, 1, index.as<int32_t>(), x_norms_.as<float>(), weighed_norms_.as<float>()};
    MS_TRY(backend_->check(table.gather_rows(backend_->context(), &lengths), "gather_rows"));
    const std::vector<float> unreached(static_cast<size_t>(count), std::numeric_limits<float>::infinity());
    MS_TRY(weighed_minimum_.upload(unreached.data(), unreached.size() * sizeof(float)));
    run_.centroids.clear();
  }
  std::vector<float> squares(static_cast<size_t>(count), 1.0f);  // the first draw is by weight alone
  if (!run_.centroids.empty()) MS_TRY(weighed_minimum_.download(squares.data(), squares.size() * sizeof(float)));
  double total = 0;
  for (size_t i = 0; i < squares.size(); ++i) prefix_[i] = total += weights_[i] * static_cast<double>(squares[i]);
  const float* x = nullptr;
  if (total > 0) {
    const auto end = prefix_.begin() + count;
    const int64_t chosen = draw(prefix_.begin(), end, total, stream_.uniform());
    x = x_.host().row(candidates_[static_cast<size_t>(chosen)]);
    const ms_min_distance_args args{count, d, 1, weighed_x_.as<float>(), weighed_norms_.as<float>(), weighed_x_.as<float>() + chosen * d, weighed_norms_.as<float>() + chosen, weighed_minimum_.as<float>(), 0, nullptr};
    MS_TRY(backend_->check(table.min_distance(backend_->context(), &args), "min_distance"));
  } else {
    x = x_.host().row(static_cast<int64_t>(stream_.below(static_cast<uint32_t>(n))));
  }
  run_.centroids.insert(run_.centroids.end(), x, x + d);
  if (static_cast<int64_t>(run_.centroids.size()) < options_.k * d) return {};
  weights_.clear();
  return begin_lloyd();
}

}  // namespace mendset
