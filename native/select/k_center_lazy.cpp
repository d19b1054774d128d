#include "select/k_center_lazy.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>

#include "select/row_chunks.h"

namespace mendset {

namespace {

constexpr int64_t kNearestBlock = 512;                     // centres at once in the pass for nearest centres
constexpr int64_t kRefreshWork = int64_t{1} << 32;         // multiply-adds of a chunk of the refresh, where no row falls out of it
constexpr int64_t kLeastRefreshed = 256, kMostRefreshed = 8192;  // rows of it
constexpr int64_t kSample = 4096;                          // distances that a threshold is estimated from
constexpr int64_t kPoolBytes = int64_t{16} << 20;          // about half of a last-level cache
constexpr int64_t kLeastPool = 2048;
constexpr int64_t kCompactAbove = 256;  // smaller pools are not worth compacting
constexpr int64_t kPickWork = int64_t{1} << 26;  // multiply-adds of the picks of one operation; a device gets a thousand times as many
constexpr int64_t kMostPicks = 512;

struct Picked {
  int64_t count;
  int32_t places[kMostPicks];
  float squares[kMostPicks];
};

}  // namespace

Status LazyKCenter::create(std::shared_ptr<Backend> backend, MatrixView x, KCenterOptions options,
                           std::unique_ptr<KCenterTask>* out) {
  std::unique_ptr<LazyKCenter> task(new LazyKCenter());
  MS_TRY(task->begin(std::move(backend), x, std::move(options)));
  *out = std::move(task);
  return {};
}

Progress LazyKCenter::progress() const {
  const double total = static_cast<double>(options_.k) + 1;
  if (ended()) return {total, total, true};
  return {static_cast<double>(result_.order.size()), total, false};
}

Status LazyKCenter::opened() {
  const int64_t n = x_.n(), row_bytes = x_.d() * static_cast<int64_t>(sizeof(float));
  most_ = std::min(n, std::max(kLeastPool, kPoolBytes / row_bytes));
  wanted_ = std::min(most_, std::max(kLeastPool, n / 12));
  const size_t room = static_cast<size_t>(most_), refreshed = static_cast<size_t>(std::min(n, kMostRefreshed));
  MS_TRY(Buffer::allocate(backend_, room * sizeof(int32_t), &pool_.index));
  MS_TRY(Buffer::allocate(backend_, (room + 63) / 64 * 64 * static_cast<size_t>(row_bytes), &pool_.x));
  MS_TRY(Buffer::allocate(backend_, room * sizeof(float), &pool_.norms));
  MS_TRY(Buffer::allocate(backend_, room * sizeof(float), &pool_.minimum));
  MS_TRY(Buffer::allocate(backend_, sizeof(Picked), &pool_.picked));
  MS_TRY(Buffer::allocate(backend_, refreshed * sizeof(int32_t), &refresh_index_));
  MS_TRY(Buffer::allocate(backend_, refreshed * sizeof(float), &refresh_minimum_));
  MS_TRY(Buffer::allocate(backend_, refreshed * sizeof(int32_t), &refresh_applied_));
  MS_TRY(Buffer::allocate(backend_, std::max<size_t>(1, options_.warm_start.size() + static_cast<size_t>(options_.k)) * sizeof(int32_t), &centre_rows_));
  minimum_.assign(static_cast<size_t>(n), std::numeric_limits<float>::infinity());
  applied_.assign(static_cast<size_t>(n), 0);
  taken_.assign(static_cast<size_t>(n), 0);
  for (int64_t index : options_.warm_start) {
    centres_.push_back(static_cast<int32_t>(index));
    taken_count_ += taken_[static_cast<size_t>(index)] == 0;
    taken_[static_cast<size_t>(index)] = 1;
  }
  MS_TRY(upload_centres(0));
  return begin_first();
}

// The first centre by the caller's rule; all others follow from distances.
Status LazyKCenter::begin_first() {
  if (options_.k == 0 && centres_.empty()) return finish(std::numeric_limits<double>::infinity());
  if (options_.k > 0 && options_.first != FirstCentre::greedy) {
    const int64_t first = options_.first_index;
    const int32_t row = static_cast<int32_t>(first);
    MS_TRY(bring_up_to_date(&row, 1, -1));
    choose(first, minimum_[static_cast<size_t>(first)]);
    MS_TRY(upload_centres(centres_.size() - 1));
  }
  enter(&LazyKCenter::lower_threshold);
  return {};
}

void LazyKCenter::choose(int64_t row, float square) {
  record(row, square);
  centres_.push_back(static_cast<int32_t>(row));
  taken_[static_cast<size_t>(row)] = 1;
  ++taken_count_;
}

// The centres from the given one on.
Status LazyKCenter::upload_centres(size_t first) {
  return centre_rows_.upload(centres_.data() + first, (centres_.size() - first) * sizeof(int32_t), first * sizeof(int32_t));
}

// About the wanted_-th largest bound of the rows not chosen, from a strided sample of their own values: never above their
// maximum. At first it is infinite, and every row meets the first centres.
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
  order_candidates();
  pool_rows_.clear();
  enter(&LazyKCenter::refresh);
  return {};
}

