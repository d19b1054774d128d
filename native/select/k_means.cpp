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
  const bool labels_alone = given_centroids != nullptr && options.max_iterations == 0;  // then some may be nearest to no row
  if (options.k < 1 || (options.k > x.n && !labels_alone)) {
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
  MS_TRY(x_.begin(backend_, options_.spherical ? Metric::cosine : Metric::euclidean));
  if (options_.spherical) magnitude_ = std::min(magnitude_, 1.0f);
  grid_ = exact_grid(magnitude_, n);
  MS_TRY(Buffer::allocate(backend_, bytes_of(k * d, sizeof(float)), &centres_));
  MS_TRY(Buffer::allocate(backend_, bytes_of(k, sizeof(float)), &c_norms_));
  MS_TRY(Buffer::allocate(backend_, bytes_of(n, sizeof(int32_t)), &labels_));
  MS_TRY(Buffer::allocate(backend_, bytes_of(assign_rows(), sizeof(int32_t)), &before_));
  MS_TRY(Buffer::allocate(backend_, bytes_of(k * d, sizeof(double)), &sums_));
  MS_TRY(Buffer::allocate(backend_, bytes_of(k, sizeof(int64_t)), &counts_));
  MS_TRY(Buffer::allocate(backend_, bytes_of(n, sizeof(float)), &x_norms_));
  if (!backend_->on_host()) total_sums_.resize(static_cast<size_t>(k * d));
  total_counts_.resize(static_cast<size_t>(k));
  MS_TRY(Buffer::allocate(backend_, bytes_of(n, sizeof(double)), &squares_));
  MS_TRY(Buffer::allocate(backend_, bytes_of(k * d, sizeof(double)), &fp64_centroids_));
  assignment_ = std::make_unique<KMeansAssignment>(backend_, x_, k, options_.prune && x_.on_host());
  row_ = 0;
  return given_ != nullptr ? Status() : allocate_start();
}

// Of one chunk of an assignment pass.
int64_t KMeans::assign_rows() const { return std::min(x_.n(), x_.chunk_rows(options_.k * x_.d(), int64_t{1} << 29)); }

Status KMeans::step(Deadline deadline) {
  do {
    MS_TRY(advance());
  } while (phase_ != Phase::finished && !deadline.passed());
  return {};
}

// In rows visited; a restart that ends early jumps to its end.
Progress KMeans::progress() const {
  // Greedy k-means++ goes before all restarts; k-means|| applies about 2 k candidates in each of its rounds.
  const bool greedy = given_ == nullptr && options_.start == KMeansStart::greedy;
  const double before = greedy ? static_cast<double>(options_.k * ((options_.restarts - 1) / together_ + 1)) : 0;
  const double passes_per_restart = static_cast<double>((given_ == nullptr && !greedy ? kParallelRounds + 1 : 0) + options_.max_iterations + 1);
  const double n = static_cast<double>(x_.n());
  const double total = n * (before + static_cast<double>(options_.restarts) * passes_per_restart + 2);
  if (phase_ == Phase::finished) return {total, total, true};
  const double started = greedy && static_cast<int64_t>(seeds_.size()) == options_.restarts ? n * (before + static_cast<double>(restart_) * passes_per_restart) : n * static_cast<double>(restart_) * passes_per_restart;
  return {std::min(started + static_cast<double>(rows_done_), total - 1), total, false};
}

