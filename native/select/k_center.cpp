#include "select/k_center.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "select/k_center_lazy.h"
#include "select/row_chunks.h"

namespace mendset {
namespace {

// invalid_argument for a wrong count, first centre or warm start.
Status check(const MatrixView& x, const KCenterOptions& options) {
  std::vector<uint8_t> warm(static_cast<size_t>(std::max<int64_t>(x.n, 0)), 0);
  int64_t available = x.n;
  for (int64_t index : options.warm_start) {
    if (index < 0 || index >= x.n) {
      return failure(Code::invalid_argument, "Expected warm-start rows between 0 and %lld but received %lld.",
                     static_cast<long long>(x.n - 1), static_cast<long long>(index));
    }
    if (warm[static_cast<size_t>(index)] == 0 && options.exclude_taken) --available;
    warm[static_cast<size_t>(index)] = 1;
  }
  if (options.k < 0 || options.k > available) {
    return failure(Code::invalid_argument, "Expected 0 to %lld centres but received %lld.", static_cast<long long>(available),
                   static_cast<long long>(options.k));
  }
  if (options.first == FirstCentre::given && options.k > 0) {
    if (options.first_index < 0 || options.first_index >= x.n) {
      return failure(Code::invalid_argument, "Expected a first centre between 0 and %lld but received %lld.",
                     static_cast<long long>(x.n - 1), static_cast<long long>(options.first_index));
    }
    if (options.exclude_taken && warm[static_cast<size_t>(options.first_index)] != 0) {
      return failure(Code::invalid_argument, "Expected a first centre that is not a warm-start row but received %lld.",
                     static_cast<long long>(options.first_index));
    }
  }
  if (options.first == FirstCentre::greedy && options.warm_start.empty() && options.k > 0) {
    return failure(Code::invalid_argument,
                   "Expected warm-start rows because the first centre is to be the farthest from them, but received none.");
  }
  return {};
}

}  // namespace

Status k_center_task(std::shared_ptr<Backend> backend, MatrixView x, KCenterOptions options, std::unique_ptr<KCenterTask>* out) {
  if (options.exclude_taken) return LazyKCenter::create(std::move(backend), x, std::move(options), out);
  return KCenter::create(std::move(backend), x, std::move(options), out);
}

Status KCenterTask::begin(std::shared_ptr<Backend> backend, MatrixView x, KCenterOptions options) {
  MS_TRY(check(x, options));
  MS_TRY(x_.describe(x));
  backend_ = std::move(backend);
  options_ = std::move(options);
  enter(&KCenterTask::open);
  return {};
}

Status KCenterTask::open() {
  MS_TRY(x_.begin(backend_, options_.metric));
  MS_TRY(Buffer::allocate(backend_, static_cast<size_t>(x_.n()) * sizeof(float), &x_norms_));
  enter(&KCenterTask::read_rows);
  return {};
}

Status KCenterTask::read_rows() {
  const Chunk chunk = next_chunk(x_.n(), pass_rows(x_.d()));
  if (options_.metric == Metric::cosine) MS_TRY(check_finite(x_.given(), chunk.first, chunk.last));  // else the norms tell
  MS_TRY(x_.load(chunk.first, chunk.last));
  MS_TRY(row_norms(backend_, x_, chunk.first, chunk.last, x_norms_));
  if (!chunk.final) return {};
  if (options_.k == 0 || options_.first != FirstCentre::farthest_from_mean) return opened();
  enter(&KCenterTask::begin_from_mean);
  return {};
}

double KCenterTask::measured(float square) const {
  return options_.metric == Metric::cosine ? static_cast<double>(square) / 2 : std::sqrt(static_cast<double>(square));
}

void KCenterTask::record(int64_t row, float square) {
  result_.order.push_back(row);
  result_.radii.push_back(measured(square));
}

void KCenterTask::conclude(double coverage) {
  result_.coverage = coverage;
  result_.coverages.clear();
  if (result_.order.empty()) return;
  result_.coverages.assign(result_.radii.begin() + 1, result_.radii.end());
  result_.coverages.push_back(coverage);
}

Status KCenterTask::begin_from_mean() {
  const size_t d = static_cast<size_t>(x_.d());
  Buffer mean;
  MS_TRY(Buffer::allocate(backend_, d * sizeof(double), &mean));
  MS_TRY(Buffer::allocate(backend_, d * sizeof(float), &mean_row_));
  MS_TRY(Buffer::allocate(backend_, sizeof(float), &mean_norm_));
  MS_TRY(Buffer::allocate(backend_, static_cast<size_t>(std::min(x_.n(), chunk_rows(x_.d()))) * sizeof(float), &from_mean_));
  const ms_backend& table = backend_->table();
  const ms_column_means_args means{x_.n(), x_.d(), x_.device_row(0), mean.as<double>()};
  MS_TRY(backend_->check(table.column_means(backend_->context(), &means), "column_means"));
  std::vector<double> exact(d);
  MS_TRY(mean.download(exact.data(), d * sizeof(double)));
  std::vector<float> rounded(d);
  for (size_t p = 0; p < d; ++p) rounded[p] = static_cast<float>(exact[p]);
  MS_TRY(mean_row_.upload(rounded.data(), d * sizeof(float)));
  const ms_row_norms_args norms{1, x_.d(), mean_row_.as<float>(), mean_norm_.as<float>()};
  MS_TRY(backend_->check(table.row_norms(backend_->context(), &norms), "row_norms"));
  excluded_.assign(static_cast<size_t>(x_.n()), 0);
  if (options_.exclude_taken) {
    for (int64_t index : options_.warm_start) excluded_[static_cast<size_t>(index)] = 1;
  }
  enter(&KCenterTask::find_first);
  return {};
}

// The row farthest from the mean of all rows among those not excluded, lowest index on ties.
Status KCenterTask::find_first() {
  const Chunk chunk = next_chunk(x_.n(), chunk_rows(x_.d()));
  std::vector<float> squares(static_cast<size_t>(chunk.rows()), std::numeric_limits<float>::infinity());
  MS_TRY(from_mean_.upload(squares.data(), squares.size() * sizeof(float)));
  const ms_min_distance_args args{chunk.rows(),
                                  x_.d(),
                                  1,
                                  x_.device_row(chunk.first),
                                  x_norms_.as<float>() + chunk.first,
                                  mean_row_.as<float>(),
                                  mean_norm_.as<float>(),
                                  from_mean_.as<float>(),
                                  0,
                                  nullptr};
  MS_TRY(backend_->check(backend_->table().min_distance(backend_->context(), &args), "min_distance"));
  MS_TRY(from_mean_.download(squares.data(), squares.size() * sizeof(float)));
  for (size_t i = 0; i < squares.size(); ++i) {
    const int64_t row = chunk.first + static_cast<int64_t>(i);
    if (excluded_[static_cast<size_t>(row)] != 0 || !(squares[i] > farthest_)) continue;
    farthest_ = squares[i];
    options_.first_index = row;
  }
  if (!chunk.final) return {};
  options_.first = FirstCentre::given;
  excluded_ = {};
  from_mean_.reset();
  return opened();
}

Status KCenter::create(std::shared_ptr<Backend> backend, MatrixView x, KCenterOptions options,
                       std::unique_ptr<KCenterTask>* out) {
  std::unique_ptr<KCenter> task(new KCenter());
  MS_TRY(task->begin(std::move(backend), x, std::move(options)));
  *out = std::move(task);
  return {};
}

Progress KCenter::progress() const {
  const double n = static_cast<double>(x_.n());
  const double total = n * static_cast<double>(static_cast<int64_t>(options_.warm_start.size()) + options_.k) + 1;
  if (ended()) return {total, total, true};
  return {n * static_cast<double>(applied_) + static_cast<double>(applied_ > 0 ? rows_done() : 0), total, false};
}

Status KCenter::opened() {
  const size_t n = static_cast<size_t>(x_.n());
  MS_TRY(Buffer::allocate(backend_, n * sizeof(float), &minimum_));
  MS_TRY(Buffer::allocate(backend_, n, &taken_));  // zeroed: nothing taken
  MS_TRY(Buffer::allocate(backend_, sizeof(float), &value_));
  MS_TRY(Buffer::allocate(backend_, sizeof(int64_t), &index_));
  const std::vector<float> unreached(n, std::numeric_limits<float>::infinity());
  MS_TRY(minimum_.upload(unreached.data(), n * sizeof(float)));
  if (options_.want_nearest) {
    MS_TRY(Buffer::allocate(backend_, n * sizeof(int32_t), &nearest_));
    const std::vector<int32_t> none(n, -1);
    MS_TRY(nearest_.upload(none.data(), n * sizeof(int32_t)));
  }
  enter(&KCenter::pick);
  return {};
}

// Decides the next centre: warm-start rows, the first one, then the argmax.
Status KCenter::pick() {
  const int64_t warm = static_cast<int64_t>(options_.warm_start.size());
  if (applied_ == warm + options_.k) return finish();
  if (applied_ < warm) {
    centre_ = options_.warm_start[static_cast<size_t>(applied_)];
  } else {
    int64_t index = options_.first_index;
    if (applied_ > warm || options_.first == FirstCentre::greedy) MS_TRY(argmax(&index));
    float square = 0;
    MS_TRY(minimum_.download(&square, sizeof(float), static_cast<size_t>(index) * sizeof(float)));
    record(index, square);
    centre_ = index;
  }
  if (options_.exclude_taken) {
    const uint8_t taken = 1;
    MS_TRY(taken_.upload(&taken, 1, static_cast<size_t>(centre_)));
  }
  enter(&KCenter::spread);
  return {};
}

Status KCenter::argmax(int64_t* index) {
  const ms_argmax_args args{x_.n(), minimum_.as<float>(), taken_.as<uint8_t>(), value_.as<float>(), index_.as<int64_t>()};
  MS_TRY(backend_->check(backend_->table().argmax(backend_->context(), &args), "argmax"));
  return index_.download(index, sizeof(int64_t));
}

Status KCenter::spread() {
  const Chunk chunk = next_chunk(x_.n(), chunk_rows(x_.d()));
  const ms_min_distance_args args{chunk.rows(),
                                  x_.d(),
                                  1,
                                  x_.device_row(chunk.first),
                                  x_norms_.as<float>() + chunk.first,
                                  x_.device_row(centre_),
                                  x_norms_.as<float>() + centre_,
                                  minimum_.as<float>() + chunk.first,
                                  static_cast<int32_t>(applied_),
                                  options_.want_nearest ? nearest_.as<int32_t>() + chunk.first : nullptr};
  MS_TRY(backend_->check(backend_->table().min_distance(backend_->context(), &args), "min_distance"));
  if (!chunk.final) return {};
  ++applied_;
  enter(&KCenter::pick);
  return {};
}

Status KCenter::finish() {
  const size_t n = static_cast<size_t>(x_.n());
  std::vector<float> minimum(n);
  MS_TRY(minimum_.download(minimum.data(), n * sizeof(float)));
  conclude(measured(*std::max_element(minimum.begin(), minimum.end())));
  if (options_.want_nearest) {
    result_.nearest.resize(n);
    MS_TRY(nearest_.download(result_.nearest.data(), n * sizeof(int32_t)));
  }
  end();
  return {};
}

}  // namespace mendset
