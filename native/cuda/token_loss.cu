// Statistics, losses and gradients of rows of logits: a block per row, two sweeps for what is asked and one that writes the gradient.
#include "cuda/cuda_operations.h"
#include "cuda/launch.h"
#include "cuda/reduce.h"

namespace mendset::cuda {
namespace {

constexpr int kThreads = 512;

struct Place {
  float value;
  int32_t index;
};
// Larger value, then lower index; a value that is not a number never wins.
__device__ __forceinline__ Place better(Place a, Place b) { return b.value > a.value || (b.value == a.value && b.index < a.index) ? b : a; }

__device__ __forceinline__ Place block_best(Place place, Place* shared) {
MS_UNROLL
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    const Place other{__shfl_xor_sync(kFullWarp, place.value, lanes), __shfl_xor_sync(kFullWarp, place.index, lanes)};
    place = better(place, other);
  }
  __syncthreads();
  if (threadIdx.x % kWarp == 0) shared[threadIdx.x / kWarp] = place;
  __syncthreads();
  Place best = shared[0];
  for (int w = 1; w < kThreads / kWarp; ++w) best = better(best, shared[w]);
  return best;
}

__global__ void __launch_bounds__(kThreads) token_loss_kernel(ms_token_loss_args a) {
  __shared__ Place places[kThreads / kWarp];
  __shared__ double sums[32];
  const int64_t t = blockIdx.x;
  float* const z = a.logits + t * a.vocab;
  const float* const reference = a.reference != nullptr ? a.reference + t * a.vocab : nullptr;
  const int32_t y = a.targets[t];
  const int thread = static_cast<int>(threadIdx.x);
  const float infinity = __int_as_float(0x7f800000);

  Place largest{-infinity, 0x7fffffff};
  float other = -infinity, reference_largest = -infinity;  // other: over all but the target
  for (int64_t j = thread; j < a.vocab; j += kThreads) {
    const float value = z[j];
    largest = better(largest, {value, static_cast<int32_t>(j)});
    if (j != y && value > other) other = value;
    if (reference != nullptr && reference[j] > reference_largest) reference_largest = reference[j];
  }
  largest = block_best(largest, places);
  if (a.margin != nullptr) other = block_best({other, 0}, places).value;
  if (reference != nullptr) reference_largest = block_best({reference_largest, 0}, places).value;
  const float shift = largest.value, reference_shift = reference_largest;

  const bool forward = a.kl_direction == MS_KL_FORWARD;
  const bool wants_kl = reference != nullptr && (a.kl != nullptr || (a.write_gradient && a.kl_weight != nullptr && !forward));
  double others = 0, square = 0, reference_sum = 0, divergence = 0;
  for (int64_t j = thread; j < a.vocab; j += kThreads) {
    const float e = expf(z[j] - shift);
    if (j != y) {
      others += static_cast<double>(e);
      square = fma(static_cast<double>(e), static_cast<double>(e), square);
    }
    if (reference == nullptr) continue;
    const float r = expf(reference[j] - reference_shift);
    reference_sum += static_cast<double>(r);
    if (!wants_kl) continue;
    const double gap = (static_cast<double>(reference[j]) - static_cast<double>(reference_shift)) - (static_cast<double>(z[j]) - static_cast<double>(shift));
    const float weight = forward ? r : e;
    if (weight > 0.0f) divergence = fma(static_cast<double>(weight), forward ? gap : -gap, divergence);
  }
  others = block_sum(others, sums);
  const double target = y >= 0 ? exp(static_cast<double>(z[y]) - static_cast<double>(shift)) : 0.0;
  const double sum = others + target, log_sum = log(sum);
  double log_reference_sum = 0, kl = 0;
  if (reference != nullptr) {
    reference_sum = block_sum(reference_sum, sums);
    log_reference_sum = log(reference_sum);
    if (wants_kl) {
      divergence = block_sum(divergence, sums);
      kl = forward ? divergence / reference_sum - log_reference_sum + log_sum : divergence / sum - log_sum + log_reference_sum;
    }
  }
  if (a.el2n != nullptr) square = block_sum(square, sums);
  if (thread == 0) {
    if (a.log_prob != nullptr) a.log_prob[t] = y < 0 ? 0.0 : static_cast<double>(z[y]) - static_cast<double>(shift) - log_sum;
    if (a.el2n != nullptr) a.el2n[t] = y < 0 ? 0.0 : sqrt(fma(others, others, square)) / sum;
    if (a.margin != nullptr) a.margin[t] = y < 0 ? 0.0 : (target - exp(static_cast<double>(other) - static_cast<double>(shift))) / sum;
    if (a.kl != nullptr) a.kl[t] = kl;
    if (a.argmax != nullptr) a.argmax[t] = largest.index < a.vocab ? largest.index : 0;
  }
  if (!a.write_gradient) return;

  __syncthreads();  // thread 0 has read z[y]
  const float ce = a.ce_weight != nullptr && y >= 0 ? a.ce_weight[t] : 0.0f;
  const float weight = a.kl_weight != nullptr && reference != nullptr ? a.kl_weight[t] : 0.0f;
  const auto scale = static_cast<float>(1 / sum), reference_scale = reference != nullptr ? static_cast<float>(1 / reference_sum) : 0.0f;
  const double constant = log_reference_sum - log_sum - kl;  // of log p - log r - KL
  for (int64_t j = thread; j < a.vocab; j += kThreads) {
    const float p = expf(z[j] - shift) * scale;
    float gradient = ce * (p - (j == y ? 1.0f : 0.0f));
    if (weight != 0.0f) {
      if (forward) {
        gradient = fmaf(weight, p - expf(reference[j] - reference_shift) * reference_scale, gradient);
      } else if (p > 0.0f) {
        const double gap = (static_cast<double>(z[j]) - static_cast<double>(shift)) - (static_cast<double>(reference[j]) - static_cast<double>(reference_shift));
        gradient = fmaf(weight * p, static_cast<float>(gap + constant), gradient);
      }
    }
    z[j] = gradient;
  }
}

}  // namespace

int32_t token_loss(Context& context, const ms_token_loss_args& a) {
  if (a.rows == 0 || a.vocab == 0) return MS_OK;
  return launch(context, token_loss_kernel, dim3{static_cast<unsigned>(a.rows), 1, 1}, kThreads, 0, a);
}

}  // namespace mendset::cuda
