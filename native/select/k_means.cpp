#include "select/k_means.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <numeric>

#include "select/row_chunks.h"

namespace mendset {

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

size_t bytes_of(int64_t count, size_t size) { return static_cast<size_t>(count) * size; }

}  // namespace

Status KMeans::create(std::shared_ptr<Backend> backend, MatrixView x, const KMeansOptions& options, const double* given_centroids,
                      std::unique_ptr<KMeans>* out) {
  if (options.k < 1 || options.k > x.n) {
    return failure(Code::invalid_argument, "Expected 1 to %lld clusters (one per row at most) but received %lld.",
                   static_cast<long long>(x.n), static_cast<long long>(options.k));
  }
  if (options.max_iterations < 0 || options.restarts < 1) {
    return failure(Code::invalid_argument, "Expected at least 0 iterations and 1 restart but received %lld and %lld.",
                   static_cast<long long>(options.max_iterations), static_cast<long long>(options.restarts));
  }
  std::unique_ptr<KMeans> task(new KMeans());
  task->backend_ = std::move(backend);
  task->options_ = options;
  task->given_ = given_centroids;
  if (given_centroids != nullptr) {
    task->options_.restarts = 1;
    for (int64_t i = 0; i < options.k * x.d; ++i) {
      if (std::isfinite(given_centroids[i]) && std::isfinite(static_cast<float>(given_centroids[i]))) continue;
      return failure(Code::non_finite, "Expected finite starting centroids but found %g in row %lld, column %lld.",
                     given_centroids[i], static_cast<long long>(i / x.d), static_cast<long long>(i % x.d));
    }
  }
  MS_TRY(task->x_.describe(x));
  *out = std::move(task);
  return {};
}

Status KMeans::allocate() {
  const int64_t n = x_.n(), d = x_.d(), k = options_.k;
  MS_TRY(x_.open(backend_));
  MS_TRY(Buffer::allocate(backend_, bytes_of(k * d, sizeof(float)), &centres_));
  MS_TRY(Buffer::allocate(backend_, bytes_of(k, sizeof(float)), &c_norms_));
  MS_TRY(Buffer::allocate(backend_, bytes_of(n, sizeof(int32_t)), &labels_));
  MS_TRY(Buffer::allocate(backend_, bytes_of(n, sizeof(float)), &best_));
  MS_TRY(Buffer::allocate(backend_, bytes_of(k * d, sizeof(double)), &sums_));
  MS_TRY(Buffer::allocate(backend_, bytes_of(k, sizeof(int64_t)), &counts_));
  host_.resize(static_cast<size_t>(n));
  total_sums_.resize(static_cast<size_t>(k * d));
  total_counts_.resize(static_cast<size_t>(k));
  if (given_ != nullptr) return {};

  MS_TRY(Buffer::allocate(backend_, bytes_of(n, sizeof(float)), &minimum_));
  const int64_t candidates = 2 + static_cast<int64_t>(std::floor(std::log(static_cast<double>(k))));
  trial_.resize(static_cast<size_t>(candidates));
  for (Buffer& trial : trial_) MS_TRY(Buffer::allocate(backend_, bytes_of(n, sizeof(float)), &trial));
  prefix_.resize(static_cast<size_t>(n));
  return {};
}

Status KMeans::step(Deadline deadline) {
  do {
    MS_TRY(advance());
  } while (phase_ != Phase::finished && !deadline.passed());
  return {};
}

// In rows visited; a restart that ends early jumps to its end.
Progress KMeans::progress() const {
  const double passes_per_restart = static_cast<double>((given_ != nullptr ? 0 : options_.k) + options_.max_iterations + 1);
  const double n = static_cast<double>(x_.n());
  const double total = n * (static_cast<double>(options_.restarts) * passes_per_restart + 2);
  if (phase_ == Phase::finished) return {total, total, true};
  const double done = n * static_cast<double>(restart_) * passes_per_restart + static_cast<double>(rows_done_);
  return {std::min(done, total - 1), total, false};
}

