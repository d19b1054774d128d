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
  task->enter(&NearestNeighbours::open);
  *out = std::move(task);
  return {};
}

Progress NearestNeighbours::progress() const {
  const double n = static_cast<double>(x_.n()), total = n * n + n;
  if (ended()) return {total, total, true};
  const double block = static_cast<double>(std::min(kCandidates, x_.n() - candidate_));
  return {searching_ ? n + n * static_cast<double>(candidate_) + static_cast<double>(rows_done()) * block : static_cast<double>(rows_done()), total, false};
}

Status NearestNeighbours::open() {
  MS_TRY(x_.begin(backend_, options_.metric));
  MS_TRY(Buffer::allocate(backend_, static_cast<size_t>(x_.n()) * sizeof(float), &x_norms_));
  const size_t bytes = static_cast<size_t>(x_.n() * options_.k) * sizeof(float);
  MS_TRY(Buffer::allocate(backend_, bytes, &distances_));
  MS_TRY(Buffer::allocate(backend_, bytes, &indices_));
  enter(&NearestNeighbours::read_rows);
  return {};
}

// A chunk of rows: checked, loaded, measured, and without neighbours yet.
Status NearestNeighbours::read_rows() {
  const Chunk chunk = next_chunk(x_.n(), pass_rows(x_.d()));
  MS_TRY(check_finite(x_.given(), chunk.first, chunk.last));
  MS_TRY(x_.load(chunk.first, chunk.last));
  MS_TRY(row_norms(backend_, x_, chunk.first, chunk.last, x_norms_));
  const size_t count = static_cast<size_t>(chunk.rows() * options_.k), offset = static_cast<size_t>(chunk.first * options_.k) * sizeof(float);
  const std::vector<float> unreached(count, std::numeric_limits<float>::infinity());
  MS_TRY(distances_.upload(unreached.data(), count * sizeof(float), offset));
  const std::vector<int32_t> none(count, -1);
  MS_TRY(indices_.upload(none.data(), count * sizeof(int32_t), offset));
  if (chunk.final) enter(&NearestNeighbours::begin_search);
  return {};
}

Status NearestNeighbours::begin_search() {
  if (options_.metric == Metric::cosine) MS_TRY(set_zero_rows_apart());
  searching_ = true;
  enter(&NearestNeighbours::search);
  return {};
}

// A row without direction counts as orthogonal to all others, 1 - 0 away from them: with a squared length of 1 its squared distance is 2.
Status NearestNeighbours::set_zero_rows_apart() {
  std::vector<float> norms(static_cast<size_t>(x_.n()));
  MS_TRY(x_norms_.download(norms.data(), norms.size() * sizeof(float)));
  for (float& norm : norms) norm = norm == 0 ? 1 : norm;
  return x_norms_.upload(norms.data(), norms.size() * sizeof(float));
}

// One block of candidates on one chunk of rows.
Status NearestNeighbours::search() {
  const int64_t n = x_.n(), d = x_.d(), k = options_.k, candidates = std::min(kCandidates, n - candidate_);
  const Chunk chunk = next_chunk(n, x_.chunk_rows(d * candidates, int64_t{1} << 29));
  const ms_nearest_rows_args args{chunk.rows(), d, candidates, k, x_.device_row(chunk.first), x_norms_.as<float>() + chunk.first, x_.device_row(candidate_),
                                  x_norms_.as<float>() + candidate_, chunk.first, candidate_, distances_.as<float>() + chunk.first * k, indices_.as<int32_t>() + chunk.first * k};
  MS_TRY(backend_->check(backend_->table().nearest_rows(backend_->context(), &args), "nearest_rows"));
  if (!chunk.final) return {};
  candidate_ += candidates;
  if (candidate_ == n) enter(&NearestNeighbours::fetch_indices);
  return {};
}

// Each result takes the place of its buffer, so that no more than two copies exist.
Status NearestNeighbours::fetch_indices() {
  result_.indices.resize(static_cast<size_t>(x_.n() * options_.k));
  MS_TRY(indices_.download(result_.indices.data(), result_.indices.size() * sizeof(int32_t)));
  indices_.reset();
  enter(&NearestNeighbours::fetch_distances);
  return {};
}

Status NearestNeighbours::fetch_distances() {
  result_.distances.resize(static_cast<size_t>(x_.n() * options_.k));
  MS_TRY(distances_.download(result_.distances.data(), result_.distances.size() * sizeof(float)));
  distances_.reset();
  for (float& value : result_.distances) value = options_.metric == Metric::cosine ? value / 2 : std::sqrt(value);
  end();
  return {};
}

}  // namespace mendset
