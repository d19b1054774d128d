#include "select/k_center_lazy.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>

#include "select/row_chunks.h"

namespace mendset {

namespace {

constexpr int64_t kBlock = 32;                     // centres applied at once; batches start at multiples of it
constexpr int64_t kNearestBlock = 512;             // the same in the pass for nearest centres
constexpr int64_t kBatch = 4096;                   // rows refreshed at once
constexpr int64_t kSample = 16384;                 // distances that a threshold is estimated from
constexpr int64_t kPoolBytes = int64_t{16} << 20;  // about half of a last-level cache
constexpr int64_t kLeastPool = 2048;
constexpr int64_t kCompactAbove = 256;  // smaller pools are not worth compacting

}  // namespace

Status LazyKCenter::create(std::shared_ptr<Backend> backend, MatrixView x, KCenterOptions options,
                           std::unique_ptr<KCenterTask>* out) {
  MS_TRY(check_k_center(x, options));
  std::unique_ptr<LazyKCenter> task(new LazyKCenter());
  task->backend_ = std::move(backend);
  task->options_ = std::move(options);
  MS_TRY(task->x_.describe(x));
  *out = std::move(task);
  return {};
}

Status LazyKCenter::step(Deadline deadline) {
  do {
    MS_TRY(advance());
  } while (phase_ != Phase::finished && !deadline.passed());
  return {};
}

Progress LazyKCenter::progress() const {
  const double total = static_cast<double>(options_.k) + 1;
  if (phase_ == Phase::finished) return {total, total, true};
  return {static_cast<double>(result_.order.size()), total, false};
}

Status LazyKCenter::advance() {
  switch (phase_) {
    case Phase::allocate:
      phase_ = Phase::check;
      return allocate();
    case Phase::check:
      return advance_check();
    case Phase::spread:
      return advance_spread();
    case Phase::threshold:
      return lower_threshold();
    case Phase::refresh:
      return advance_refresh();
    case Phase::pool:
      return form_pool();
    case Phase::pick:
      return pick();
    case Phase::nearest:
      return advance_nearest();
    case Phase::finished:
      return {};
  }
  return failure(Code::internal, "K-Center is in an unknown phase.");
}

Status LazyKCenter::allocate() {
  const int64_t n = x_.n();
  most_ = std::min(n, std::max(kLeastPool, kPoolBytes / (x_.d() * static_cast<int64_t>(sizeof(float)))));
  wanted_ = std::min(most_, std::max(kLeastPool, n / 12));
  MS_TRY(allocate(&batch_, std::min(kBatch, n)));
  MS_TRY(allocate(&pool_, most_));
  MS_TRY(allocate(&block_, kBlock));
  MS_TRY(Buffer::allocate(backend_, static_cast<size_t>(n) * sizeof(float), &spread_minimum_));
  minimum_.assign(static_cast<size_t>(n), std::numeric_limits<float>::infinity());
  MS_TRY(spread_minimum_.upload(minimum_.data(), minimum_.size() * sizeof(float)));
  applied_.assign(static_cast<size_t>(n), 0);
  taken_.assign(static_cast<size_t>(n), 0);
  centres_ = options_.warm_start;
  for (int64_t index : centres_) {
    taken_count_ += taken_[static_cast<size_t>(index)] == 0;
    taken_[static_cast<size_t>(index)] = 1;
  }
  return {};
}

Status LazyKCenter::allocate(Gathered* gathered, int64_t capacity) {
  const size_t rows = static_cast<size_t>(capacity);
  gathered->capacity = capacity;
  MS_TRY(Buffer::allocate(backend_, rows * sizeof(int32_t), &gathered->index));
  MS_TRY(Buffer::allocate(backend_, (rows + 63) / 64 * 64 * static_cast<size_t>(x_.d()) * sizeof(float), &gathered->x));
  MS_TRY(Buffer::allocate(backend_, rows * sizeof(float), &gathered->norms));
  return Buffer::allocate(backend_, rows * sizeof(float), &gathered->minimum);
}

// Rows for many updates: packed in the backend's own order.
Status LazyKCenter::pack(const std::vector<int32_t>& rows, Gathered* out) {
  const int64_t count = static_cast<int64_t>(rows.size());
  MS_TRY(out->index.upload(rows.data(), rows.size() * sizeof(int32_t)));
  const ms_pack_rows_args features{count, x_.d(), out->index.as<int32_t>(), x_.device_row(0), out->x.as<float>()};
  MS_TRY(backend_->check(backend_->table().pack_rows(backend_->context(), &features), "pack_rows"));
  const ms_gather_rows_args norms{count, 1, out->index.as<int32_t>(), x_norms_.as<float>(), out->norms.as<float>()};
  return backend_->check(backend_->table().gather_rows(backend_->context(), &norms), "gather_rows");
}

Status LazyKCenter::gather(const std::vector<int32_t>& rows, Gathered* out) {
  const int64_t count = static_cast<int64_t>(rows.size());
  MS_TRY(out->index.upload(rows.data(), rows.size() * sizeof(int32_t)));
  const ms_gather_rows_args features{count, x_.d(), out->index.as<int32_t>(), x_.device_row(0), out->x.as<float>()};
  MS_TRY(backend_->check(backend_->table().gather_rows(backend_->context(), &features), "gather_rows"));
  const ms_gather_rows_args norms{count, 1, out->index.as<int32_t>(), x_norms_.as<float>(), out->norms.as<float>()};
  return backend_->check(backend_->table().gather_rows(backend_->context(), &norms), "gather_rows");
}

// Centres [first, last) into block_, unless they are there.
Status LazyKCenter::gather_centres(int64_t first, int64_t last) {
  if (first == block_first_ && last == block_last_) return {};
  if (store_.capacity > 0) {
    block_rows_ = store_.x.as<float>() + first * x_.d();
    block_norms_ = store_.norms.as<float>() + first;
    block_first_ = first;
    block_last_ = last;
    return {};
  }
  std::vector<int32_t> rows;
  for (int64_t c = first; c < last; ++c) rows.push_back(static_cast<int32_t>(centres_[static_cast<size_t>(c)]));
  MS_TRY(gather(rows, &block_));
  block_rows_ = block_.x.as<float>();
  block_norms_ = block_.norms.as<float>();
  block_first_ = first;
  block_last_ = last;
  return {};
}

Status LazyKCenter::advance_check() {
  if (options_.metric == Metric::cosine) {  // before rows are scaled; otherwise their norms tell
    const int64_t last = std::min(x_.n(), row_ + chunk_rows(x_.d()));
    MS_TRY(check_finite(x_.host(), row_, last));
    row_ = last;
    if (row_ < x_.n()) return {};
  }
  MS_TRY(x_.open(backend_, options_.metric));
  MS_TRY(row_norms(backend_, x_, &x_norms_));
  // Centres side by side, while that takes no more than an eighth of the matrix.
  if ((chosen() + options_.k) * 8 <= x_.n()) MS_TRY(allocate(&store_, std::max<int64_t>(1, chosen() + options_.k)));
  for (int64_t c = 0; c < chosen(); ++c) MS_TRY(store(c, centres_[static_cast<size_t>(c)]));
  row_ = 0;
  block_last_ = 0;
  if (!centres_.empty()) {
    MS_TRY(gather_centres(0, std::min(kBlock, chosen())));
    phase_ = Phase::spread;
    return {};
  }
  return begin_first();
}

// The first centre by the caller's rule; afterwards all centres follow from distances.
Status LazyKCenter::begin_first() {
  first_done_ = true;
  if (options_.k == 0 && centres_.empty()) return finish(std::numeric_limits<double>::infinity());
  if (options_.k == 0 || options_.first == FirstCentre::greedy) {
    phase_ = Phase::threshold;
    return {};
  }
  int64_t first = options_.first_index;
  if (options_.first == FirstCentre::farthest_from_mean) MS_TRY(farthest_from_mean(backend_, x_, x_norms_, taken_, &first));
  MS_TRY(choose(first, minimum_[static_cast<size_t>(first)]));
  MS_TRY(gather_centres(chosen() - 1, chosen()));
  row_ = 0;
  phase_ = Phase::spread;
  return {};
}

// One centre's row and norm behind those already kept.
Status LazyKCenter::store(int64_t place, int64_t row) {
  if (store_.capacity == 0) return {};
  const ms_backend& table = backend_->table();
  MS_TRY(backend_->check(table.copy(backend_->context(), store_.x.as<float>() + place * x_.d(), x_.device_row(row), static_cast<size_t>(x_.d()) * sizeof(float)), "copy"));
  return backend_->check(table.copy(backend_->context(), store_.norms.as<float>() + place, x_norms_.as<float>() + row, sizeof(float)), "copy");
}

Status LazyKCenter::choose(int64_t row, float square) {
  result_.order.push_back(row);
  result_.radii.push_back(measured(options_.metric, square));
  centres_.push_back(row);
  taken_[static_cast<size_t>(row)] = 1;
  ++taken_count_;
  return store(chosen() - 1, row);
}

// One block of centres on one chunk of all rows.
Status LazyKCenter::advance_spread() {
  const int64_t n = x_.n(), centres = block_last_ - block_first_;
  const int64_t last = std::min(n, row_ + chunk_rows(x_.d() * centres));
  const ms_min_distance_args args{last - row_,
                                  x_.d(),
                                  centres,
                                  x_.device_row(row_),
                                  x_norms_.as<float>() + row_,
                                  block_rows_,
                                  block_norms_,
                                  spread_minimum_.as<float>() + row_,
                                  0,
                                  nullptr};
  MS_TRY(backend_->check(backend_->table().min_distance(backend_->context(), &args), "min_distance"));
  row_ = last;
  if (row_ < n) return {};
  row_ = 0;
  if (block_last_ < chosen()) return gather_centres(block_last_, std::min(block_last_ + kBlock, chosen()));
  MS_TRY(spread_minimum_.download(minimum_.data(), minimum_.size() * sizeof(float)));
  std::fill(applied_.begin(), applied_.end(), static_cast<int32_t>(chosen()));
  if (!first_done_) return begin_first();
  spread_minimum_.reset();
  phase_ = Phase::threshold;
  return {};
}

// About the wanted_-th largest bound of the rows not chosen, from a strided sample of their own values: never above their
// maximum.
Status LazyKCenter::lower_threshold() {
  const int64_t n = x_.n(), open = n - taken_count_;
  if (open == 0) return finish(0);
  const auto collect = [&](int64_t stride) {
    std::vector<float> sample;
    for (int64_t i = 0; i < n; i += stride) {
      if (taken_[static_cast<size_t>(i)] == 0) sample.push_back(minimum_[static_cast<size_t>(i)]);
    }
    return sample;
  };
  std::vector<float> sample = collect(std::max<int64_t>(1, n / kSample));
  if (sample.empty()) sample = collect(1);
  const int64_t size = static_cast<int64_t>(sample.size());
  const int64_t rank = std::clamp<int64_t>(wanted_ * size / open, 1, size);
  std::nth_element(sample.begin(), sample.begin() + (rank - 1), sample.end(), std::greater<float>());
  threshold_ = sample[static_cast<size_t>(rank - 1)];

  // At or above, not above: with duplicates a strict test could leave the pool empty for ever.
  candidates_.clear();
  for (int64_t i = 0; i < n; ++i) {
    if (taken_[static_cast<size_t>(i)] == 0 && minimum_[static_cast<size_t>(i)] >= threshold_)
      candidates_.push_back(static_cast<int32_t>(i));
  }
  std::stable_sort(candidates_.begin(), candidates_.end(), [&](int32_t a, int32_t b) {
    return applied_[static_cast<size_t>(a)] / kBlock < applied_[static_cast<size_t>(b)] / kBlock;
  });
  next_candidate_ = 0;
  batch_rows_.clear();
  pool_rows_.clear();
  phase_ = Phase::refresh;
  return {};
}

// Candidates that lack centres from the same block on. Applying a centre twice changes nothing.
bool LazyKCenter::next_batch() {
  batch_rows_.clear();
  batch_applied_ = chosen();
  while (next_candidate_ < candidates_.size() && static_cast<int64_t>(batch_rows_.size()) < kBatch) {
    const int32_t row = candidates_[next_candidate_];
    const int64_t applied = applied_[static_cast<size_t>(row)];
    if (applied == chosen()) {
      pool_rows_.push_back(row);
      ++next_candidate_;
      continue;
    }
    if (!batch_rows_.empty() && applied / kBlock != batch_applied_ / kBlock) break;
    batch_applied_ = std::min(batch_applied_, applied);
    batch_rows_.push_back(row);
    ++next_candidate_;
  }
  return !batch_rows_.empty();
}

// One block of missing centres on one batch. Rows that fall below the threshold leave it; the batch is packed anew once a quarter has.
Status LazyKCenter::advance_refresh() {
  if (batch_rows_.empty()) {
    if (!next_batch()) {
      phase_ = Phase::pool;
      return {};
    }
    batch_packed_ = false;
  }
  const int64_t last = std::min(chosen(), (batch_applied_ / kBlock + 1) * kBlock);
  MS_TRY(gather_centres(batch_applied_, last));
  if (!batch_packed_) {
    batch_values_.resize(batch_rows_.size());
    for (size_t i = 0; i < batch_rows_.size(); ++i) batch_values_[i] = minimum_[static_cast<size_t>(batch_rows_[i])];
    MS_TRY(pack(batch_rows_, &batch_));
    MS_TRY(batch_.minimum.upload(batch_values_.data(), batch_values_.size() * sizeof(float)));
    batch_packed_ = true;
  }
  const ms_packed_distance_args args{static_cast<int64_t>(batch_rows_.size()), x_.d(), last - batch_applied_, batch_.x.as<float>(), batch_.norms.as<float>(),
                                     block_rows_, block_norms_, batch_.minimum.as<float>()};
  MS_TRY(backend_->check(backend_->table().packed_distance(backend_->context(), &args), "packed_distance"));
  MS_TRY(batch_.minimum.download(batch_values_.data(), batch_values_.size() * sizeof(float)));
  batch_applied_ = last;

  size_t alive = 0;
  for (float value : batch_values_) alive += value >= threshold_;
  if (last < chosen() && alive > batch_rows_.size() * 3 / 4) return {};
  size_t kept = 0;
  for (size_t i = 0; i < batch_rows_.size(); ++i) {
    const int32_t row = batch_rows_[i];
    minimum_[static_cast<size_t>(row)] = batch_values_[i];
    applied_[static_cast<size_t>(row)] = static_cast<int32_t>(last);
    if (batch_values_[i] >= threshold_) batch_rows_[kept++] = row;
  }
  batch_rows_.resize(kept);
  batch_packed_ = false;
  if (last == chosen()) {
    pool_rows_.insert(pool_rows_.end(), batch_rows_.begin(), batch_rows_.end());
    batch_rows_.clear();
  }
  return {};
}

Status LazyKCenter::form_pool() {
  if (pool_rows_.empty()) {
    phase_ = Phase::threshold;
    return {};
  }
  std::sort(pool_rows_.begin(), pool_rows_.end());
  limit_pool();
  picks_ = 0;
  phase_ = Phase::pick;
  return gather_pool();
}

// A pool too large for its memory keeps its largest values, complete down to a higher threshold; if even the maximum is shared by
// too many rows, the lowest indices of those: they are chosen before the others.
void LazyKCenter::limit_pool() {
  if (static_cast<int64_t>(pool_rows_.size()) <= most_) return;
  const auto value = [&](int32_t row) { return minimum_[static_cast<size_t>(row)]; };
  std::vector<float> values;
  for (int32_t row : pool_rows_) values.push_back(value(row));
  const auto limit = values.begin() + static_cast<ptrdiff_t>(most_);
  std::nth_element(values.begin(), limit, values.end(), std::greater<float>());
  const float excluded = *limit;
  float next = std::numeric_limits<float>::infinity();
  for (float each : values) {
    if (each > excluded) next = std::min(next, each);
  }
  threshold_ = std::isinf(next) ? excluded : next;
  std::erase_if(pool_rows_, [&](int32_t row) { return value(row) < threshold_; });
  if (static_cast<int64_t>(pool_rows_.size()) > most_) pool_rows_.resize(static_cast<size_t>(most_));
}

Status LazyKCenter::gather_pool() {
  pool_minimum_.resize(pool_rows_.size());
  for (size_t i = 0; i < pool_rows_.size(); ++i) pool_minimum_[i] = minimum_[static_cast<size_t>(pool_rows_[i])];
  MS_TRY(pack(pool_rows_, &pool_));
  return pool_.minimum.upload(pool_minimum_.data(), pool_minimum_.size() * sizeof(float));
}

void LazyKCenter::write_back() {
  for (size_t i = 0; i < pool_rows_.size(); ++i) {
    minimum_[static_cast<size_t>(pool_rows_[i])] = pool_minimum_[i];
    applied_[static_cast<size_t>(pool_rows_[i])] = static_cast<int32_t>(chosen());
  }
}

// The pool's maximum is the maximum of all rows while it reaches the threshold; after the last pick it is the coverage.
Status LazyKCenter::pick() {
  size_t best = pool_rows_.size(), alive = 0;
  float largest = -1;
  for (size_t i = 0; i < pool_rows_.size(); ++i) {
    const float value = pool_minimum_[i];
    alive += value >= threshold_;
    if (!(value > largest) || value < threshold_ || taken_[static_cast<size_t>(pool_rows_[i])] != 0) continue;
    largest = value;
    best = i;
  }
  if (best == pool_rows_.size()) {
    write_back();
    if (picks_ < 16) wanted_ = std::min(most_, wanted_ * 2);
    phase_ = Phase::threshold;
    return {};
  }
  const float square = pool_minimum_[best];
  if (static_cast<int64_t>(result_.order.size()) == options_.k) return finish(measured(options_.metric, square));
  if (square == 0) {  // every row left coincides with a centre: by index from here on
    for (int64_t i = 0; i < x_.n() && static_cast<int64_t>(result_.order.size()) < options_.k; ++i) {
      if (taken_[static_cast<size_t>(i)] == 0) MS_TRY(choose(i, 0));
    }
    return finish(0);
  }

  const int64_t row = pool_rows_[best];
  MS_TRY(choose(row, square));
  ++picks_;
  if (alive < pool_rows_.size() / 2 && static_cast<int64_t>(pool_rows_.size()) > kCompactAbove) {
    // Before the new centre is applied, so that what is written back is exact for the centres before it.
    for (size_t i = 0; i < pool_rows_.size(); ++i) {
      minimum_[static_cast<size_t>(pool_rows_[i])] = pool_minimum_[i];
      applied_[static_cast<size_t>(pool_rows_[i])] = static_cast<int32_t>(chosen() - 1);
    }
    std::erase_if(pool_rows_, [&](int32_t r) {
      return minimum_[static_cast<size_t>(r)] < threshold_ || taken_[static_cast<size_t>(r)] != 0;
    });
    MS_TRY(gather_pool());
    if (pool_rows_.empty()) return {};
  }
  const ms_packed_distance_args args{static_cast<int64_t>(pool_rows_.size()), x_.d(), 1, pool_.x.as<float>(), pool_.norms.as<float>(), x_.device_row(row), x_norms_.as<float>() + row,
                                     pool_.minimum.as<float>()};
  MS_TRY(backend_->check(backend_->table().packed_distance(backend_->context(), &args), "packed_distance"));
  return pool_.minimum.download(pool_minimum_.data(), pool_minimum_.size() * sizeof(float));
}

Status LazyKCenter::finish(double coverage) {
  result_.coverage = coverage;
  derive_coverages();
  phase_ = Phase::finished;
  if (!options_.want_nearest) return {};
  const size_t n = static_cast<size_t>(x_.n());
  result_.nearest.assign(n, -1);
  if (centres_.empty()) return {};
  // One blocked pass over all rows: all centres, in their order.
  for (Gathered* done : {&batch_, &pool_}) *done = Gathered();
  minimum_.assign(n, std::numeric_limits<float>::infinity());
  spread_minimum_.reset();
  MS_TRY(Buffer::allocate(backend_, n * sizeof(float), &spread_minimum_));
  MS_TRY(spread_minimum_.upload(minimum_.data(), n * sizeof(float)));
  MS_TRY(Buffer::allocate(backend_, n * sizeof(int32_t), &nearest_));
  MS_TRY(nearest_.upload(result_.nearest.data(), n * sizeof(int32_t)));
  block_ = Gathered();
  MS_TRY(allocate(&block_, std::min(kNearestBlock, chosen())));
  block_last_ = 0;
  row_ = 0;
  MS_TRY(gather_centres(0, block_.capacity));
  phase_ = Phase::nearest;
  return {};
}

Status LazyKCenter::advance_nearest() {
  const int64_t n = x_.n(), centres = block_last_ - block_first_;
  const int64_t last = std::min(n, row_ + chunk_rows(x_.d() * centres, int64_t{1} << 29));
  const ms_min_distance_args args{last - row_,
                                  x_.d(),
                                  centres,
                                  x_.device_row(row_),
                                  x_norms_.as<float>() + row_,
                                  block_rows_,
                                  block_norms_,
                                  spread_minimum_.as<float>() + row_,
                                  static_cast<int32_t>(block_first_),
                                  nearest_.as<int32_t>() + row_};
  MS_TRY(backend_->check(backend_->table().min_distance(backend_->context(), &args), "min_distance"));
  row_ = last;
  if (row_ < n) return {};
  row_ = 0;
  if (block_last_ < chosen()) return gather_centres(block_last_, std::min(block_last_ + block_.capacity, chosen()));
  MS_TRY(nearest_.download(result_.nearest.data(), result_.nearest.size() * sizeof(int32_t)));
  phase_ = Phase::finished;
  return {};
}

}  // namespace mendset