Status KMeans::advance() {
  switch (phase_) {
    case Phase::allocate:
      phase_ = Phase::check;
      return allocate();
    case Phase::check:
      return advance_check();
    case Phase::seed:
      return advance_seed();
    case Phase::assign:
      return advance_assign();
    case Phase::distances:
      return advance_distances();
    case Phase::finished:
      return {};
  }
  return failure(Code::internal, "k-means is in an unknown phase.");
}

Status KMeans::advance_check() {
  const int64_t last = std::min(x_.n(), row_ + chunk_rows(x_.d()));
  MS_TRY(check_finite(x_.host(), row_, last));
  for (int64_t i = row_; i < last; ++i) {
    const float* x = x_.host().row(i);
    for (int64_t p = 0; p < x_.d(); ++p) squares_ = std::fma(static_cast<double>(x[p]), static_cast<double>(x[p]), squares_);
  }
  row_ = last;
  if (row_ < x_.n()) return {};

  MS_TRY(row_norms(backend_, x_, &x_norms_));
  return begin_restart();
}

Status KMeans::begin_restart() {
  run_ = Run();
  run_.restart = restart_;
  row_ = 0;
  rows_done_ = 0;
  if (given_ != nullptr) {
    run_.centroids.assign(given_, given_ + options_.k * x_.d());
    return begin_lloyd();
  }
  stream_ = RandomStream(options_.seed, static_cast<uint32_t>(StreamId::k_means), static_cast<uint32_t>(restart_));
  seeds_.clear();
  candidates_.assign(1, static_cast<int64_t>(stream_.below(static_cast<uint32_t>(x_.n()))));
  potentials_.assign(1, 0.0);
  std::fill(host_.begin(), host_.end(), kInfinity);
  MS_TRY(minimum_.upload(host_.data(), bytes_of(x_.n(), sizeof(float))));
  phase_ = Phase::seed;
  return {};
}

// One chunk of rows against every candidate, so that the rows are read from memory once.
Status KMeans::advance_seed() {
  const int64_t d = x_.d();
  const int64_t last = std::min(x_.n(), row_ + chunk_rows(d * static_cast<int64_t>(trial_.size()), int64_t{1} << 24));
  const int64_t rows = last - row_;
  const size_t bytes = bytes_of(rows, sizeof(float));
  for (size_t t = 0; t < candidates_.size(); ++t) {
    float* trial = trial_[t].as<float>() + row_;
    MS_TRY(backend_->check(backend_->table().copy(backend_->context(), trial, minimum_.as<float>() + row_, bytes), "copy"));
    const int64_t c = candidates_[t];
    const ms_min_distance_args args{
        rows,  d, 1,      x_.device_row(row_), x_norms_.as<float>() + row_, x_.device_row(c), x_norms_.as<float>() + c,
        trial, 0, nullptr};
    MS_TRY(backend_->check(backend_->table().min_distance(backend_->context(), &args), "min_distance"));
    MS_TRY(backend_->check(backend_->table().download(backend_->context(), host_.data(), trial, bytes), "download"));
    double potential = potentials_[t];
    for (int64_t i = 0; i < rows; ++i) potential += static_cast<double>(host_[static_cast<size_t>(i)]);
    potentials_[t] = potential;
  }
  row_ = last;
  rows_done_ += rows;
  return row_ < x_.n() ? Status() : choose_seed();
}

// Keeps the candidate of least potential (ties: drawn first) and draws the next ones with probability ~ squared distance.
Status KMeans::choose_seed() {
  const auto least = std::min_element(potentials_.begin(), potentials_.end());
  const size_t chosen = static_cast<size_t>(least - potentials_.begin());
  seeds_.push_back(candidates_[chosen]);
  std::swap(minimum_, trial_[chosen]);
  row_ = 0;

  if (static_cast<int64_t>(seeds_.size()) == options_.k) {
    run_.centroids.clear();
    for (int64_t seed : seeds_) {
      const float* x = x_.host().row(seed);
      run_.centroids.insert(run_.centroids.end(), x, x + x_.d());
    }
    return begin_lloyd();
  }

  MS_TRY(minimum_.download(host_.data(), bytes_of(x_.n(), sizeof(float))));
  double total = 0;
  for (size_t i = 0; i < host_.size(); ++i) prefix_[i] = total += static_cast<double>(host_[i]);
  candidates_.clear();
  for (size_t t = 0; t < trial_.size(); ++t) {
    if (!(total > 0)) {  // every row coincides with a centre already
      candidates_.push_back(static_cast<int64_t>(stream_.below(static_cast<uint32_t>(x_.n()))));
      continue;
    }
    // The first row whose prefix exceeds the draw has a positive distance; rounding of u * total to total lands on the last such
    // row.
    const double target = stream_.uniform() * total;
    auto place = std::upper_bound(prefix_.begin(), prefix_.end(), target);
    if (place == prefix_.end()) place = std::lower_bound(prefix_.begin(), prefix_.end(), total);
    candidates_.push_back(place - prefix_.begin());
  }
  potentials_.assign(candidates_.size(), 0.0);
  return {};
}

