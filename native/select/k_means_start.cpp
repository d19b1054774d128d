// Where k-means starts: greedy k-means++ and k-means||.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>

#include "select/k_means.h"

namespace mendset {

namespace {

constexpr int64_t kBlock = 240;  // candidates of k-means|| applied at once
constexpr int64_t kSumRows = 1024;  // rows whose squares are summed at once; chunks are multiples of it

size_t bytes_of(int64_t count, size_t size) { return static_cast<size_t>(count) * size; }

// A row with probability ~ its part of the prefix sums; `total` > 0 is the last of them.
int64_t draw(const std::vector<double>& prefix, double total, double uniform) {
  // The first row whose prefix exceeds the draw has a positive part; rounding of u * total to total lands on the last such row.
  auto place = std::upper_bound(prefix.begin(), prefix.end(), uniform * total);
  if (place == prefix.end()) place = std::lower_bound(prefix.begin(), prefix.end(), total);
  return place - prefix.begin();
}

// The same from the sums of blocks of kSumRows: `prefix` are those of the blocks, and the block that the draw falls into is gone through.
int64_t draw_row(const float* squares, int64_t n, const std::vector<double>& prefix, double total, double uniform) {
  const int64_t block = draw(prefix, total, uniform), first = block * kSumRows, end = std::min(n, first + kSumRows);
  double sum = block > 0 ? prefix[static_cast<size_t>(block) - 1] : 0;
  int64_t last = first;  // that has a part: where the two orders of summation differ, the draw may lie beyond all of them
  for (int64_t i = first; i < end; ++i) {
    if (!(squares[i] > 0)) continue;
    sum += static_cast<double>(squares[i]);
    last = i;
    if (sum > uniform * total) break;
  }
  return last;
}

}  // namespace

int64_t KMeans::squares_at_once(int64_t d) { return std::max<int64_t>(16, d / 16); }

Status KMeans::allocate_start() {
  const int64_t n = x_.n(), d = x_.d();
  const bool greedy = options_.start == KMeansStart::greedy;
  trials_ = greedy ? 2 + static_cast<int64_t>(std::floor(std::log(static_cast<double>(options_.k)))) : kBlock;
  together_ = greedy ? std::clamp<int64_t>(squares_at_once(d) / trials_, 1, options_.restarts) : 1;
  if (greedy) MS_TRY(Buffer::allocate(backend_, bytes_of(n * together_ * trials_, sizeof(float)), &trial_));
  if (!greedy) MS_TRY(Buffer::allocate(backend_, bytes_of(n, sizeof(float)), &minimum_));
  if (!greedy) MS_TRY(Buffer::allocate(backend_, bytes_of(n, sizeof(int32_t)), &nearest_));
  MS_TRY(Buffer::allocate(backend_, bytes_of(together_ * trials_, sizeof(int32_t)), &candidate_index_));
  MS_TRY(Buffer::allocate(backend_, bytes_of(together_ * trials_ * d, sizeof(float)), &candidate_x_));
  MS_TRY(Buffer::allocate(backend_, bytes_of(together_ * trials_, sizeof(float)), &candidate_norms_));
  return {};
}

// Rows candidates_[applied_ ...], as many as fit.
Status KMeans::gather_candidates() {
  std::vector<int32_t> rows;
  for (size_t i = static_cast<size_t>(applied_); i < candidates_.size() && static_cast<int64_t>(rows.size()) < together_ * trials_; ++i) rows.push_back(static_cast<int32_t>(candidates_[i]));
  const int64_t count = static_cast<int64_t>(rows.size());
  MS_TRY(candidate_index_.upload(rows.data(), rows.size() * sizeof(int32_t)));
  const ms_gather_rows_args features{count, x_.d(), candidate_index_.as<int32_t>(), x_.device_row(0), candidate_x_.as<float>()};
  MS_TRY(backend_->check(backend_->table().gather_rows(backend_->context(), &features), "gather_rows"));
  const ms_gather_rows_args norms{count, 1, candidate_index_.as<int32_t>(), x_norms_.as<float>(), candidate_norms_.as<float>()};
  return backend_->check(backend_->table().gather_rows(backend_->context(), &norms), "gather_rows");
}

// Of the next restarts, side by side.
Status KMeans::begin_greedy() {
  const int64_t n = x_.n(), done = static_cast<int64_t>(seeds_.size());
  starts_.clear();
  candidates_.clear();
  for (int64_t restart = done; restart < std::min(done + together_, options_.restarts); ++restart) {
    starts_.push_back({RandomStream(options_.seed, static_cast<uint32_t>(StreamId::k_means), static_cast<uint32_t>(restart)), {}, std::vector<float>(static_cast<size_t>(n), std::numeric_limits<float>::infinity())});
    candidates_.push_back(static_cast<int64_t>(starts_.back().stream.below(static_cast<uint32_t>(n))));
  }
  applied_ = 0;
  row_ = 0;
  phase_ = Phase::seed;
  return gather_candidates();
}

// One chunk of rows against every candidate, so that the rows are read from memory once.
Status KMeans::advance_seed() {
  const int64_t n = x_.n(), d = x_.d(), count = static_cast<int64_t>(candidates_.size()), each = count / static_cast<int64_t>(starts_.size());
  const int64_t last = std::min(n, row_ + x_.chunk_rows(d * together_ * trials_, int64_t{1} << 27));
  const int64_t rows = last - row_;
  const ms_each_distance_args args{rows, d, count, x_.device_row(row_), x_norms_.as<float>() + row_, candidate_x_.as<float>(), candidate_norms_.as<float>(), trial_.as<float>() + row_, n};
  MS_TRY(backend_->check(backend_->table().each_distance(backend_->context(), &args), "each_distance"));
  const int64_t blocks = (n - 1) / kSumRows + 1;
  block_sums_.resize(static_cast<size_t>(count * blocks));
  for (int64_t t = 0; t < count; ++t) {
    const float* const minimum = starts_[static_cast<size_t>(t / each)].minimum.data() + row_;
    const float* squares;
    MS_TRY(trial_.view(t * n + row_, rows, &host_, &squares));
    for (int64_t i = 0; i < rows; i += kSumRows)
      block_sums_[static_cast<size_t>(t * blocks + (row_ + i) / kSumRows)] = algebra_.sum_of_least(squares + i, minimum + i, std::min(kSumRows, rows - i));
  }
  row_ = last;
  rows_done_ += rows;
  return row_ < n ? Status() : choose_seeds();
}

// Every restart keeps its candidate of least potential (ties: drawn first) and draws the next ones with probability ~ squared distance.
Status KMeans::choose_seeds() {
  const int64_t n = x_.n(), blocks = (n - 1) / kSumRows + 1, each = static_cast<int64_t>(candidates_.size() / starts_.size());
  std::vector<int64_t> next;
  std::vector<double> prefix(static_cast<size_t>(blocks)), least_prefix;
  for (size_t s = 0; s < starts_.size(); ++s) {
    Start& start = starts_[s];
    const int64_t first = static_cast<int64_t>(s) * each;
    int64_t chosen = -1;
    for (int64_t t = first; t < first + each; ++t) {
      std::partial_sum(block_sums_.begin() + t * blocks, block_sums_.begin() + (t + 1) * blocks, prefix.begin());
      if (chosen >= 0 && !(prefix.back() < least_prefix.back())) continue;
      chosen = t;
      least_prefix = prefix;
    }
    start.seeds.push_back(candidates_[static_cast<size_t>(chosen)]);
    if (static_cast<int64_t>(start.seeds.size()) == options_.k) continue;
    const float* squares;
    MS_TRY(trial_.view(chosen * n, n, &host_, &squares));
    for (size_t i = 0; i < start.minimum.size(); ++i) start.minimum[i] = std::min(start.minimum[i], squares[i]);
    const double total = least_prefix.back();
    for (int64_t t = 0; t < trials_; ++t) {
      // Not positive: every row coincides with a centre already.
      next.push_back(total > 0 ? draw_row(start.minimum.data(), n, least_prefix, total, start.stream.uniform()) : static_cast<int64_t>(start.stream.below(static_cast<uint32_t>(n))));
    }
  }
  row_ = applied_ = 0;
  if (!next.empty()) {
    candidates_ = std::move(next);
    return gather_candidates();
  }
  for (Start& start : starts_) seeds_.push_back(std::move(start.seeds));
  if (static_cast<int64_t>(seeds_.size()) < options_.restarts) return begin_greedy();
  starts_ = {};
  block_sums_ = {};
  host_ = {};
  trial_.reset();
  return begin_restart();
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
  const float* squares;
  MS_TRY(minimum_.view(0, n, &host_, &squares));
  double total = 0;
  for (int64_t first = 0; first < n; first += kSumRows) total += algebra_.sum(squares + first, std::min(kSumRows, n - first));
  if (!(total > 0)) {
    round_ = kParallelRounds;
    return {};
  }
  const double factor = 2 * static_cast<double>(options_.k) / total;
  for (int64_t i = 0; i < n; ++i) {
    if (stream_.uniform() < factor * static_cast<double>(squares[i])) candidates_.push_back(i);
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
  std::vector<double> prefix(squares.size());
  for (size_t i = 0; i < squares.size(); ++i) prefix[i] = total += weights_[i] * static_cast<double>(squares[i]);
  const float* x = nullptr;
  if (total > 0) {
    const int64_t chosen = draw(prefix, total, stream_.uniform());
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
