// Generation: attention of one new token over its cache, and filling the cache.
#include "cuda/cuda_operations.h"
#include "cuda/launch.h"
#include "cuda/reduce.h"

namespace mendset::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp;

__global__ void __launch_bounds__(kThreads) append_kernel(ms_decode_attention_args a) {
  const int64_t width = static_cast<int64_t>(a.kv_heads) * a.head_dim, index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= a.batch * width) return;
  const int64_t b = index / width, c = index % width, place = (a.slots[b] * a.capacity + a.lengths[b]) * width + c;
  a.k_cache[place] = a.k[b * a.ld_qkv + c];
  a.v_cache[place] = a.v[b * a.ld_qkv + c];
}

// A block per sequence and head: warp w takes keys w, w + 8, ... with a streaming softmax; the warps' parts are merged in order. Lane l holds
// columns l, l + 32, ... of the head, kColumns of them.
template <int kColumns>
__global__ void __launch_bounds__(kThreads) decode_attention_kernel(ms_decode_attention_args a) {
  __shared__ float values[kWarps][kColumns * kWarp];
  __shared__ float largest[kWarps], sums[kWarps];
  const int64_t b = blockIdx.x, h = blockIdx.y, width = static_cast<int64_t>(a.kv_heads) * a.head_dim;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t last = a.lengths[b], first = a.window > 0 && last - a.window + 1 > 0 ? last - a.window + 1 : 0;
  const int64_t cache = a.slots[b] * a.capacity * width + h * a.kv_heads / a.heads * a.head_dim;
  float q[kColumns], value[kColumns];
MS_UNROLL
  for (int i = 0; i < kColumns; ++i) {
    const int c = lane + i * kWarp;
    q[i] = c < a.head_dim ? a.scale * a.q[b * a.ld_qkv + h * a.head_dim + c] : 0.0f;
    value[i] = 0.0f;
  }
  float most = __int_as_float(0xff800000), sum = 0.0f;
  for (int64_t j = first + warp; j <= last; j += kWarps) {
    const float* const k = a.k_cache + cache + j * width;
    const float* const v = a.v_cache + cache + j * width;
    float score = 0.0f;
MS_UNROLL
    for (int i = 0; i < kColumns; ++i) {
      if (lane + i * kWarp < a.head_dim) score = fmaf(q[i], k[lane + i * kWarp], score);
    }
    score = warp_sum(score);
    const float next = score > most ? score : most, keep = expf(most - next), p = expf(score - next);
    most = next;
    sum = fmaf(sum, keep, p);
MS_UNROLL
    for (int i = 0; i < kColumns; ++i) {
      if (lane + i * kWarp < a.head_dim) value[i] = fmaf(value[i], keep, p * v[lane + i * kWarp]);
    }
  }
MS_UNROLL
  for (int i = 0; i < kColumns; ++i) values[warp][lane + i * kWarp] = value[i];
  if (lane == 0) largest[warp] = most, sums[warp] = sum;
  __syncthreads();
  const int64_t keys = last - first + 1;
  const int parts = keys < kWarps ? static_cast<int>(keys) : kWarps;  // the other warps saw no key
  float shift = largest[0];
  for (int w = 1; w < parts; ++w) shift = largest[w] > shift ? largest[w] : shift;
  float total = 0.0f;
  for (int w = 0; w < parts; ++w) total = fmaf(sums[w], expf(largest[w] - shift), total);
  for (int c = static_cast<int>(threadIdx.x); c < a.head_dim; c += kThreads) {
    float out = 0.0f;
    for (int w = 0; w < parts; ++w) out = fmaf(values[w][c], expf(largest[w] - shift), out);
    a.out[(b * a.heads + h) * a.head_dim + c] = out / total;
  }
}

__global__ void __launch_bounds__(kThreads) cache_fill_kernel(ms_cache_fill_args a) {
  const int64_t s = blockIdx.y, begin = a.offsets[s], count = (a.offsets[s + 1] - begin) * a.width;
  for (int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; index < count; index += static_cast<int64_t>(gridDim.x) * kThreads) {
    const int64_t t = index / a.width, c = index % a.width, place = (a.slots[s] * a.capacity + t) * a.width + c;
    a.k_cache[place] = a.k[(begin + t) * a.ld_qkv + c];
    a.v_cache[place] = a.v[(begin + t) * a.ld_qkv + c];
  }
}

}  // namespace

int32_t decode_attention(Context& context, const ms_decode_attention_args& a) {
  if (a.batch == 0 || a.heads == 0 || a.head_dim == 0) return MS_OK;
  if (a.head_dim > 256) return fail(context, MS_UNSUPPORTED, "heads of %d columns; the CUDA backend has up to 256", a.head_dim);
  const int64_t width = static_cast<int64_t>(a.kv_heads) * a.head_dim;
  MS_CUDA_TRY(launch(context, append_kernel, dim3{blocks_for(a.batch * width, kThreads), 1, 1}, kThreads, 0, a));
  const dim3 grid{static_cast<unsigned>(a.batch), static_cast<unsigned>(a.heads), 1};
  if (a.head_dim <= 64) return launch(context, decode_attention_kernel<2>, grid, kThreads, 0, a);
  if (a.head_dim <= 128) return launch(context, decode_attention_kernel<4>, grid, kThreads, 0, a);
  return launch(context, decode_attention_kernel<8>, grid, kThreads, 0, a);
}

int32_t cache_fill(Context& context, const ms_cache_fill_args& a) {
  if (a.rows == 0 || a.samples == 0 || a.width == 0) return MS_OK;
  const int64_t mean = ceil_div<int64_t>(a.rows, a.samples) * a.width;
  for (int64_t first = 0; first < a.samples; first += 65535) {  // a grid's y ends there
    ms_cache_fill_args part = a;
    part.offsets += first;
    part.slots += first;
    const int64_t samples = a.samples - first < 65535 ? a.samples - first : 65535;
    MS_CUDA_TRY(launch(context, cache_fill_kernel, dim3{blocks_for(mean, kThreads * 4), static_cast<unsigned>(samples), 1}, kThreads, 0, part));
  }
  return MS_OK;
}

}  // namespace mendset::cuda