Status KMeans::advance() {
  switch (phase_) {
    case Phase::check:
      return advance_check();
    case Phase::allocate:
      phase_ = Phase::load;
      return allocate();
    case Phase::load:
      return advance_load();
    case Phase::measure:
      return advance_measure();
    case Phase::prepare:
      return assignment_->prepared() ? begin_restart() : assignment_->prepare();
    case Phase::seed:
      return advance_seed();
    case Phase::sample:
      return advance_sample();
    case Phase::weigh:
      return weigh();
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
  MS_TRY(check_finite(x_.host(), row_, last, &magnitude_));
  row_ = last;
  if (row_ == x_.n()) phase_ = Phase::allocate;
  return {};
}

Status KMeans::advance_load() {
  const int64_t last = std::min(x_.n(), row_ + pass_rows(x_.d()));
  MS_TRY(x_.load(row_, last));
  MS_TRY(row_norms(backend_, x_, row_, last, x_norms_));
  row_ = last;
  if (row_ < x_.n()) return {};
  row_ = 0;
  phase_ = Phase::measure;
  return {};
}

// Squared lengths of all rows, and their sum in row order.
Status KMeans::advance_measure() {
  const int64_t last = std::min(x_.n(), row_ + chunk_rows(x_.d()));
  std::vector<double> squares(static_cast<size_t>(last - row_));
  const ms_label_distances_args args{last - row_, x_.d(), x_.device_row(row_), nullptr, nullptr, squares_.as<double>() + row_};
  MS_TRY(backend_->check(backend_->table().label_distances(backend_->context(), &args), "label_distances"));
  MS_TRY(squares_.download(squares.data(), squares.size() * sizeof(double), bytes_of(row_, sizeof(double))));
  for (double square : squares) {
    sum_of_squares_ += square;
    x_length_ = std::max(x_length_, square);
  }
  row_ = last;
  if (row_ < x_.n()) return {};
  x_length_ = std::sqrt(x_length_);
  phase_ = Phase::prepare;
  return {};
}

// Squared distances of rows [first, last) to the centroids of their labels ([last - first] on the device).
Status KMeans::label_squares(int64_t first, int64_t last, const double* centroids, const int32_t* labels, double* squares) {
  const size_t bytes = bytes_of(last - first, sizeof(double));
  if (row_squares_.bytes() < bytes) {
    row_squares_.reset();
    MS_TRY(Buffer::allocate(backend_, bytes, &row_squares_));
  }
  const ms_label_distances_args args{last - first, x_.d(), x_.device_row(first), centroids, labels, row_squares_.as<double>()};
  MS_TRY(backend_->check(backend_->table().label_distances(backend_->context(), &args), "label_distances"));
  return row_squares_.download(squares, bytes);
}

Status KMeans::begin_restart() {
  run_ = Run();
  run_.restart = restart_;
  row_ = 0;
  rows_done_ = 0;
  if (given_ != nullptr) {
    run_.centroids.assign(given_, given_ + options_.k * x_.d());
    if (options_.spherical) scale_centroids();
    return begin_lloyd();
  }
  if (options_.start == KMeansStart::greedy) {
    if (seeds_.empty()) return begin_greedy();
    for (int64_t seed : seeds_[static_cast<size_t>(restart_)]) {
      const float* x = x_.host().row(seed);
      run_.centroids.insert(run_.centroids.end(), x, x + x_.d());
    }
    return begin_lloyd();
  }
  stream_ = RandomStream(options_.seed, static_cast<uint32_t>(StreamId::k_means), static_cast<uint32_t>(restart_));
  candidates_.assign(1, static_cast<int64_t>(stream_.below(static_cast<uint32_t>(x_.n()))));
  const std::vector<float> unreached(static_cast<size_t>(x_.n()), kInfinity);
  MS_TRY(minimum_.upload(unreached.data(), bytes_of(x_.n(), sizeof(float))));
  return begin_parallel();
}

Status KMeans::begin_lloyd() {
  const size_t n = static_cast<size_t>(x_.n());
  run_.labels.assign(n, -1);
  MS_TRY(labels_.upload(run_.labels.data(), n * sizeof(int32_t)));
  std::fill_n(host_sums(), options_.k * x_.d(), 0.0);
  std::fill(total_counts_.begin(), total_counts_.end(), 0);
  MS_TRY(upload_sums());
  phase_ = Phase::assign;
  assignment_->begin_restart(squares_.as<double>(), x_length_, run_.centroids);
  return begin_pass();
}

Status KMeans::begin_pass() {
  row_ = 0;
  MS_TRY(upload_centroids(run_.centroids));
  const double spread = run_.inertia.empty() ? 0 : std::sqrt(run_.inertia.back() / static_cast<double>(x_.n()));
  return assignment_->begin_pass({run_.centroids, fp64_centroids_.as<double>(), centres_.as<float>(), c_norms_.as<float>(), spread});
}

Status KMeans::upload_centroids(const std::vector<double>& centroids) {
  MS_TRY(fp64_centroids_.upload(centroids.data(), centroids.size() * sizeof(double)));
  const auto round = [](double value) { return static_cast<float>(value); };
  if (backend_->on_host()) {
    std::transform(centroids.begin(), centroids.end(), centres_.as<float>(), round);
  } else {
    std::vector<float> rounded(centroids.size());
    std::transform(centroids.begin(), centroids.end(), rounded.begin(), round);
    MS_TRY(centres_.upload(rounded.data(), rounded.size() * sizeof(float)));
  }
  const ms_row_norms_args norms{options_.k, x_.d(), centres_.as<float>(), c_norms_.as<float>()};
  return backend_->check(backend_->table().row_norms(backend_->context(), &norms), "row_norms");
}

// Where they lie if that is ordinary memory, else the copy that upload_sums() takes back.
double* KMeans::host_sums() { return total_sums_.empty() ? sums_.as<double>() : total_sums_.data(); }

Status KMeans::upload_sums() {
  if (!total_sums_.empty()) MS_TRY(sums_.upload(total_sums_.data(), total_sums_.size() * sizeof(double)));
  return counts_.upload(total_counts_.data(), total_counts_.size() * sizeof(int64_t));
}

// One chunk: labels, then the rows whose label changed move between the sums while they are in the last-level cache.
Status KMeans::advance_assign() {
  const int64_t d = x_.d(), k = options_.k;
  const int64_t last = std::min(x_.n(), row_ + assign_rows());
  const int64_t rows = last - row_;
  int32_t* const labels = labels_.as<int32_t>() + row_;
  MS_TRY(backend_->check(backend_->table().copy(backend_->context(), before_.data(), labels, bytes_of(rows, sizeof(int32_t))), "copy"));
  MS_TRY(assignment_->assign(row_, last, labels_.as<int32_t>()));
  result_.pairs += rows * k;
  const ms_move_rows_args moves{rows, k, d, x_.device_row(row_), before_.as<int32_t>(), labels, grid_, sums_.as<double>(), counts_.as<int64_t>()};
  MS_TRY(backend_->check(backend_->table().move_rows(backend_->context(), &moves), "move_rows"));
  row_ = last;
  rows_done_ += rows;
  return row_ < x_.n() ? Status() : finish_pass();
}

Status KMeans::finish_pass() {
  const int64_t n = x_.n(), d = x_.d(), k = options_.k;
  if (!total_sums_.empty()) MS_TRY(sums_.download(total_sums_.data(), total_sums_.size() * sizeof(double)));
  MS_TRY(counts_.download(total_counts_.data(), total_counts_.size() * sizeof(int64_t)));
  const bool updates_left = run_.iterations < options_.max_iterations;
  const bool empty = std::find(total_counts_.begin(), total_counts_.end(), 0) != total_counts_.end();
  run_.inertia.push_back(inertia());
  const int32_t* labels;
  MS_TRY(labels_.view(0, n, &host_labels_, &labels));
  bool stable;
  if (updates_left && empty) {
    const std::vector<int32_t> before = std::move(run_.labels);
    run_.labels.assign(labels, labels + n);
    MS_TRY(refill_empty_clusters());
    stable = run_.labels == before;
  } else {
    stable = std::equal(labels, labels + n, run_.labels.data());
    if (!stable) std::copy_n(labels, n, run_.labels.data());
  }
  if (stable) return finish_restart(KMeansStop::labels_stable);
  if (!updates_left) return finish_restart(KMeansStop::iteration_limit);
  const double* const sums = host_sums();
  for (int64_t j = 0; j < k; ++j) {
    for (int64_t p = j * d; p < (j + 1) * d; ++p)
      run_.centroids[static_cast<size_t>(p)] = sums[p] / static_cast<double>(total_counts_[static_cast<size_t>(j)]);
  }
  if (options_.spherical) scale_centroids();
  ++run_.iterations;
  return begin_pass();
}

// To length 1; a mean of length 0 stays.
void KMeans::scale_centroids() {
  const size_t d = static_cast<size_t>(x_.d());
  for (size_t j = 0; j < static_cast<size_t>(options_.k); ++j) {
    double* const c = run_.centroids.data() + j * d;
    double square = 0;
    for (size_t p = 0; p < d; ++p) square += c[p] * c[p];
    const double length = std::sqrt(square);
    for (size_t p = 0; p < d && length > 0; ++p) c[p] /= length;
  }
}

// Empty clusters in ascending order take the row with the largest distance to its own centroid (lowest index on ties) from a
// cluster that keeps at least one other row.
Status KMeans::refill_empty_clusters() {
  const int64_t n = x_.n(), d = x_.d(), k = options_.k;
  double* const sums = host_sums();
  std::vector<double> distance(static_cast<size_t>(n));
  for (int64_t first = 0; first < n;) {
    const int64_t last = std::min(n, first + chunk_rows(d));
    MS_TRY(label_squares(first, last, fp64_centroids_.as<double>(), labels_.as<int32_t>() + first, distance.data() + first));
    first = last;
  }
  for (int64_t j = 0; j < k; ++j) {
    if (total_counts_[static_cast<size_t>(j)] != 0) continue;
    int64_t farthest = -1;
    for (int64_t i = 0; i < n; ++i) {
      if (total_counts_[static_cast<size_t>(run_.labels[static_cast<size_t>(i)])] < 2) continue;
      if (farthest < 0 || distance[static_cast<size_t>(i)] > distance[static_cast<size_t>(farthest)]) farthest = i;
    }
    if (farthest < 0) break;  // cannot happen while k <= n
    const int64_t donor = run_.labels[static_cast<size_t>(farthest)];
    const float* x = x_.host().row(farthest);
    for (int64_t p = 0; p < d; ++p) {
      const double value = (static_cast<double>(x[p]) + grid_) - grid_;
      sums[donor * d + p] -= value;
      sums[j * d + p] = value;
    }
    --total_counts_[static_cast<size_t>(donor)];
    total_counts_[static_cast<size_t>(j)] = 1;
    run_.labels[static_cast<size_t>(farthest)] = static_cast<int32_t>(j);
    distance[static_cast<size_t>(farthest)] = 0;
    ++run_.refilled;
    MS_TRY(assignment_->forget(farthest));
  }
  MS_TRY(labels_.upload(run_.labels.data(), bytes_of(n, sizeof(int32_t))));
  return upload_sums();
}

// Sum |x|^2 - 2 sum_j S_j . c_j + sum_j n_j |c_j|^2 of the pass just made, in O(k d).
double KMeans::inertia() {
  const int64_t d = x_.d();
  const double* const sums = host_sums();
  double sum = sum_of_squares_;
  for (int64_t j = 0; j < options_.k; ++j) {
    const double size = static_cast<double>(total_counts_[static_cast<size_t>(j)]);
    for (int64_t p = j * d; p < (j + 1) * d; ++p) {
      const double c = run_.centroids[static_cast<size_t>(p)];
      sum += c * (size * c - 2 * sums[p]);
    }
  }
  return std::max(0.0, sum);
}

Status KMeans::finish_restart(KMeansStop stop) {
  run_.stop = stop;
  if (restart_ == 0 || run_.inertia.back() < best_run_.inertia.back()) best_run_ = std::move(run_);
  ++restart_;
  rows_done_ = 0;
  if (restart_ < options_.restarts) return begin_restart();

  renumber();
  result_.filtered = assignment_->filtered();
  result_.distances = assignment_->distances();
  assignment_.reset();
  MS_TRY(upload_centroids(result_.centroids));
  if (options_.want_second) MS_TRY(Buffer::allocate(backend_, bytes_of(x_.n(), sizeof(int32_t)), &second_labels_));
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
  if (options_.renumber) std::stable_sort(order.begin(), order.end(),
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
  result_.refilled = best_run_.refilled;
  best_run_ = Run();
  result_.own_distance.assign(n, 0.0);
  if (!options_.want_second) return;
  result_.second_labels.assign(n, -1);
  result_.second_distance.assign(n, std::numeric_limits<double>::infinity());
}

Status KMeans::advance_distances() {
  const int64_t d = x_.d(), k = options_.k;
  const int64_t last = std::min(x_.n(), row_ + (options_.want_second ? assign_rows() : x_.chunk_rows(d)));
  const int64_t rows = last - row_;
  const size_t bytes = bytes_of(rows, sizeof(int32_t)), offset = bytes_of(row_, sizeof(int32_t)), first_row = static_cast<size_t>(row_);
  std::vector<double> squares(static_cast<size_t>(rows));
  int32_t* const own = result_.labels.data() + row_;
  if (options_.want_second && k > 1) {
    const ms_nearest_centre_args nearest{rows, k, d, x_.device_row(row_), centres_.as<float>(), c_norms_.as<float>(), labels_.as<int32_t>() + row_, nullptr,
                                         second_labels_.as<int32_t>() + row_, nullptr};
    MS_TRY(backend_->check(backend_->table().nearest_centre(backend_->context(), &nearest), "nearest_centre"));
    std::vector<int32_t> first(static_cast<size_t>(rows)), second(static_cast<size_t>(rows));
    MS_TRY(labels_.download(first.data(), bytes, offset));
    MS_TRY(second_labels_.download(second.data(), bytes, offset));
    // Renumbering may swap two tied centres, so the other centre is whichever of the two nearest is not the row's own.
    for (size_t i = 0; i < squares.size(); ++i) result_.second_labels[first_row + i] = first[i] != own[i] ? first[i] : second[i];
    MS_TRY(second_labels_.upload(result_.second_labels.data() + row_, bytes, offset));
    MS_TRY(label_squares(row_, last, fp64_centroids_.as<double>(), second_labels_.as<int32_t>() + row_, squares.data()));
    for (size_t i = 0; i < squares.size(); ++i) result_.second_distance[first_row + i] = std::sqrt(squares[i]);
  }
  MS_TRY(labels_.upload(own, bytes, offset));
  MS_TRY(label_squares(row_, last, fp64_centroids_.as<double>(), labels_.as<int32_t>() + row_, squares.data()));
  for (size_t i = 0; i < squares.size(); ++i) {
    result_.inertia += squares[i];
    result_.own_distance[first_row + i] = std::sqrt(squares[i]);
  }
  row_ = last;
  rows_done_ += rows;
  if (row_ == x_.n()) phase_ = Phase::finished;
  return {};
}

}  // namespace mendset
