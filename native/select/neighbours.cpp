#include "select/neighbours.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "select/row_chunks.h"

namespace mendset {

namespace {

constexpr int64_t kCandidates = 1536;  // of a block

}  // namespace

Status NearestNeighbours::create(std::shared_ptr<Backend> backend, MatrixView x, const NeighbourOptions& options, std::unique_ptr<NearestNeighbours>* out) {
  std::unique_ptr<NearestNeighbours> task(new NearestNeighbours());
  MS_TRY(task->x_.describe(x));
  if (options.k < 1 || options.k >= x.n) {
    return failure(Code::invalid_argument, "Expected 1 to %lld neighbours (every other row at most) but received %lld.", static_cast<long long>(x.n - 1), static_cast<long long>(options.k));
  }
  task->backend_ = std::move(backend);
  task->options_ = options;
  *out = std::move(task);
  return {};
}

Status NearestNeighbours::step(Deadline deadline) {
  do {
    MS_TRY(advance());
  } while (phase_ != Phase::finished && !deadline.passed());
  return {};
}

Progress NearestNeighbours::progress() const {
  const double n = static_cast<double>(x_.n()), total = n * n + n;
  if (phase_ == Phase::finished) return {total, total, true};
  if (phase_ == Phase::check) return {static_cast<double>(row_), total, false};
  return {n + n * static_cast<double>(candidate_) + static_cast<double>(row_) * static_cast<double>(std::min(kCandidates, x_.n() - candidate_)), total, false};
}

// A row without direction counts as orthogonal to all others, 1 - 0 away from them: with a squared length of 1 its squared distance is 2.
Status NearestNeighbours::set_zero_rows_apart() {
  std::vector<float> norms(static_cast<size_t>(x_.n()));
  MS_TRY(x_norms_.download(norms.data(), norms.size() * sizeof(float)));
  for (float& norm : norms) norm = norm == 0 ? 1 : norm;
  return x_norms_.upload(norms.data(), norms.size() * sizeof(float));
}

Status NearestNeighbours::advance() {
  const int64_t n = x_.n(), d = x_.d(), k = options_.k;
  if (phase_ == Phase::check) {
    const int64_t last = std::min(n, row_ + chunk_rows(d));
    MS_TRY(check_finite(x_.host(), row_, last));
    row_ = last;
    if (row_ < n) return {};
    MS_TRY(x_.open(backend_, options_.metric));
    MS_TRY(row_norms(backend_, x_, &x_norms_));
    if (options_.metric == Metric::cosine) MS_TRY(set_zero_rows_apart());
    MS_TRY(Buffer::allocate(backend_, static_cast<size_t>(n * k) * sizeof(float), &distances_));
    MS_TRY(Buffer::allocate(backend_, static_cast<size_t>(n * k) * sizeof(int32_t), &indices_));
    result_.distances.assign(static_cast<size_t>(n * k), std::numeric_limits<float>::infinity());
    result_.indices.assign(static_cast<size_t>(n * k), -1);
    MS_TRY(distances_.upload(result_.distances.data(), result_.distances.size() * sizeof(float)));
    MS_TRY(indices_.upload(result_.indices.data(), result_.indices.size() * sizeof(int32_t)));
    row_ = 0;
    phase_ = Phase::search;
    return {};
  }
  const int64_t candidates = std::min(kCandidates, n - candidate_), last = std::min(n, row_ + x_.chunk_rows(d * candidates, int64_t{1} << 29));
  const ms_nearest_rows_args args{last - row_, d, candidates, k, x_.device_row(row_), x_norms_.as<float>() + row_, x_.device_row(candidate_), x_norms_.as<float>() + candidate_,
                                  row_, candidate_, distances_.as<float>() + row_ * k, indices_.as<int32_t>() + row_ * k};
  MS_TRY(backend_->check(backend_->table().nearest_rows(backend_->context(), &args), "nearest_rows"));
  row_ = last;
  if (row_ < n) return {};
  row_ = 0;
  candidate_ += candidates;
  if (candidate_ < n) return {};
  MS_TRY(distances_.download(result_.distances.data(), result_.distances.size() * sizeof(float)));
  MS_TRY(indices_.download(result_.indices.data(), result_.indices.size() * sizeof(int32_t)));
  for (float& value : result_.distances) value = options_.metric == Metric::cosine ? value / 2 : std::sqrt(value);
  phase_ = Phase::finished;
  return {};
}

}  // namespace mendset
