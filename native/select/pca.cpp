#include "select/pca.h"

#include <algorithm>
#include <cmath>
#include <cstddef>


namespace mendset {

Status Pca::create(std::shared_ptr<Backend> backend, MatrixView x, const PcaOptions& options, std::unique_ptr<Pca>* out) {
  if (options.components < 1) {
    return failure(Code::invalid_argument, "Expected at least 1 component but received %lld.",
                   static_cast<long long>(options.components));
  }
  if (!(options.target_variance >= 0 && options.target_variance <= 1)) {
    return failure(Code::invalid_argument, "Expected a target share of the variance between 0 (off) and 1 but received %g.",
                   options.target_variance);
  }
  std::unique_ptr<Pca> task(new Pca());
  task->backend_ = std::move(backend);
  task->options_ = options;
  MS_TRY(task->x_.describe(x));
  task->options_.components = std::min({options.components, x.d, std::max<int64_t>(x.n - 1, 1)});
  *out = std::move(task);
  return {};
}

Status Pca::allocate() {
  const size_t d = static_cast<size_t>(x_.d());
  MS_TRY(x_.open(backend_));
  MS_TRY(Buffer::allocate(backend_, d * sizeof(double), &mean_));
  if (sketched()) return {};
  MS_TRY(Buffer::allocate(backend_, d * d * sizeof(double), &chunk_covariance_));
  covariance_.assign(d * d, 0.0);
  return {};
}

Status Pca::step(Deadline deadline) {
  do {
    MS_TRY(advance());
  } while (phase_ != Phase::finished && !deadline.passed());
  return {};
}

Progress Pca::progress() const {
  const double part = static_cast<double>(row_) / static_cast<double>(x_.n());
  switch (phase_) {
    case Phase::allocate:
      return {0, 100, false};
    case Phase::check:
      return {5 * part, 100, false};
    case Phase::covariance:
      return {5 + 45 * part, 100, false};
    case Phase::spread:
      return {5 + 5 * part, 100, false};
    case Phase::sketch:
      return {10 + 8 * (static_cast<double>(round_) + part), 100, false};
    case Phase::gather:
      return {42 + 8 * part, 100, false};
    case Phase::eigen:
      return {50 + 40 * eigen_->progress(), 100, false};
    case Phase::project:
      return {90 + 9 * part, 100, false};
    case Phase::finished:
      break;
  }
  return {100, 100, true};
}

Status Pca::advance() {
  switch (phase_) {
    case Phase::allocate:
      phase_ = Phase::check;
      return allocate();
    case Phase::check:
      return advance_check();
    case Phase::covariance:
      return advance_covariance();
    case Phase::spread:
      return advance_spread();
    case Phase::sketch:
      return advance_sketch();
    case Phase::gather:
      return advance_gather();
    case Phase::eigen:
      return advance_eigen();
    case Phase::project:
      return advance_project();
    case Phase::finished:
      return {};
  }
  return failure(Code::internal, "PCA is in an unknown phase.");
}

Status Pca::advance_check() {
  const ms_column_means_args args{x_.n(), x_.d(), x_.device_row(0), mean_.as<double>()};
  MS_TRY(backend_->check(backend_->table().column_means(backend_->context(), &args), "column_means"));
  result_.mean.resize(static_cast<size_t>(x_.d()));
  MS_TRY(mean_.download(result_.mean.data(), result_.mean.size() * sizeof(double)));
  // fp64 sums of finite fp32 numbers are finite, and no sum with NaN or an infinity in it is.
  if (!std::all_of(result_.mean.begin(), result_.mean.end(), [](double mean) { return std::isfinite(mean); })) MS_TRY(check_finite(x_.host(), 0, x_.n()));
  row_ = 0;
  if (sketched()) return begin_sketch();
  phase_ = Phase::covariance;
  return {};
}

// The operation divides by its own rows - 1, which is undone per chunk; a chunk therefore never has one row while n > 1.
Status Pca::advance_covariance() {
  const int64_t n = x_.n();
  if (n > 1) {
    // Chunks of about equal size: a short last one would leave threads without work.
    const int64_t chunks = (n - 1) / x_.chunk_rows(x_.d() * x_.d() / 2, int64_t{1} << 30) + 1;
    int64_t last = std::min(n, row_ + (n - 1) / chunks + 1);
    if (n - last == 1) last = n;
    const int64_t rows = last - row_;
    const ms_covariance_args args{rows, x_.d(), x_.device_row(row_), mean_.as<double>(), chunk_covariance_.as<double>()};
    MS_TRY(backend_->check(backend_->table().covariance(backend_->context(), &args), "covariance"));
    const bool whole = rows == n;
    if (whole) {
      MS_TRY(chunk_covariance_.download(covariance_.data(), covariance_.size() * sizeof(double)));
    } else {
      const double* chunk;
      MS_TRY(chunk_covariance_.view(0, x_.d() * x_.d(), &host_chunk_, &chunk));
      const double weight = static_cast<double>(rows - 1);
      const size_t d = static_cast<size_t>(x_.d());
      for (size_t p = 0; p < d; ++p) {  // the lower triangle is all that is read
        for (size_t i = p * d; i <= p * d + p; ++i) covariance_[i] += weight * chunk[i];
      }
    }
    row_ = last;
    if (row_ < n) return {};
    if (!whole) {
      for (double& value : covariance_) value /= static_cast<double>(n - 1);
    }
  }
  for (int64_t p = 0; p < x_.d(); ++p) result_.total_variance += covariance_[static_cast<size_t>(p * x_.d() + p)];
  host_chunk_ = {};
  chunk_covariance_.reset();
  eigen_ = std::make_unique<SymmetricEigen>(std::move(covariance_), x_.d(), options_.components);
  row_ = 0;
  phase_ = Phase::eigen;
  return {};
}

Status Pca::advance_eigen() {
  MS_TRY(eigen_->advance());
  return eigen_->finished() ? choose_components() : Status();
}

Status Pca::choose_components() {
  int64_t r = options_.components;
  if (options_.target_variance > 0 && result_.total_variance > 0) {
    double sum = 0;
    for (int64_t i = 0; i < options_.components; ++i) {
      sum += eigen_->values()[static_cast<size_t>(i)];
      if (sum < options_.target_variance * result_.total_variance) continue;
      r = i + 1;
      break;
    }
  }
  const size_t d = static_cast<size_t>(x_.d()), count = static_cast<size_t>(r);
  result_.components = r;
  if (sketched()) {  // eigenvectors within the subspace, as combinations of its basis
    result_.directions.assign(count * d, 0.0);
    for (size_t i = 0; i < count; ++i) {
      for (size_t j = 0; j < static_cast<size_t>(width_); ++j) {
        const double share = eigen_->vectors()[i * static_cast<size_t>(width_) + j];
        for (size_t p = 0; p < d; ++p) result_.directions[i * d + p] += share * basis_[j * d + p];
      }
    }
  } else {
    result_.directions.assign(eigen_->vectors().begin(), eigen_->vectors().begin() + static_cast<ptrdiff_t>(count * d));
  }
  result_.variances.assign(eigen_->values().begin(), eigen_->values().begin() + r);
  for (double& variance : result_.variances) variance = std::max(0.0, variance);
  for (size_t i = 0; i < count; ++i) {
    double* direction = result_.directions.data() + i * d;
    size_t largest = 0;
    for (size_t p = 1; p < d; ++p) {
      if (std::abs(direction[p]) > std::abs(direction[largest])) largest = p;
    }
    if (direction[largest] >= 0) continue;
    for (size_t p = 0; p < d; ++p) direction[p] = -direction[p];
  }
  eigen_.reset();
  MS_TRY(Buffer::allocate(backend_, count * d * sizeof(double), &directions_));
  MS_TRY(directions_.upload(result_.directions.data(), count * d * sizeof(double)));
  if (!backend_->on_host()) MS_TRY(Buffer::allocate(backend_, static_cast<size_t>(project_rows()) * count * sizeof(float), &projected_));
  result_.projected.reserve(static_cast<size_t>(x_.n()) * count);
  phase_ = Phase::project;
  return {};
}

int64_t Pca::project_rows() const { return std::min(x_.n(), x_.chunk_rows(x_.d() * result_.components, int64_t{1} << 28)); }

// A chunk of rows; the result grows by it, so that no step has all of its memory to fill.
Status Pca::advance_project() {
  const int64_t r = result_.components;
  const int64_t last = std::min(x_.n(), row_ + project_rows());
  const size_t before = result_.projected.size(), count = static_cast<size_t>((last - row_) * r);
  result_.projected.resize(before + count);
  float* const rows = result_.projected.data() + before;
  float* const to = backend_->on_host() ? rows : projected_.as<float>();
  const ms_project_args args{last - row_, x_.d(), r, x_.device_row(row_), mean_.as<double>(), directions_.as<double>(), to};
  MS_TRY(backend_->check(backend_->table().project(backend_->context(), &args), "project"));
  if (to != rows) MS_TRY(projected_.download(rows, count * sizeof(float)));
  row_ = last;
  if (row_ == x_.n()) phase_ = Phase::finished;
  return {};
}

}  // namespace mendset