Status KMeans::begin_lloyd() {
  MS_TRY(upload_centroids(run_.centroids));
  run_.labels.assign(static_cast<size_t>(x_.n()), -1);
  previous_labels_.assign(static_cast<size_t>(x_.n()), -1);
  std::fill(total_sums_.begin(), total_sums_.end(), 0.0);
  std::fill(total_counts_.begin(), total_counts_.end(), 0);
  row_ = 0;
  phase_ = Phase::assign;
  return {};
}

Status KMeans::upload_centroids(const std::vector<double>& centroids) {
  std::vector<float> rounded(centroids.size());
  for (size_t i = 0; i < centroids.size(); ++i) rounded[i] = static_cast<float>(centroids[i]);
  MS_TRY(centres_.upload(rounded.data(), rounded.size() * sizeof(float)));
  const ms_row_norms_args norms{options_.k, x_.d(), centres_.as<float>(), c_norms_.as<float>()};
  return backend_->check(backend_->table().row_norms(backend_->context(), &norms), "row_norms");
}

Status KMeans::advance_assign() {
  const int64_t d = x_.d(), k = options_.k;
  const int64_t last = std::min(x_.n(), row_ + chunk_rows(k * d, int64_t{1} << 28));
  const int64_t rows = last - row_;
  const ms_nearest_centre_args nearest{rows,
                                       k,
                                       d,
                                       x_.device_row(row_),
                                       centres_.as<float>(),
                                       c_norms_.as<float>(),
                                       labels_.as<int32_t>() + row_,
                                       best_.as<float>() + row_,
                                       nullptr,
                                       nullptr};
  MS_TRY(backend_->check(backend_->table().nearest_centre(backend_->context(), &nearest), "nearest_centre"));
  const ms_label_sums_args sums{
      rows, k, d, x_.device_row(row_), labels_.as<int32_t>() + row_, sums_.as<double>(), counts_.as<int64_t>()};
  MS_TRY(backend_->check(backend_->table().label_sums(backend_->context(), &sums), "label_sums"));

  std::vector<double> chunk_sums(total_sums_.size());
  std::vector<int64_t> chunk_counts(total_counts_.size());
  MS_TRY(sums_.download(chunk_sums.data(), chunk_sums.size() * sizeof(double)));
  MS_TRY(counts_.download(chunk_counts.data(), chunk_counts.size() * sizeof(int64_t)));
  for (size_t i = 0; i < chunk_sums.size(); ++i) total_sums_[i] += chunk_sums[i];
  for (size_t j = 0; j < chunk_counts.size(); ++j) total_counts_[j] += chunk_counts[j];
  row_ = last;
  rows_done_ += rows;
  return row_ < x_.n() ? Status() : finish_pass();
}

