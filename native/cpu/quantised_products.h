// Products of centres and rows in 16-bit integers: twice as many a cycle as fp32, and exact but for the quantisation of both, which
// is bounded. For whoever needs the exact nearest and can look again where the bound leaves a choice.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "cpu/centre_products.h"

namespace mendset::cpu {

class QuantisedProducts {
 public:
  // Lays its scratch into the plan of whoever reserves it.
  // squares: [n] |x|^2; c_norms: [k] |c|^2.
  QuantisedProducts(Context& context, ScratchPlan& plan, const float* x, const double* squares, int64_t n, const float* centres, const float* c_norms, int64_t k, int64_t d)
      : context_(context), gemm_(context.kernels.gemm), selection_(context.kernels.selection), x_(x), squares_(squares), n_(n), centres_(centres), c_norms_(c_norms), k_(k), d_(d), pairs_((d + 1) / 2), panels_(blocks_of(k, gemm_.rows)),
        most_(std::floor(std::sqrt(2147483000.0f / static_cast<float>(std::max<int64_t>(d, 1))))) {
    if (!worthwhile()) return;
    centres_at_ = plan.add<int32_t>(panels_ * gemm_.rows * pairs_);
    scales_at_ = plan.add<float>(panels_ * gemm_.rows);
    lengths_at_ = plan.add<float>(panels_ * gemm_.rows);
    const int64_t threads = context.pool.threads();
    norms_at_ = plan.add<float>(panels_ * gemm_.rows * threads);
    errors_at_ = plan.add<float>(panels_ * gemm_.rows * threads);
    rows_at_ = plan.add<int32_t>(std::max(gemm_.columns, gemm_.rows) * pairs_ * threads);
    panel_at_ = plan.add<int32_t>(gemm_.columns * pairs_ * threads);
  }

  // The sums of `pairs` products of numbers up to sqrt(2^31 / d) stay within 32 bits; few columns or centres are not worth quantising for.
  bool worthwhile() const { return selection_.tile_pairs != nullptr && d_ >= 64 && d_ <= 4096 && k_ >= 32; }

  void pack_centres(std::byte* scratch) {
    scratch_ = scratch;
    run_tasks(context_, panels_, k_ * d_, [&](int64_t panel, int worker) {
      int32_t* const rows = own(rows_at_, std::max(gemm_.columns, gemm_.rows) * pairs_, worker);
      const int64_t first = panel * gemm_.rows, used = std::min(gemm_.rows, k_ - first);
      float* const scales = reinterpret_cast<float*>(scratch_ + scales_at_) + first;
      std::fill_n(scales, gemm_.rows, 0.0f);
      for (int64_t r = 0; r < used; ++r) scales[r] = selection_.quantise(centres_ + (first + r) * d_, d_, most_, rows + r * pairs_);
      gemm_.pack(reinterpret_cast<float*>(packed(panel)), gemm_.rows, reinterpret_cast<const float*>(rows), pairs_, true, used, pairs_, MS_ACTIVATION_NONE);
    });
    float* const lengths = reinterpret_cast<float*>(scratch_ + lengths_at_);
    for (int64_t j = 0; j < k_; ++j) lengths[j] = std::sqrt(c_norms_[j]) * kSlack;
  }

  // Rows first .. first + used - 1 (a panel) against all centres: sink.fold(tile, first centre, centres, norms) in ascending order, then
  // sink.end(errors). fma(-2, tile, norms) is a lower bound of |c|^2 - 2 x.c but for what fp32 rounding does, and less than it by at most twice
  // errors[centre].
  template <typename Sink> void multiply(int64_t first, int64_t used, int worker, Sink& sink) const {
    int32_t* const rows = own(rows_at_, std::max(gemm_.columns, gemm_.rows) * pairs_, worker);
    int32_t* const panel = own(panel_at_, gemm_.columns * pairs_, worker);
    alignas(64) float scales[kMostColumns] = {};
    alignas(64) float tile[kMostTileElements];
    float row_scale = 0;
    double row_square = 0;
    for (int64_t w = 0; w < used; ++w) {
      const float* const x = x_ + (first + w) * d_;
      for (int64_t p = 0; p < d_ && first + w + gemm_.columns < n_; p += 16) __builtin_prefetch(x + gemm_.columns * d_ + p, 0, 2);
      scales[w] = selection_.quantise(x, d_, most_, rows + w * pairs_);
      row_scale = std::max(row_scale, scales[w]);
      row_square = std::max(row_square, squares_[first + w]);
    }
    float* const norms = reinterpret_cast<float*>(own(norms_at_, panels_ * gemm_.rows, worker));
    float* const errors = reinterpret_cast<float*>(own(errors_at_, panels_ * gemm_.rows, worker));
    const float* const lengths = reinterpret_cast<const float*>(scratch_ + lengths_at_);
    const float* const centre_scales = reinterpret_cast<const float*>(scratch_ + scales_at_);
    const float root = 0.502f * std::sqrt(static_cast<float>(d_)) * kSlack, row = 2 * root * row_scale, centre_factor = 2 * root * (static_cast<float>(std::sqrt(row_square)) * kSlack + row);
    for (int64_t j = 0; j < k_; ++j) {
      errors[j] = (row * lengths[j] + centre_factor * centre_scales[j]) * kSlack;
      norms[j] = (c_norms_[j] - errors[j]) - kRounding * (c_norms_[j] + errors[j]);
    }
    gemm_.pack(reinterpret_cast<float*>(panel), gemm_.columns, reinterpret_cast<const float*>(rows), pairs_, true, used, pairs_, MS_ACTIVATION_NONE);
    for (int64_t p = 0; p < panels_; ++p) {
      const int64_t centre = p * gemm_.rows;
      selection_.tile_pairs(pairs_, packed(p), panel, centre_scales + centre, scales, tile);
      sink.fold(tile, centre, std::min(gemm_.rows, k_ - centre), norms + centre);
    }
    sink.end(errors);
  }

 private:
  static constexpr float kSlack = 1.00001f, kRounding = 0x1p-22f;  // cover the rounding of the bounds themselves

  int32_t* packed(int64_t panel) const { return reinterpret_cast<int32_t*>(scratch_ + centres_at_) + panel * gemm_.rows * pairs_; }
  int32_t* own(size_t at, int64_t count, int worker) const { return reinterpret_cast<int32_t*>(scratch_ + at) + worker * count; }

  Context& context_;
  const GemmKernels& gemm_;
  const SelectionKernels& selection_;
  const float* x_;
  const double* squares_;
  const int64_t n_;
  const float *centres_, *c_norms_;
  const int64_t k_, d_, pairs_, panels_;
  const float most_;
  size_t centres_at_ = 0, scales_at_ = 0, lengths_at_ = 0, norms_at_ = 0, errors_at_ = 0, rows_at_ = 0, panel_at_ = 0;
  std::byte* scratch_ = nullptr;
};

}  // namespace mendset::cpu
