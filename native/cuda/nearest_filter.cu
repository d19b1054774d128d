// With x^, c^ the rows rounded to bfloat16 and w(i, j) = |c_j|^2 - 2 x^_i . c^_j from the tensor cores, the canonical value v(i, j) lies within
//   E_i = 2 (|x_i - x^_i| R + |x^_i| S) + 2 d 2^-21 (|x_i| + |x_i - x^_i|) (R + S) + 2^-22 (R + 2 |x_i|) R
// of w(i, j), where R = max |c_j| and S = max |c_j - c^_j|: rounding of the operands, of both sums (2^-21 per term covers truncating tensor cores and
// the canonical chain), and of the last operation. So the nearest centre is among those with w(i, j) <= min_j w(i, j) + 2 E_i.
// A row keeps up to eight of them; rows with one are done, the others compare their candidates canonically, and rows with more take every centre.
#include "cuda/nearest_filter.h"

#include "cuda/canonical.h"
#include "cuda/launch.h"
#include "cuda/operand.h"
#include "cuda/reduce.h"

namespace mendset::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kList = 8;

// Norms of rows and of their rounding errors, rounded up. bounds [n, 2]; most [2] (bits of non-negative fp32, nullable): the largest of each.
__global__ void __launch_bounds__(kThreads) rounding_norms_kernel(int64_t n, int64_t d, const float* x, float* bounds, uint32_t* most) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * (kThreads / kWarp) + threadIdx.x / kWarp;
  if (row >= n) return;
  float length = 0.0f, error = 0.0f;
  for (int64_t p = threadIdx.x % kWarp; p < d; p += kWarp) {
    const float value = x[row * d + p], difference = value - from_bf16(to_bf16(value));
    length = fmaf(value, value, length);
    error = fmaf(difference, difference, error);
  }
  const float slack = 1.0f + 0x1p-20f + static_cast<float>(d) * 0x1p-23f;  // of the sums and roots here
  length = sqrtf(warp_sum(length)) * slack;
  error = sqrtf(warp_sum(error)) * slack;
  if (threadIdx.x % kWarp != 0) return;
  if (bounds != nullptr) bounds[2 * row] = length, bounds[2 * row + 1] = error;
  if (most != nullptr) {
    atomicMax(most, __float_as_uint(length));
    atomicMax(most + 1, __float_as_uint(error));
  }
}

// Order of fp32 values as order of whole numbers.
__device__ __forceinline__ unsigned ordered(float value) {
  const unsigned bits = __float_as_uint(value);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}
__device__ __forceinline__ float from_ordered(unsigned bits) { return __uint_as_float((bits & 0x80000000u) != 0 ? bits & 0x7fffffffu : ~bits); }

struct Filter {
  const float* x;        // [n, d]
  const float* centres;  // [k, d]
  const float* c_norms;
  const float* bounds;   // [n, 2]
  const uint32_t* most;  // [2]
  int64_t n, k, d;
  int32_t* labels;
};

__device__ __forceinline__ float canonical_value(const Filter& f, int64_t row, int64_t centre) {
  return fmaf(-2.0f, canonical_dot(f.x + row * f.d, f.centres + centre * f.d, f.d), f.c_norms[centre]);
}