// The rows at or above the threshold by the number of centres applied to them, in about a thousand classes, so that rows refreshed together
// lack about the same centres. At or above, not above: with duplicates a strict test could leave the pool empty for ever.
void LazyKCenter::order_candidates() {
  constexpr int64_t kClasses = 1024;
  const size_t n = static_cast<size_t>(x_.n());
  std::vector<int32_t> found(n);
  size_t count = 0;
  for (size_t i = 0; i < n; ++i) {
    found[count] = static_cast<int32_t>(i);
    count += (taken_[i] == 0) & (minimum_[i] >= threshold_);
  }
  const double scale = static_cast<double>(kClasses) / static_cast<double>(chosen() + 1);
  const auto class_of = [&](int32_t row) { return static_cast<size_t>(static_cast<double>(applied_[static_cast<size_t>(row)]) * scale); };
  std::vector<size_t> next(kClasses + 1, 0);
  for (size_t i = 0; i < count; ++i) ++next[class_of(found[i]) + 1];
  for (size_t c = 1; c < next.size(); ++c) next[c] += next[c - 1];
  candidates_.resize(count);
  for (size_t i = 0; i < count; ++i) candidates_[next[class_of(found[i])]++] = found[i];
  next_candidate_ = 0;
}

// A chunk of the candidates; those that stay at or above the threshold enter the pool.
Status LazyKCenter::refresh() {
  const int64_t left = static_cast<int64_t>(candidates_.size() - next_candidate_);
  const int64_t missing = std::max<int64_t>(1, chosen() - (left > 0 ? applied_[static_cast<size_t>(candidates_[next_candidate_])] : 0));
  const int64_t count = std::min(left, std::clamp(kRefreshWork / (x_.d() * missing), kLeastRefreshed, kMostRefreshed));
  const int32_t* const rows = candidates_.data() + next_candidate_;
  MS_TRY(bring_up_to_date(rows, count, threshold_));
  for (int64_t i = 0; i < count; ++i) {
    if (minimum_[static_cast<size_t>(rows[i])] >= threshold_) pool_rows_.push_back(rows[i]);
  }
  next_candidate_ += static_cast<size_t>(count);
  if (next_candidate_ == candidates_.size()) enter(&LazyKCenter::form_pool);
  return {};
}

Status LazyKCenter::bring_up_to_date(const int32_t* rows, int64_t count, float threshold) {
  if (count == 0 || centres_.empty()) return {};
  const size_t bytes = static_cast<size_t>(count) * 4;
  std::vector<float> minimum(static_cast<size_t>(count));
  std::vector<int32_t> applied(static_cast<size_t>(count));
  for (size_t i = 0; i < minimum.size(); ++i) {
    minimum[i] = minimum_[static_cast<size_t>(rows[i])];
    applied[i] = applied_[static_cast<size_t>(rows[i])];
  }
  MS_TRY(refresh_index_.upload(rows, bytes));
  MS_TRY(refresh_minimum_.upload(minimum.data(), bytes));
  MS_TRY(refresh_applied_.upload(applied.data(), bytes));
  const ms_refresh_minimum_args args{count, x_.d(), chosen(), refresh_index_.as<int32_t>(), x_.device_row(0), x_norms_.as<float>(),
                                     centre_rows_.as<int32_t>(), threshold, refresh_minimum_.as<float>(), refresh_applied_.as<int32_t>()};
  MS_TRY(backend_->check(backend_->table().refresh_minimum(backend_->context(), &args), "refresh_minimum"));
  MS_TRY(refresh_minimum_.download(minimum.data(), bytes));
  MS_TRY(refresh_applied_.download(applied.data(), bytes));
  for (size_t i = 0; i < minimum.size(); ++i) {
    minimum_[static_cast<size_t>(rows[i])] = minimum[i];
    applied_[static_cast<size_t>(rows[i])] = applied[i];
  }
  return {};
}