Status KMeans::finish_pass() {
  const int64_t d = x_.d(), k = options_.k;
  MS_TRY(labels_.download(run_.labels.data(), bytes_of(x_.n(), sizeof(int32_t))));
  const bool updates_left = run_.iterations < options_.max_iterations;
  const bool empty = std::find(total_counts_.begin(), total_counts_.end(), 0) != total_counts_.end();
  run_.inertia.push_back(inertia());
  if (updates_left && empty) {
    MS_TRY(best_.download(host_.data(), bytes_of(x_.n(), sizeof(float))));
    refill_empty_clusters();
  }

  if (run_.labels == previous_labels_) return finish_restart(KMeansStop::labels_stable);
  if (!updates_left) return finish_restart(KMeansStop::iteration_limit);

  for (int64_t j = 0; j < k; ++j) {
    const int64_t size = total_counts_[static_cast<size_t>(j)];
    if (size == 0) continue;
    for (int64_t p = j * d; p < (j + 1) * d; ++p) {
      run_.centroids[static_cast<size_t>(p)] = total_sums_[static_cast<size_t>(p)] / static_cast<double>(size);
    }
  }
  MS_TRY(upload_centroids(run_.centroids));
  ++run_.iterations;
  previous_labels_ = run_.labels;
  std::fill(total_sums_.begin(), total_sums_.end(), 0.0);
  std::fill(total_counts_.begin(), total_counts_.end(), 0);
  row_ = 0;
  return {};
}

// Empty clusters in ascending order take the row with the largest distance to its own centroid (lowest index on ties) from a
// cluster that keeps at least one other row. host_ holds v = |c|^2 - 2 x.c of every row.
void KMeans::refill_empty_clusters() {
  const int64_t n = x_.n(), d = x_.d(), k = options_.k;
  std::vector<double> distance(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) {
    const float* x = x_.host().row(i);
    double square = 0;
    for (int64_t p = 0; p < d; ++p) square = std::fma(static_cast<double>(x[p]), static_cast<double>(x[p]), square);
    distance[static_cast<size_t>(i)] = std::max(0.0, square + static_cast<double>(host_[static_cast<size_t>(i)]));
  }
  for (int64_t j = 0; j < k; ++j) {
    if (total_counts_[static_cast<size_t>(j)] != 0) continue;
    int64_t farthest = -1;
    for (int64_t i = 0; i < n; ++i) {
      if (total_counts_[static_cast<size_t>(run_.labels[static_cast<size_t>(i)])] < 2) continue;
      if (farthest < 0 || distance[static_cast<size_t>(i)] > distance[static_cast<size_t>(farthest)]) farthest = i;
    }
    if (farthest < 0) return;  // cannot happen while k <= n
    const int64_t donor = run_.labels[static_cast<size_t>(farthest)];
    const float* x = x_.host().row(farthest);
    for (int64_t p = 0; p < d; ++p) {
      total_sums_[static_cast<size_t>(donor * d + p)] -= static_cast<double>(x[p]);
      total_sums_[static_cast<size_t>(j * d + p)] = static_cast<double>(x[p]);
    }
    --total_counts_[static_cast<size_t>(donor)];
    total_counts_[static_cast<size_t>(j)] = 1;
    run_.labels[static_cast<size_t>(farthest)] = static_cast<int32_t>(j);
    distance[static_cast<size_t>(farthest)] = 0;
  }
}

// Sum |x|^2 - 2 sum_j S_j . c_j + sum_j n_j |c_j|^2 of the pass just made, in O(k d).
double KMeans::inertia() const {
  const int64_t d = x_.d();
  double sum = squares_;
  for (int64_t j = 0; j < options_.k; ++j) {
    const double size = static_cast<double>(total_counts_[static_cast<size_t>(j)]);
    for (int64_t p = j * d; p < (j + 1) * d; ++p) {
      const double c = run_.centroids[static_cast<size_t>(p)];
      sum += c * (size * c - 2 * total_sums_[static_cast<size_t>(p)]);
    }
  }
  return std::max(0.0, sum);
}

Status KMeans::finish_restart(KMeansStop stop) {
  run_.stop = stop;
  if (restart_ == 0 || run_.inertia.back() < best_run_.inertia.back()) best_run_ = run_;
  ++restart_;
  rows_done_ = 0;
  if (restart_ < options_.restarts) return begin_restart();

  renumber();
  MS_TRY(upload_centroids(result_.centroids));
  MS_TRY(Buffer::allocate(backend_, bytes_of(x_.n(), sizeof(float)), &second_));
  MS_TRY(Buffer::allocate(backend_, bytes_of(x_.n(), sizeof(int32_t)), &second_labels_));
  row_ = 0;
  phase_ = Phase::distances;
  return {};
}

