// Principal components of wide matrices by subspace iteration.
#include <algorithm>
#include <cmath>
#include <cstddef>

#include "core/random.h"
#include "select/orthonormal.h"
#include "select/pca.h"
#include "select/row_chunks.h"

namespace mendset {

namespace {

constexpr int64_t kWidestCovariance = 2048;
constexpr int64_t kExtraDirections = 16;
constexpr int64_t kRounds = 4;

}  // namespace

bool Pca::sketched() const { return x_.d() > kWidestCovariance && options_.components + kExtraDirections <= std::min(x_.n(), x_.d()); }

int64_t Pca::sketch_rows() const { return std::min(x_.n(), chunk_rows(x_.d() * width_)); }

Status Pca::begin_sketch() {
  const int64_t d = x_.d();
  width_ = options_.components + kExtraDirections;
  const size_t elements = static_cast<size_t>(width_ * d);
  RandomStream stream(0, static_cast<uint32_t>(StreamId::normal_data), 1);
  basis_.resize(elements);
  for (double& value : basis_) value = stream.normal();
  orthonormalise(basis_.data(), width_, d);
  MS_TRY(Buffer::allocate(backend_, elements * sizeof(double), &basis_device_));
  MS_TRY(basis_device_.upload(basis_.data(), elements * sizeof(double)));
  MS_TRY(Buffer::allocate(backend_, static_cast<size_t>(std::max<int64_t>(sketch_rows() + 1, 2) * width_) * sizeof(float), &part_));
  MS_TRY(Buffer::allocate(backend_, elements * sizeof(float), &product_));
  MS_TRY(Buffer::allocate(backend_, static_cast<size_t>(width_) * sizeof(float), &sums_));
  MS_TRY(Buffer::allocate(backend_, static_cast<size_t>(std::max(width_, x_.n())) * sizeof(double), &zeros_));  // zeroed: labels, then means
  phase_ = Phase::spread;
  return {};
}

// The total variance: squared distances to the mean.
Status Pca::advance_spread() {
  const int64_t last = std::min(x_.n(), row_ + chunk_rows(x_.d()));
  Buffer squares;
  std::vector<double> values(static_cast<size_t>(last - row_));
  MS_TRY(Buffer::allocate(backend_, values.size() * sizeof(double), &squares));
  const ms_label_distances_args args{last - row_, x_.d(), x_.device_row(row_), mean_.as<double>(), zeros_.as<int32_t>(), squares.as<double>()};
  MS_TRY(backend_->check(backend_->table().label_distances(backend_->context(), &args), "label_distances"));
  MS_TRY(squares.download(values.data(), values.size() * sizeof(double)));
  for (double value : values) result_.total_variance += value / static_cast<double>(x_.n() - 1);
  row_ = last;
  if (row_ < x_.n()) return {};
  row_ = 0;
  phase_ = Phase::sketch;
  return {};
}

// One chunk of basis <- (X - mean)^T (X - mean) basis.
Status Pca::advance_sketch() {
  const int64_t n = x_.n(), d = x_.d(), last = std::min(n, row_ + sketch_rows()), rows = last - row_;
  const ms_backend& table = backend_->table();
  const ms_project_args project{rows, d, width_, x_.device_row(row_), mean_.as<double>(), basis_device_.as<double>(), part_.as<float>()};
  MS_TRY(backend_->check(table.project(backend_->context(), &project), "project"));
  const ms_linear_backward_weight_args back{rows, d, width_, x_.device_row(row_), d, MS_ACTIVATION_NONE, part_.as<float>(), width_, product_.as<float>(), MS_LAYOUT_OUT_IN, sums_.as<float>(),
                                            row_ == 0 ? 0.0f : 1.0f};
  MS_TRY(backend_->check(table.linear_backward_weight(backend_->context(), &back), "linear_backward_weight"));
  row_ = last;
  if (row_ < n) return {};
  row_ = 0;
  std::vector<float> product(basis_.size()), sums(static_cast<size_t>(width_));
  MS_TRY(product_.download(product.data(), product.size() * sizeof(float)));
  MS_TRY(sums_.download(sums.data(), sums.size() * sizeof(float)));
  for (int64_t j = 0; j < width_; ++j) {
    for (int64_t p = 0; p < d; ++p) {
      const size_t at = static_cast<size_t>(j * d + p);
      basis_[at] = static_cast<double>(product[at]) - static_cast<double>(sums[static_cast<size_t>(j)]) * result_.mean[static_cast<size_t>(p)];
    }
  }
  orthonormalise(basis_.data(), width_, d);
  MS_TRY(basis_device_.upload(basis_.data(), basis_.size() * sizeof(double)));
  if (++round_ < kRounds) return {};
  covariance_.assign(static_cast<size_t>(width_ * width_), 0.0);
  MS_TRY(Buffer::allocate(backend_, covariance_.size() * sizeof(double), &chunk_covariance_));
  phase_ = Phase::gather;
  return {};
}

// Covariance within the subspace, fp64. A chunk never has one row.
Status Pca::advance_gather() {
  const int64_t n = x_.n(), d = x_.d();
  int64_t last = std::min(n, row_ + sketch_rows());
  if (n - last == 1) last = n;
  const int64_t rows = last - row_;
  const ms_project_args project{rows, d, width_, x_.device_row(row_), mean_.as<double>(), basis_device_.as<double>(), part_.as<float>()};
  MS_TRY(backend_->check(backend_->table().project(backend_->context(), &project), "project"));
  const ms_covariance_args args{rows, width_, part_.as<float>(), zeros_.as<double>(), chunk_covariance_.as<double>()};
  MS_TRY(backend_->check(backend_->table().covariance(backend_->context(), &args), "covariance"));
  std::vector<double> chunk(covariance_.size());
  MS_TRY(chunk_covariance_.download(chunk.data(), chunk.size() * sizeof(double)));
  for (size_t i = 0; i < chunk.size(); ++i) covariance_[i] += chunk[i] * static_cast<double>(rows - 1) / static_cast<double>(n - 1);
  row_ = last;
  if (row_ < n) return {};
  row_ = 0;
  eigen_ = std::make_unique<SymmetricEigen>(std::move(covariance_), width_, options_.components);
  for (Buffer* done : {&part_, &product_, &sums_, &zeros_, &basis_device_, &chunk_covariance_}) done->reset();
  phase_ = Phase::eigen;
  return {};
}

}  // namespace mendset