Status LazyKCenter::form_pool() {
  if (pool_rows_.empty()) {
    enter(&LazyKCenter::lower_threshold);
    return {};
  }
  std::sort(pool_rows_.begin(), pool_rows_.end());
  limit_pool();
  picks_ = 0;
  enter(&LazyKCenter::pick);
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

// The pool's rows side by side, in the backend's own order.
Status LazyKCenter::gather_pool() {
  const int64_t count = static_cast<int64_t>(pool_rows_.size());
  pool_minimum_.resize(pool_rows_.size());
  for (size_t i = 0; i < pool_rows_.size(); ++i) pool_minimum_[i] = minimum_[static_cast<size_t>(pool_rows_[i])];
  MS_TRY(pool_.index.upload(pool_rows_.data(), pool_rows_.size() * sizeof(int32_t)));
  const ms_pack_rows_args features{count, x_.d(), pool_.index.as<int32_t>(), x_.device_row(0), pool_.x.as<float>()};
  MS_TRY(backend_->check(backend_->table().pack_rows(backend_->context(), &features), "pack_rows"));
  const ms_gather_rows_args norms{count, 1, pool_.index.as<int32_t>(), x_norms_.as<float>(), pool_.norms.as<float>()};
  MS_TRY(backend_->check(backend_->table().gather_rows(backend_->context(), &norms), "gather_rows"));
  return pool_.minimum.upload(pool_minimum_.data(), pool_minimum_.size() * sizeof(float));
}

// The pool knows all centres.
void LazyKCenter::write_back() {
  for (size_t i = 0; i < pool_rows_.size(); ++i) {
    minimum_[static_cast<size_t>(pool_rows_[i])] = pool_minimum_[i];
    applied_[static_cast<size_t>(pool_rows_[i])] = static_cast<int32_t>(chosen());
  }
}

// The pool's maximum is the maximum of all rows while it reaches the threshold; after the last pick it is the coverage.
Status LazyKCenter::pick() {
  float largest = -1;
  int64_t open = 0;
  for (const float value : pool_minimum_) {
    open += value >= threshold_;
    largest = std::max(largest, value);
  }
  if (open == 0) {
    write_back();
    if (picks_ < 16) wanted_ = std::min(most_, wanted_ * 2);
    enter(&LazyKCenter::lower_threshold);
    return {};
  }
  const int64_t left = options_.k - static_cast<int64_t>(result_.order.size());
  if (left == 0) return finish(measured(largest));
  if (largest == 0) {  // every row left coincides with a centre: by index from here on
    for (int64_t i = 0; i < x_.n() && static_cast<int64_t>(result_.order.size()) < options_.k; ++i) {
      if (taken_[static_cast<size_t>(i)] == 0) choose(i, 0);
    }
    MS_TRY(upload_centres(0));
    return finish(0);
  }
  if (open < static_cast<int64_t>(pool_rows_.size()) / 2 && static_cast<int64_t>(pool_rows_.size()) > kCompactAbove) {
    write_back();
    std::erase_if(pool_rows_, [&](int32_t row) {
      return minimum_[static_cast<size_t>(row)] < threshold_ || taken_[static_cast<size_t>(row)] != 0;
    });
    MS_TRY(gather_pool());
  }
  return pick_rounds();
}

// Picks until the pool ends, half of it has fallen out, or the work of one operation is done.
Status LazyKCenter::pick_rounds() {
  const int64_t size = static_cast<int64_t>(pool_rows_.size()), left = options_.k - static_cast<int64_t>(result_.order.size());
  const int64_t most = std::clamp<int64_t>((x_.on_host() ? kPickWork : kPickWork << 10) / (size * x_.d()), 1, std::min(left, kMostPicks));
  auto* const returned = pool_.picked.as<Picked>();
  const ms_pick_farthest_args args{size,       x_.d(),
                                   most,       size > kCompactAbove ? size / 2 : 1,
                                   pool_.x.as<float>(), pool_.norms.as<float>(),
                                   threshold_, pool_.minimum.as<float>(),
                                   returned->places, returned->squares,
                                   &returned->count};
  MS_TRY(backend_->check(backend_->table().pick_farthest(backend_->context(), &args), "pick_farthest"));
  Picked picked;
  MS_TRY(pool_.picked.download(&picked, sizeof picked));
  const size_t before = centres_.size();
  for (int64_t i = 0; i < picked.count; ++i) choose(pool_rows_[static_cast<size_t>(picked.places[i])], picked.squares[i]);
  picks_ += picked.count;
  MS_TRY(upload_centres(before));
  return pool_.minimum.download(pool_minimum_.data(), pool_minimum_.size() * sizeof(float));
}

Status LazyKCenter::finish(double coverage) {
  conclude(coverage);
  if (!options_.want_nearest) {
    end();
    return {};
  }
  result_.nearest.assign(static_cast<size_t>(x_.n()), -1);
  if (centres_.empty()) {
    end();
    return {};
  }
  enter(&LazyKCenter::begin_nearest);
  return {};
}

// One blocked pass over all rows for each block of centres, in their order.
Status LazyKCenter::begin_nearest() {
  const size_t n = static_cast<size_t>(x_.n()), d = static_cast<size_t>(x_.d());
  const size_t block = static_cast<size_t>(std::min(kNearestBlock, chosen()));
  pool_ = Packed();
  MS_TRY(Buffer::allocate(backend_, block * d * sizeof(float), &nearest_.x));
  MS_TRY(Buffer::allocate(backend_, block * sizeof(float), &nearest_.norms));
  MS_TRY(Buffer::allocate(backend_, n * sizeof(float), &nearest_.minimum));
  MS_TRY(Buffer::allocate(backend_, n * sizeof(int32_t), &nearest_.number));
  minimum_.assign(n, std::numeric_limits<float>::infinity());
  MS_TRY(nearest_.minimum.upload(minimum_.data(), n * sizeof(float)));
  MS_TRY(nearest_.number.upload(result_.nearest.data(), n * sizeof(int32_t)));
  enter(&LazyKCenter::advance_nearest);
  return {};
}

Status LazyKCenter::advance_nearest() {
  const ms_backend& table = backend_->table();
  if (rows_done() == 0) {
    nearest_.first = nearest_.last;
    nearest_.last = std::min(nearest_.first + kNearestBlock, chosen());
    const int32_t* const rows = centre_rows_.as<int32_t>() + nearest_.first;
    const ms_gather_rows_args features{nearest_.last - nearest_.first, x_.d(), rows, x_.device_row(0), nearest_.x.as<float>()};
    MS_TRY(backend_->check(table.gather_rows(backend_->context(), &features), "gather_rows"));
    const ms_gather_rows_args norms{nearest_.last - nearest_.first, 1, rows, x_norms_.as<float>(), nearest_.norms.as<float>()};
    MS_TRY(backend_->check(table.gather_rows(backend_->context(), &norms), "gather_rows"));
  }
  const int64_t centres = nearest_.last - nearest_.first;
  const Chunk chunk = next_chunk(x_.n(), x_.chunk_rows(x_.d() * centres, int64_t{1} << 29));
  const ms_min_distance_args args{chunk.rows(),
                                  x_.d(),
                                  centres,
                                  x_.device_row(chunk.first),
                                  x_norms_.as<float>() + chunk.first,
                                  nearest_.x.as<float>(),
                                  nearest_.norms.as<float>(),
                                  nearest_.minimum.as<float>() + chunk.first,
                                  static_cast<int32_t>(nearest_.first),
                                  nearest_.number.as<int32_t>() + chunk.first};
  MS_TRY(backend_->check(table.min_distance(backend_->context(), &args), "min_distance"));
  if (!chunk.final || nearest_.last < chosen()) return {};
  MS_TRY(nearest_.number.download(result_.nearest.data(), result_.nearest.size() * sizeof(int32_t)));
  end();
  return {};
}

}  // namespace mendset