// Clusters by descending size, then lowest member; empty ones last in their old order.
void KMeans::renumber() {
  const size_t n = static_cast<size_t>(x_.n()), d = static_cast<size_t>(x_.d()), k = static_cast<size_t>(options_.k);
  std::vector<int64_t> sizes(k, 0), lowest(k, x_.n());
  for (size_t i = n; i-- > 0;) {
    const size_t label = static_cast<size_t>(best_run_.labels[i]);
    ++sizes[label];
    lowest[label] = static_cast<int64_t>(i);
  }
  std::vector<size_t> order(k);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return sizes[a] != sizes[b] ? sizes[a] > sizes[b] : lowest[a] < lowest[b]; });

  result_.k = options_.k;
  result_.iterations = best_run_.iterations;
  result_.restart = best_run_.restart;
  result_.stop = best_run_.stop;
  result_.inertia_per_iteration = best_run_.inertia;
  result_.centroids.resize(k * d);
  result_.sizes.resize(k);
  std::vector<int32_t> number(k);
  for (size_t j = 0; j < k; ++j) {
    number[order[j]] = static_cast<int32_t>(j);
    result_.sizes[j] = sizes[order[j]];
    std::copy_n(best_run_.centroids.begin() + static_cast<ptrdiff_t>(order[j] * d), d,
                result_.centroids.begin() + static_cast<ptrdiff_t>(j * d));
  }
  result_.labels.resize(n);
  for (size_t i = 0; i < n; ++i) result_.labels[i] = number[static_cast<size_t>(best_run_.labels[i])];
  result_.second_labels.assign(n, -1);
  result_.own_distance.assign(n, 0.0);
  result_.second_distance.assign(n, std::numeric_limits<double>::infinity());
}

Status KMeans::advance_distances() {
  const int64_t d = x_.d(), k = options_.k;
  const int64_t last = std::min(x_.n(), row_ + chunk_rows(k * d, int64_t{1} << 28));
  const int64_t rows = last - row_;
  const ms_nearest_centre_args nearest{rows,
                                       k,
                                       d,
                                       x_.device_row(row_),
                                       centres_.as<float>(),
                                       c_norms_.as<float>(),
                                       labels_.as<int32_t>() + row_,
                                       best_.as<float>() + row_,
                                       second_labels_.as<int32_t>() + row_,
                                       second_.as<float>() + row_};
  MS_TRY(backend_->check(backend_->table().nearest_centre(backend_->context(), &nearest), "nearest_centre"));
  std::vector<int32_t> first(static_cast<size_t>(rows)), second(static_cast<size_t>(rows));
  const size_t bytes = bytes_of(rows, sizeof(int32_t)), offset = bytes_of(row_, sizeof(int32_t));
  MS_TRY(labels_.download(first.data(), bytes, offset));
  MS_TRY(second_labels_.download(second.data(), bytes, offset));

  const auto distance = [&](int64_t i, int32_t j) {
    const float* x = x_.host().row(i);
    const double* c = result_.centroids.data() + static_cast<int64_t>(j) * d;
    double square = 0;
    for (int64_t p = 0; p < d; ++p) {
      const double difference = static_cast<double>(x[p]) - c[p];
      square = std::fma(difference, difference, square);
    }
    return square;
  };
  for (int64_t i = row_; i < last; ++i) {
    const size_t row = static_cast<size_t>(i), local = static_cast<size_t>(i - row_);
    const int32_t own = result_.labels[row];
    const double square = distance(i, own);
    result_.inertia += square;
    result_.own_distance[row] = std::sqrt(square);
    // Renumbering may swap two tied centres, so the other centre is whichever of the two nearest is not the row's own.
    const int32_t other = k == 1 ? -1 : first[local] != own ? first[local] : second[local];
    result_.second_labels[row] = other;
    if (other >= 0) result_.second_distance[row] = std::sqrt(distance(i, other));
  }
  row_ = last;
  rows_done_ += rows;
  if (row_ == x_.n()) phase_ = Phase::finished;
  return {};
}

}  // namespace mendset
