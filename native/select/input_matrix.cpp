#include "select/input_matrix.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "backend/host_algebra.h"

namespace mendset {

Status InputMatrix::describe(MatrixView view) {
  if (view.n < 1 || view.d < 1 || view.n > std::numeric_limits<int32_t>::max() || view.d > std::numeric_limits<int32_t>::max()) {
    return failure(Code::invalid_argument, "Expected a matrix with 1 to 2147483647 rows and columns but received %lld x %lld.",
                   static_cast<long long>(view.n), static_cast<long long>(view.d));
  }
  if (view.data == nullptr) return failure(Code::invalid_argument, "Expected a matrix but received no data.");
  view_ = view;
  return {};
}

Status InputMatrix::open(const std::shared_ptr<Backend>& backend, Metric metric) {
  MS_TRY(begin(backend, metric));
  return load(0, n());
}

Status InputMatrix::begin(const std::shared_ptr<Backend>& backend, Metric metric) {
  const size_t count = static_cast<size_t>(view_.n) * static_cast<size_t>(view_.d);
  given_ = view_.data;
  if (metric == Metric::cosine) {
    scaled_ = std::make_unique_for_overwrite<float[]>(count);
    view_.data = scaled_.get();
  }
  device_ = view_.data;
  on_host_ = backend->on_host();
  if (on_host_) return {};
  MS_TRY(Buffer::allocate(backend, count * sizeof(float), &copy_));
  device_ = copy_.as<float>();
  return {};
}

Status InputMatrix::load(int64_t first, int64_t last) {
  const size_t d = static_cast<size_t>(view_.d);
  for (size_t i = static_cast<size_t>(first); scaled_ != nullptr && i < static_cast<size_t>(last); ++i) {
    const float* const x = given_ + i * d;
    float* const to = scaled_.get() + i * d;
    double sums[4] = {};  // four chains hide the latency of an addition
    for (size_t p = 0; p < d; ++p) sums[p % 4] += static_cast<double>(x[p]) * static_cast<double>(x[p]);
    const double length = std::sqrt((sums[0] + sums[2]) + (sums[1] + sums[3]));
    for (size_t p = 0; p < d; ++p) to[p] = length > 0 ? static_cast<float>(static_cast<double>(x[p]) / length) : 0.0f;
  }
  if (device_ == view_.data) return {};
  return copy_.upload(view_.row(first), static_cast<size_t>(last - first) * d * sizeof(float), static_cast<size_t>(first) * d * sizeof(float));
}

Status row_norms(const std::shared_ptr<Backend>& backend, const InputMatrix& x, Buffer* out) {
  MS_TRY(Buffer::allocate(backend, static_cast<size_t>(x.n()) * sizeof(float), out));
  return row_norms(backend, x, 0, x.n(), *out);
}

Status row_norms(const std::shared_ptr<Backend>& backend, const InputMatrix& x, int64_t first, int64_t last, const Buffer& out) {
  const ms_row_norms_args args{last - first, x.d(), x.device_row(first), out.as<float>() + first};
  MS_TRY(backend->check(backend->table().row_norms(backend->context(), &args), "row_norms"));
  std::vector<float> norms(static_cast<size_t>(last - first));
  MS_TRY(out.download(norms.data(), norms.size() * sizeof(float), static_cast<size_t>(first) * sizeof(float)));
  for (size_t i = 0; i < norms.size(); ++i) {
    // Distances need |x|^2 + |c|^2 to stay in range.
    if (norms[i] <= std::numeric_limits<float>::max() / 4) continue;
    const int64_t row = first + static_cast<int64_t>(i);
    MS_TRY(check_finite(x.host(), row, row + 1));
    return failure(Code::non_finite, "Expected rows whose squared length fits fp32 but row %lld is too long: scale the features down.",
                   static_cast<long long>(row));
  }
  return {};
}

Status check_finite(const MatrixView& view, int64_t first, int64_t last, float* largest) {
  // One fast pass; the exact place only when it fails.
  const int32_t most = host_algebra().largest_bits(view.row(first), (last - first) * view.d);
  if (most < 0x7f800000) {
    if (largest != nullptr) *largest = std::max(*largest, std::bit_cast<float>(most));
    return {};
  }
  for (int64_t i = first; i < last; ++i) {
    const float* x = view.row(i);
    for (int64_t p = 0; p < view.d; ++p) {
      if (std::isfinite(x[p])) continue;
      return failure(Code::non_finite, "Expected finite numbers but found %s in row %lld, column %lld: fix or drop that record.",
                     std::isnan(x[p]) ? "NaN" : "an infinity", static_cast<long long>(i), static_cast<long long>(p));
    }
  }
  return failure(Code::internal, "A number that is not finite was seen and lost.");
}

double exact_grid(float magnitude, int64_t n) {
  if (!(magnitude > 0)) return 0;
  int exponent, rows;
  std::frexp(magnitude, &exponent);  // magnitude < 2^exponent
  std::frexp(static_cast<double>(n), &rows);
  return std::ldexp(1.5, exponent + rows);
}

}  // namespace mendset