template <int kStages>
__global__ void __launch_bounds__(kTileThreads) nearest_filter_kernel(Operand rows, Operand centres, Filter f) {
  __shared__ unsigned least[kTile];  // ordered(min w) so far
  __shared__ float margin[kTile];    // 2 E
  __shared__ int counts[kTile];
  __shared__ int32_t candidates[kTile][kList];
  __shared__ float values[kTile][kList];
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kTile;
  const int thread = static_cast<int>(threadIdx.x);
  if (thread < kTile) {
    const int64_t row = first + thread;
    const float x = row < f.n ? f.bounds[2 * row] : 0.0f, error = row < f.n ? f.bounds[2 * row + 1] : 0.0f;
    const float r = __uint_as_float(f.most[0]), s = __uint_as_float(f.most[1]);
    const float bound = 2.0f * (error * r + (x + error) * s) + 2.0f * static_cast<float>(f.d) * 0x1p-21f * (x + error) * (r + s) + 0x1p-22f * (r + 2.0f * x) * r;
    margin[thread] = 2.0f * bound * (1.0f + 0x1p-18f);
    least[thread] = ordered(__int_as_float(0x7f800000));
    counts[thread] = 0;
  }
  __syncthreads();
  for (int64_t c = 0; c < f.k; c += kTile) {
    TileSums w;
    clear(w);
    tile_product<Precision::bf16, kStages>(w, rows.tile(blockIdx.x, 0, 0), centres.tile(c / kTile, 0, 0), rows.row_bytes / kTileRowBytes, dynamic_shared());
MS_UNROLL
    for (int n = 0; n < 4; ++n) {
MS_UNROLL
      for (int i = 0; i < 2; ++i) {
        const int64_t centre = c + tile_column(n, i);
        const float norm = centre < f.k ? f.c_norms[centre] : __int_as_float(0x7f800000);
MS_UNROLL
        for (int m = 0; m < 4; ++m) {
          w[m][n][i] = fmaf(-2.0f, w[m][n][i], norm);
          w[m][n][i + 2] = fmaf(-2.0f, w[m][n][i + 2], norm);
        }
      }
    }
MS_UNROLL
    for (int m = 0; m < 4; ++m) {
MS_UNROLL
      for (int half = 0; half < 2; ++half) {
        float smallest = w[m][0][2 * half];
MS_UNROLL
        for (int n = 0; n < 4; ++n) smallest = fminf(smallest, fminf(w[m][n][2 * half], w[m][n][2 * half + 1]));
        smallest = fminf(smallest, __shfl_xor_sync(kFullWarp, smallest, 1));
        smallest = fminf(smallest, __shfl_xor_sync(kFullWarp, smallest, 2));
        if (thread % 4 == 0) atomicMin(&least[tile_row(m, 2 * half)], ordered(smallest));
      }
    }
    __syncthreads();
MS_UNROLL
    for (int m = 0; m < 4; ++m) {
MS_UNROLL
      for (int half = 0; half < 2; ++half) {
        const int row = tile_row(m, 2 * half);
        const float limit = from_ordered(least[row]) + margin[row];
MS_UNROLL
        for (int n = 0; n < 4; ++n) {
MS_UNROLL
          for (int i = 0; i < 2; ++i) {
            const float value = w[m][n][2 * half + i];
            if (!(value <= limit) || c + tile_column(n, i) >= f.k) continue;
            const int place = atomicAdd(&counts[row], 1);
            if (place >= kList) continue;
            candidates[row][place] = static_cast<int32_t>(c + tile_column(n, i));
            values[row][place] = value;
          }
        }
      }
    }
  }
  __syncthreads();

  // what the final minimum leaves; too many, or none that compares, asks for every centre
  if (thread < kTile) {
    const float limit = from_ordered(least[thread]) + margin[thread];
    const int count = counts[thread];
    int kept = 0;
    for (int e = 0; e < count && count <= kList; ++e) {
      if (values[thread][e] <= limit) candidates[thread][kept] = candidates[thread][e], ++kept;
    }
    counts[thread] = kept > 0 ? kept : kList + 1;
    if (kept == 1 && first + thread < f.n) f.labels[first + thread] = candidates[thread][0];
  }
  __syncthreads();
  for (int pair = thread; pair < kTile * kList; pair += kTileThreads) {
    const int row = pair / kList, e = pair % kList;
    if (counts[row] > 1 && counts[row] <= kList && e < counts[row] && first + row < f.n) values[row][e] = canonical_value(f, first + row, candidates[row][e]);
  }
  __syncthreads();
  if (thread < kTile && counts[thread] > 1 && counts[thread] <= kList && first + thread < f.n) {
    int best = 0;
    for (int e = 1; e < counts[thread]; ++e) {
      const float value = values[thread][e];
      if (value < values[thread][best] || (value == values[thread][best] && candidates[thread][e] < candidates[thread][best])) best = e;
    }
    f.labels[first + thread] = candidates[thread][best];
  }
  for (int row = 0; row < kTile && first + row < f.n; ++row) {
    if (counts[row] <= kList) continue;
    float value = __int_as_float(0x7f800000);
    int32_t label = 0x7fffffff;
    for (int64_t j = thread; j < f.k; j += kTileThreads) {
      const float other = canonical_value(f, first + row, j);
      if (other < value || (other == value && j < label)) value = other, label = static_cast<int32_t>(j);
    }
MS_UNROLL
    for (int lanes = 16; lanes > 0; lanes /= 2) {
      const float other = __shfl_xor_sync(kFullWarp, value, lanes);
      const int32_t other_label = __shfl_xor_sync(kFullWarp, label, lanes);
      if (other < value || (other == value && other_label < label)) value = other, label = other_label;
    }
    __syncthreads();  // margin and least are free: they carry the warps' bests
    if (thread % kWarp == 0) margin[thread / kWarp] = value, candidates[row][thread / kWarp % kList] = label;
    __syncthreads();
    if (thread == 0) {
      for (int other = 1; other < kTileThreads / kWarp; ++other) {
        if (margin[other] < value || (margin[other] == value && candidates[row][other] < label)) value = margin[other], label = candidates[row][other];
      }
      f.labels[first + row] = label == 0x7fffffff ? 0 : label;
    }
  }
}

}  // namespace

