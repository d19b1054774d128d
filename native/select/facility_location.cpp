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
  *out = std::move(task);
  return {};
}

Status FacilityLocation::step(Deadline deadline) {
  do {
    MS_TRY(advance());
  } while (phase_ != Phase::finished && !deadline.passed());
  return {};
}

// The first round is most of the work.
Progress FacilityLocation::progress() const {
  const double n = static_cast<double>(x_.n()), total = n + static_cast<double>(options_.budget) + 1;
  if (phase_ == Phase::finished) return {total, total, true};
  const double first = result_.order.empty() && phase_ != Phase::choose ? static_cast<double>(batch_first_) : n;
  return {(phase_ == Phase::check ? 0 : std::min(first, n)) + static_cast<double>(result_.order.size()), total, false};
}

Status FacilityLocation::advance() {
  switch (phase_) {
    case Phase::check: {
      const int64_t last = std::min(x_.n(), row_ + chunk_rows(x_.d()));
      MS_TRY(check_finite(x_.host(), row_, last));
      row_ = last;
      return row_ < x_.n() ? Status() : begin();
    }
    case Phase::evaluate:
      return advance_evaluate();
    case Phase::choose:
      return choose();
    case Phase::update:
      return advance_update();
    case Phase::finished:
      return {};
  }
  return failure(Code::internal, "Facility location is in an unknown phase.");
}

Status FacilityLocation::begin() {
  const size_t n = static_cast<size_t>(x_.n());
  MS_TRY(x_.open(backend_, options_.metric));
  MS_TRY(row_norms(backend_, x_, &x_norms_));
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
  row_ = 0;
  phase_ = Phase::choose;
  return {};
}

// One block of the batch on one chunk of rows.
Status FacilityLocation::advance_evaluate() {
  const int64_t n = x_.n(), d = x_.d();
  const int64_t count = std::min<int64_t>(kBlock, static_cast<int64_t>(batch_.size() - batch_first_));
  const int32_t* const rows = batch_.data() + batch_first_;
  std::vector<double> gains(static_cast<size_t>(count), 0.0);
  if (row_ == 0) {
    MS_TRY(index_.upload(rows, static_cast<size_t>(count) * sizeof(int32_t)));
    const ms_gather_rows_args features{count, d, index_.as<int32_t>(), x_.device_row(0), block_.as<float>()};
    MS_TRY(backend_->check(backend_->table().gather_rows(backend_->context(), &features), "gather_rows"));
    const ms_gather_rows_args norms{count, 1, index_.as<int32_t>(), x_norms_.as<float>(), block_norms_.as<float>()};
    MS_TRY(backend_->check(backend_->table().gather_rows(backend_->context(), &norms), "gather_rows"));
    MS_TRY(sums_.upload(gains.data(), gains.size() * sizeof(double)));
  }
  const int64_t last = std::min(n, row_ + x_.chunk_rows(d * count, int64_t{1} << 29));
  const ms_coverage_gains_args args{last - row_, d, count, options_.metric == Metric::cosine ? MS_SIMILARITY_DOT : MS_SIMILARITY_NEARNESS, x_.device_row(row_), x_norms_.as<float>() + row_,
                                    block_.as<float>(), block_norms_.as<float>(), grid_, best_.as<float>() + row_, 0, sums_.as<double>()};
  MS_TRY(backend_->check(backend_->table().coverage_gains(backend_->context(), &args), "coverage_gains"));
  row_ = last;
  if (row_ < n) return {};
  row_ = 0;
  MS_TRY(sums_.download(gains.data(), gains.size() * sizeof(double)));
  for (int64_t i = 0; i < count; ++i) {
    bounds_[static_cast<size_t>(rows[i])] = gains[static_cast<size_t>(i)];
    computed_[static_cast<size_t>(rows[i])] = static_cast<int64_t>(result_.order.size());
  }
  result_.evaluations += count;
  batch_first_ += static_cast<size_t>(count);
  if (batch_first_ < batch_.size()) return {};
  phase_ = Phase::choose;
  return {};
}

// Takes the best candidate if its gain is fresh, otherwise has the best stale ones brought up to date.
Status FacilityLocation::choose() {
  const int64_t chosen = static_cast<int64_t>(result_.order.size());
  if (chosen == options_.budget) {
    result_.value = std::accumulate(result_.gains.begin(), result_.gains.end(), 0.0);
    phase_ = Phase::finished;
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
      phase_ = Phase::update;
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
  phase_ = Phase::evaluate;
  return {};
}

Status FacilityLocation::advance_update() {
  const int64_t n = x_.n(), d = x_.d(), centre = result_.order.back(), last = std::min(n, row_ + chunk_rows(d));
  const ms_coverage_gains_args args{last - row_, d, 1, options_.metric == Metric::cosine ? MS_SIMILARITY_DOT : MS_SIMILARITY_NEARNESS, x_.device_row(row_), x_norms_.as<float>() + row_,
                                    x_.device_row(centre), x_norms_.as<float>() + centre, grid_, best_.as<float>() + row_, 1, nullptr};
  MS_TRY(backend_->check(backend_->table().coverage_gains(backend_->context(), &args), "coverage_gains"));
  row_ = last;
  if (row_ < n) return {};
  row_ = 0;
  phase_ = Phase::choose;
  return {};
}

}  // namespace mendset
