#include "select/k_center.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "select/k_center_lazy.h"
#include "select/row_chunks.h"

namespace mendset {

Status check_k_center(const MatrixView& x, const KCenterOptions& options) {
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

Status k_center_task(std::shared_ptr<Backend> backend, MatrixView x, KCenterOptions options, std::unique_ptr<KCenterTask>* out) {
  if (options.exclude_taken) return LazyKCenter::create(std::move(backend), x, std::move(options), out);
  return KCenter::create(std::move(backend), x, std::move(options), out);
}

double KCenterTask::measured(Metric metric, float square) {
  return metric == Metric::cosine ? static_cast<double>(square) / 2 : std::sqrt(static_cast<double>(square));
}

void KCenterTask::derive_coverages() {
  result_.coverages.clear();
  if (result_.order.empty()) return;
  result_.coverages.assign(result_.radii.begin() + 1, result_.radii.end());
  result_.coverages.push_back(result_.coverage);
}

Status KCenter::create(std::shared_ptr<Backend> backend, MatrixView x, KCenterOptions options,
                       std::unique_ptr<KCenterTask>* out) {
  MS_TRY(check_k_center(x, options));
  std::unique_ptr<KCenter> task(new KCenter());
  task->backend_ = std::move(backend);
  task->options_ = std::move(options);
  MS_TRY(task->x_.describe(x));
  *out = std::move(task);
  return {};
}

Status KCenter::allocate() {
  const size_t n = static_cast<size_t>(x_.n());
  
  MS_TRY(Buffer::allocate(backend_, n * sizeof(float), &minimum_));
  MS_TRY(Buffer::allocate(backend_, n, &taken_));  // zeroed: nothing taken
  MS_TRY(Buffer::allocate(backend_, sizeof(float), &value_));
  MS_TRY(Buffer::allocate(backend_, sizeof(int64_t), &index_));
  const std::vector<float> unreached(n, std::numeric_limits<float>::infinity());
  MS_TRY(minimum_.upload(unreached.data(), n * sizeof(float)));
  if (!options_.want_nearest) return {};
  MS_TRY(Buffer::allocate(backend_, n * sizeof(int32_t), &nearest_));
  const std::vector<int32_t> none(n, -1);
  return nearest_.upload(none.data(), n * sizeof(int32_t));
}

Status KCenter::step(Deadline deadline) {
  do {
    MS_TRY(advance());
  } while (phase_ != Phase::finished && !deadline.passed());
  return {};
}

Progress KCenter::progress() const {
  const double n = static_cast<double>(x_.n());
  const double total = n * static_cast<double>(static_cast<int64_t>(options_.warm_start.size()) + options_.k) + 1;
  if (phase_ == Phase::finished) return {total, total, true};
  const double done = phase_ == Phase::spread ? n * static_cast<double>(applied_) + static_cast<double>(row_) : 0;
  return {done, total, false};
}

Status KCenter::advance() {
  switch (phase_) {
    case Phase::allocate:
      phase_ = Phase::check;
      return allocate();
    case Phase::check:
      return advance_check();
    case Phase::mean:
      return start_from_mean();
    case Phase::spread:
      return advance_spread();
    case Phase::finished:
      return {};
  }
  return failure(Code::internal, "K-Center is in an unknown phase.");
}

Status KCenter::advance_check() {
  const int64_t last = std::min(x_.n(), row_ + chunk_rows(x_.d()));
  MS_TRY(check_finite(x_.host(), row_, last));
  row_ = last;
  if (row_ < x_.n()) return {};
  MS_TRY(x_.open(backend_, options_.metric));
  MS_TRY(row_norms(backend_, x_, &x_norms_));
  row_ = 0;
  if (options_.k > 0 && options_.first == FirstCentre::farthest_from_mean) {
    phase_ = Phase::mean;
    return {};
  }
  return pick();
}

Status KCenter::start_from_mean() {
  std::vector<uint8_t> taken(static_cast<size_t>(x_.n()), 0);
  if (options_.exclude_taken) {
    for (int64_t index : options_.warm_start) taken[static_cast<size_t>(index)] = 1;
  }
  MS_TRY(farthest_from_mean(backend_, x_, x_norms_, taken, &options_.first_index));
  options_.first = FirstCentre::given;
  return pick();
}

Status farthest_from_mean(const std::shared_ptr<Backend>& backend, const InputMatrix& x, const Buffer& x_norms,
                          const std::vector<uint8_t>& taken, int64_t* index) {
  const size_t n = static_cast<size_t>(x.n()), d = static_cast<size_t>(x.d());
  Buffer mean, centre, norm, distance;
  MS_TRY(Buffer::allocate(backend, d * sizeof(double), &mean));
  MS_TRY(Buffer::allocate(backend, d * sizeof(float), &centre));
  MS_TRY(Buffer::allocate(backend, sizeof(float), &norm));
  MS_TRY(Buffer::allocate(backend, n * sizeof(float), &distance));
  const ms_backend& table = backend->table();

  const ms_column_means_args means{x.n(), x.d(), x.device_row(0), mean.as<double>()};
  MS_TRY(backend->check(table.column_means(backend->context(), &means), "column_means"));
  std::vector<double> exact(d);
  MS_TRY(mean.download(exact.data(), d * sizeof(double)));
  std::vector<float> rounded(d);
  for (size_t p = 0; p < d; ++p) rounded[p] = static_cast<float>(exact[p]);
  MS_TRY(centre.upload(rounded.data(), d * sizeof(float)));
  const ms_row_norms_args norms{1, x.d(), centre.as<float>(), norm.as<float>()};
  MS_TRY(backend->check(table.row_norms(backend->context(), &norms), "row_norms"));

  std::vector<float> squares(n, std::numeric_limits<float>::infinity());
  MS_TRY(distance.upload(squares.data(), n * sizeof(float)));
  const ms_min_distance_args distances{
      x.n(), x.d(),  1, x.device_row(0), x_norms.as<float>(), centre.as<float>(), norm.as<float>(), distance.as<float>(),
      0,     nullptr};
  MS_TRY(backend->check(table.min_distance(backend->context(), &distances), "min_distance"));
  MS_TRY(distance.download(squares.data(), n * sizeof(float)));

  *index = -1;
  for (size_t i = 0; i < n; ++i) {
    if (taken[i] == 0 && (*index < 0 || squares[i] > squares[static_cast<size_t>(*index)])) *index = static_cast<int64_t>(i);
  }
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
    result_.order.push_back(index);
    result_.radii.push_back(measured(options_.metric, square));
    centre_ = index;
  }
  if (options_.exclude_taken) {
    const uint8_t taken = 1;
    MS_TRY(taken_.upload(&taken, 1, static_cast<size_t>(centre_)));
  }
  row_ = 0;
  phase_ = Phase::spread;
  return {};
}

Status KCenter::argmax(int64_t* index) {
  const ms_argmax_args args{x_.n(), minimum_.as<float>(), taken_.as<uint8_t>(), value_.as<float>(), index_.as<int64_t>()};
  MS_TRY(backend_->check(backend_->table().argmax(backend_->context(), &args), "argmax"));
  return index_.download(index, sizeof(int64_t));
}

Status KCenter::advance_spread() {
  const int64_t last = std::min(x_.n(), row_ + chunk_rows(x_.d()));
  const ms_min_distance_args args{last - row_,
                                  x_.d(),
                                  1,
                                  x_.device_row(row_),
                                  x_norms_.as<float>() + row_,
                                  x_.device_row(centre_),
                                  x_norms_.as<float>() + centre_,
                                  minimum_.as<float>() + row_,
                                  static_cast<int32_t>(applied_),
                                  options_.want_nearest ? nearest_.as<int32_t>() + row_ : nullptr};
  MS_TRY(backend_->check(backend_->table().min_distance(backend_->context(), &args), "min_distance"));
  row_ = last;
  if (row_ < x_.n()) return {};
  ++applied_;
  return pick();
}

Status KCenter::finish() {
  const size_t n = static_cast<size_t>(x_.n());
  std::vector<float> minimum(n);
  MS_TRY(minimum_.download(minimum.data(), n * sizeof(float)));
  result_.coverage = measured(options_.metric, *std::max_element(minimum.begin(), minimum.end()));
  derive_coverages();
  if (options_.want_nearest) {
    result_.nearest.resize(n);
    MS_TRY(nearest_.download(result_.nearest.data(), n * sizeof(int32_t)));
  }
  phase_ = Phase::finished;
  return {};
}

}  // namespace mendset
