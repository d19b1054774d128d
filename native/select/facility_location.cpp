#include "select/facility_location.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "select/row_chunks.h"

namespace mendset {

namespace {

constexpr int64_t kBlock = 384;      // candidates of one product
constexpr size_t kFewest = 24;       // candidates that are brought up to date at once
constexpr double kChosen = -std::numeric_limits<double>::infinity();

}  // namespace

Status FacilityLocation::create(std::shared_ptr<Backend> backend, MatrixView x, const FacilityLocationOptions& options, std::unique_ptr<FacilityLocation>* out) {
  std::unique_ptr<FacilityLocation> task(new FacilityLocation());
  MS_TRY(task->x_.describe(x));
  if (options.budget < 0 || options.budget > x.n) {
    return failure(Code::invalid_argument, "Expected a budget of 0 to %lld rows but received %lld.", static_cast<long long>(x.n), static_cast<long long>(options.budget));
  }
  task->backend_ = std::move(backend);
  task->options_ = options;
  task->enter(&FacilityLocation::open);
  *out = std::move(task);
  return {};
}

// The first round is most of the work.
Progress FacilityLocation::progress() const {
  const double n = static_cast<double>(x_.n()), total = n + static_cast<double>(options_.budget) + 1;
  if (ended()) return {total, total, true};
  if (!opened_) return {0, total, false};
  const bool first_round = result_.order.empty();
  return {(first_round ? static_cast<double>(batch_first_) : n) + static_cast<double>(result_.order.size()), total, false};
}

Status FacilityLocation::open() {
  MS_TRY(x_.begin(backend_, options_.metric));
  MS_TRY(Buffer::allocate(backend_, static_cast<size_t>(x_.n()) * sizeof(float), &x_norms_));
  enter(&FacilityLocation::read_rows);
  return {};
}

Status FacilityLocation::read_rows() {
  const Chunk chunk = next_chunk(x_.n(), pass_rows(x_.d()));
  MS_TRY(check_finite(x_.given(), chunk.first, chunk.last));
  MS_TRY(x_.load(chunk.first, chunk.last));
  MS_TRY(row_norms(backend_, x_, chunk.first, chunk.last, x_norms_));
  if (chunk.final) enter(&FacilityLocation::begin);
  return {};
}

Status FacilityLocation::begin() {
  const size_t n = static_cast<size_t>(x_.n());
  std::vector<float> best(n, 0.0f);
  MS_TRY(x_norms_.download(best.data(), n * sizeof(float)));
  const float longest = *std::max_element(best.begin(), best.end());
  const bool dot = options_.metric == Metric::cosine;
  const float most = dot ? 2.0f : 4 * longest;  // of one row's rise
  grid_ = exact_grid(most, x_.n());
  std::fill(best.begin(), best.end(), dot ? 0.0f : most);
  MS_TRY(Buffer::allocate(backend_, n * sizeof(float), &best_));
  MS_TRY(best_.upload(best.data(), n * sizeof(float)));
  MS_TRY(Buffer::allocate(backend_, static_cast<size_t>(kBlock) * sizeof(double), &sums_));
  MS_TRY(Buffer::allocate(backend_, static_cast<size_t>(kBlock) * sizeof(int32_t), &index_));
  MS_TRY(Buffer::allocate(backend_, static_cast<size_t>(kBlock * x_.d()) * sizeof(float), &block_));
  MS_TRY(Buffer::allocate(backend_, static_cast<size_t>(kBlock) * sizeof(float), &block_norms_));
  bounds_.assign(n, std::numeric_limits<double>::infinity());
  computed_.assign(n, -1);
  opened_ = true;
  enter(&FacilityLocation::choose);
  return {};
}

// One block of the batch on one chunk of rows.
Status FacilityLocation::evaluate() {
  const int64_t n = x_.n(), d = x_.d();
  const int64_t count = std::min<int64_t>(kBlock, static_cast<int64_t>(batch_.size() - batch_first_));
  const int32_t* const rows = batch_.data() + batch_first_;
  std::vector<double> gains(static_cast<size_t>(count), 0.0);
  if (rows_done() == 0) {
    MS_TRY(index_.upload(rows, static_cast<size_t>(count) * sizeof(int32_t)));
    const ms_gather_rows_args features{count, d, index_.as<int32_t>(), x_.device_row(0), block_.as<float>()};
    MS_TRY(backend_->check(backend_->table().gather_rows(backend_->context(), &features), "gather_rows"));
    const ms_gather_rows_args norms{count, 1, index_.as<int32_t>(), x_norms_.as<float>(), block_norms_.as<float>()};
    MS_TRY(backend_->check(backend_->table().gather_rows(backend_->context(), &norms), "gather_rows"));
    MS_TRY(sums_.upload(gains.data(), gains.size() * sizeof(double)));
  }
  const Chunk chunk = next_chunk(n, x_.chunk_rows(d * count, int64_t{1} << 29));
  const ms_coverage_gains_args args{chunk.rows(), d, count, similarity(), x_.device_row(chunk.first), x_norms_.as<float>() + chunk.first,
                                    block_.as<float>(), block_norms_.as<float>(), grid_, best_.as<float>() + chunk.first, 0, sums_.as<double>()};
  MS_TRY(backend_->check(backend_->table().coverage_gains(backend_->context(), &args), "coverage_gains"));
  if (!chunk.final) return {};
  MS_TRY(sums_.download(gains.data(), gains.size() * sizeof(double)));
  for (int64_t i = 0; i < count; ++i) {
    bounds_[static_cast<size_t>(rows[i])] = gains[static_cast<size_t>(i)];
    computed_[static_cast<size_t>(rows[i])] = static_cast<int64_t>(result_.order.size());
  }
  result_.evaluations += count;
  batch_first_ += static_cast<size_t>(count);
  if (batch_first_ == batch_.size()) enter(&FacilityLocation::choose);
  return {};
}

// Takes the best candidate if its gain is fresh, otherwise has the best stale ones brought up to date.
Status FacilityLocation::choose() {
  const int64_t chosen = static_cast<int64_t>(result_.order.size());
  if (chosen == options_.budget) {
    result_.value = std::accumulate(result_.gains.begin(), result_.gains.end(), 0.0);
    end();
    return {};
  }
  const size_t n = bounds_.size();
  size_t best = n;
  for (size_t i = 0; i < n; ++i) {
    if (bounds_[i] > kChosen && (best == n || bounds_[i] > bounds_[best])) best = i;
  }
  batch_.clear();
  batch_first_ = 0;
  if (computed_[best] == chosen) {
    bool fresh = true;  // the plain form computes all gains before it looks
    for (size_t i = 0; i < n && !options_.lazy; ++i) fresh = fresh && (bounds_[i] == kChosen || computed_[i] == chosen);
    if (fresh) {
      result_.order.push_back(static_cast<int64_t>(best));
      result_.gains.push_back(bounds_[best]);
      bounds_[best] = kChosen;
      enter(&FacilityLocation::update);
      return {};
    }
  }
  for (size_t i = 0; i < n; ++i) {
    if (bounds_[i] > kChosen && computed_[i] != chosen) batch_.push_back(static_cast<int32_t>(i));
  }
  if (options_.lazy && chosen > 0 && batch_.size() > kFewest) {
    const auto before = [&](int32_t a, int32_t b) {
      const double x = bounds_[static_cast<size_t>(a)], y = bounds_[static_cast<size_t>(b)];
      return x != y ? x > y : a < b;
    };
    std::nth_element(batch_.begin(), batch_.begin() + kFewest, batch_.end(), before);
    batch_.resize(kFewest);
  }
  enter(&FacilityLocation::evaluate);
  return {};
}

Status FacilityLocation::update() {
  const int64_t centre = result_.order.back();
  const Chunk chunk = next_chunk(x_.n(), chunk_rows(x_.d()));
  const ms_coverage_gains_args args{chunk.rows(), x_.d(), 1, similarity(), x_.device_row(chunk.first), x_norms_.as<float>() + chunk.first,
                                    x_.device_row(centre), x_norms_.as<float>() + centre, grid_, best_.as<float>() + chunk.first, 1, nullptr};
  MS_TRY(backend_->check(backend_->table().coverage_gains(backend_->context(), &args), "coverage_gains"));
  if (chunk.final) enter(&FacilityLocation::choose);
  return {};
}

}  // namespace mendset