// Below these sizes the product is a small part of the pass.
bool nearest_filter_pays(const Context& context, const ms_nearest_centre_args& a) { return context.tensor_cores && a.k >= 32 && a.d >= 32 && a.n >= kTile; }

int32_t nearest_by_filter(Context& context, const ms_nearest_centre_args& a) {
  ScratchPlan plan;
  const size_t rows_at = plan.add<std::byte>(operand_bytes(Precision::bf16, a.n, a.d)), centres_at = plan.add<std::byte>(operand_bytes(Precision::bf16, a.k, a.d));
  const size_t bounds_at = plan.add<float>(2 * a.n), most_at = plan.add<uint32_t>(2);
  std::byte* base;
  MS_CUDA_TRY(reserve(context, plan.bytes(), &base));
  Operand rows, centres;
  MS_CUDA_TRY(pack_operand(context, Precision::bf16, {a.x, a.d, false, MS_ACTIVATION_NONE}, a.n, a.d, base + rows_at, &rows));
  MS_CUDA_TRY(pack_operand(context, Precision::bf16, {a.centres, a.d, false, MS_ACTIVATION_NONE}, a.k, a.d, base + centres_at, &centres));
  auto* const bounds = at<float>(base, bounds_at);
  auto* const most = at<uint32_t>(base, most_at);
  MS_CUDA_TRY(zero(context, most, 2 * sizeof(uint32_t)));
  MS_CUDA_TRY(launch(context, rounding_norms_kernel, dim3{blocks_for(a.n, kThreads / kWarp), 1, 1}, kThreads, 0, a.n, a.d, a.x, bounds, static_cast<uint32_t*>(nullptr)));
  MS_CUDA_TRY(launch(context, rounding_norms_kernel, dim3{blocks_for(a.k, kThreads / kWarp), 1, 1}, kThreads, 0, a.k, a.d, a.centres, static_cast<float*>(nullptr), most));
  const Filter filter{a.x, a.centres, a.c_norms, bounds, most, a.n, a.k, a.d, a.labels};
  const dim3 grid{blocks_for(a.n, kTile), 1, 1};
  constexpr size_t kStatic = 12 << 10;  // of the kernel's own arrays
  if (context.shared_per_block >= 3 * static_cast<size_t>(kStageBytes) + kStatic)
    return launch(context, nearest_filter_kernel<3>, grid, kTileThreads, 3 * static_cast<size_t>(kStageBytes), rows, centres, filter);
  return launch(context, nearest_filter_kernel<2>, grid, kTileThreads, 2 * static_cast<size_t>(kStageBytes), rows, centres, filter);
}

}  // namespace mendset::cuda
