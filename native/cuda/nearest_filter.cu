// With x^, c^ the rows rounded to bfloat16 and w(i, j) = |c_j|^2 - 2 x^_i . c^_j from the tensor cores, the canonical value v(i, j) lies within
//   E_i = 2 (|x_i - x^_i| R + |x^_i| S) + 2 d 2^-21 (|x_i| + |x_i - x^_i|) (R + S) + 2^-22 (R + 2 |x_i|) R
// of w(i, j), where R = max |c_j| and S = max |c_j - c^_j|: rounding of the operands, of both sums (2^-21 per term covers truncating tensor cores and
// the canonical chain), and of the last operation. So the nearest centre is among those with w(i, j) <= min_j w(i, j) + 2 E_i.
// A row keeps up to eight of them; rows with one are done, the others compare their candidates exactly, and rows with more take every centre.
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
__global__ void __launch_bounds__(kThreads) rounding_norms_kernel(int64_t n, int64_t d, const float* x, bool rounded, float* bounds, uint32_t* most) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * (kThreads / kWarp) + threadIdx.x / kWarp;
  if (row >= n) return;
  float length = 0.0f, error = 0.0f;
  for (int64_t p = threadIdx.x % kWarp; p < d; p += kWarp) {
    const float value = x[row * d + p], difference = rounded ? value - from_bf16(to_bf16(value)) : 0.0f;
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
  NearestQuestion q;
  const float* bounds;   // [n, 2]
  const uint32_t* most;  // [2]
};

// What decides between a row's candidates: the canonical fp32 value, or the fp64 distance of label_distances.
__device__ __forceinline__ double exact_value(const NearestQuestion& q, int64_t row, int64_t centre) {
  const float* const x = q.x + row * q.d;
  if (q.centroids == nullptr) return static_cast<double>(fmaf(-2.0f, canonical_dot(x, q.centres + centre * q.d, q.d), q.c_norms[centre]));
  const double* const c = q.centroids + centre * q.d;
  double sums[8] = {};
  int64_t p = 0;
  for (; p + 8 <= q.d; p += 8) {
    MS_UNROLL
    for (int i = 0; i < 8; ++i) {
      const double difference = static_cast<double>(x[p + i]) - c[p + i];
      sums[i] += difference * difference;
    }
  }
  MS_UNROLL
  for (int i = 0; i < 8; ++i) {
    if (p + i >= q.d) continue;
    const double difference = static_cast<double>(x[p + i]) - c[p + i];
    sums[i] += difference * difference;
  }
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

template <Precision kPrecision, int kStages>
__global__ void __launch_bounds__(kTileThreads) nearest_filter_kernel(Operand rows, Operand centres, Filter f) {
  __shared__ unsigned least[kTile];  // ordered(min w) so far
  __shared__ float margin[kTile];    // 2 E
  __shared__ int counts[kTile];
  __shared__ int32_t candidates[kTile][kList];
  __shared__ float values[kTile][kList];
  // after the last product: [row][candidate], then the warps' bests of a row that takes every centre
  auto* const exact = reinterpret_cast<double*>(dynamic_shared());
  const NearestQuestion& q = f.q;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kTile;
  const int thread = static_cast<int>(threadIdx.x);
  if (thread < kTile) {
    const int64_t row = first + thread;
    const float x = row < q.n ? f.bounds[2 * row] : 0.0f, error = row < q.n ? f.bounds[2 * row + 1] : 0.0f;
    const float r = __uint_as_float(f.most[0]), s = __uint_as_float(f.most[1]);
    const float bound = 2.0f * (error * r + (x + error) * s) + 2.0f * static_cast<float>(q.d) * 0x1p-21f * (x + error) * (r + s) + 0x1p-22f * (r + 2.0f * x) * r +
                        static_cast<float>(q.d + 8) * 0x1p-23f * r * r + 0x1p-22f * x * r;
    margin[thread] = 2.0f * bound * (1.0f + 0x1p-18f);
    least[thread] = ordered(__int_as_float(0x7f800000));
    counts[thread] = 0;
  }
  __syncthreads();
  for (int64_t c = 0; c < q.k; c += kTile) {
    TileSums w;
    clear(w);
    tile_product<kPrecision, kStages>(w, rows.tile(blockIdx.x, 0, 0), centres.tile(c / kTile, 0, 0), rows.row_bytes / kTileRowBytes, dynamic_shared());
MS_UNROLL
    for (int n = 0; n < 4; ++n) {
MS_UNROLL
      for (int i = 0; i < 2; ++i) {
        const int64_t centre = c + tile_column(n, i);
        const float norm = centre < q.k ? q.c_norms[centre] : __int_as_float(0x7f800000);
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
            if (!(value <= limit) || c + tile_column(n, i) >= q.k) continue;
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
    if (kept == 1 && first + thread < q.n) q.labels[first + thread] = candidates[thread][0];
  }
  __syncthreads();
  for (int pair = thread; pair < kTile * kList; pair += kTileThreads) {
    const int row = pair / kList, e = pair % kList;
    if (counts[row] > 1 && counts[row] <= kList && e < counts[row] && first + row < q.n) exact[pair] = exact_value(q, first + row, candidates[row][e]);
  }
  __syncthreads();
  if (thread < kTile && counts[thread] > 1 && counts[thread] <= kList && first + thread < q.n) {
    int best = 0;
    for (int e = 1; e < counts[thread]; ++e) {
      const double value = exact[thread * kList + e], least_value = exact[thread * kList + best];
      if (value < least_value || (value == least_value && candidates[thread][e] < candidates[thread][best])) best = e;
    }
    q.labels[first + thread] = candidates[thread][best];
  }
  __syncthreads();
  for (int row = 0; row < kTile && first + row < q.n; ++row) {
    if (counts[row] <= kList) continue;
    double value = static_cast<double>(__int_as_float(0x7f800000));
    int32_t label = 0x7fffffff;
    for (int64_t j = thread; j < q.k; j += kTileThreads) {
      const double other = exact_value(q, first + row, j);
      if (other < value || (other == value && j < label)) value = other, label = static_cast<int32_t>(j);
    }
    MS_UNROLL
    for (int lanes = 16; lanes > 0; lanes /= 2) {
      const double other = __shfl_xor_sync(kFullWarp, value, lanes);
      const int32_t other_label = __shfl_xor_sync(kFullWarp, label, lanes);
      if (other < value || (other == value && other_label < label)) value = other, label = other_label;
    }
    __syncthreads();  // the row's candidates are not needed any more
    if (thread % kWarp == 0) exact[thread / kWarp] = value, candidates[row][thread / kWarp % kList] = label;
    __syncthreads();
    if (thread == 0) {
      for (int other = 1; other < kTileThreads / kWarp; ++other) {
        if (exact[other] < value || (exact[other] == value && candidates[row][other] < label)) value = exact[other], label = candidates[row][other];
      }
      q.labels[first + row] = label == 0x7fffffff ? 0 : label;
    }
  }
}

}  // namespace

// Below these sizes the product is a small part of the pass.
bool nearest_filter_pays(const Context& context, const ms_nearest_centre_args& a) { return context.tensor_cores && a.k >= 32 && a.d >= 32 && a.n >= kTile; }

int32_t nearest_by_filter(Context& context, const NearestQuestion& q) {
  const bool rounded = context.tensor_cores;
  const Precision precision = rounded ? Precision::bf16 : Precision::fp32;
  ScratchPlan plan;
  const size_t rows_at = plan.add<std::byte>(operand_bytes(precision, q.n, q.d)), centres_at = plan.add<std::byte>(operand_bytes(precision, q.k, q.d));
  const size_t bounds_at = plan.add<float>(2 * q.n), most_at = plan.add<uint32_t>(2);
  std::byte* base;
  MS_CUDA_TRY(reserve(context, plan.bytes(), &base));
  Operand rows, centres;
  MS_CUDA_TRY(pack_operand(context, precision, {q.x, q.d, false, MS_ACTIVATION_NONE}, q.n, q.d, base + rows_at, &rows));
  MS_CUDA_TRY(pack_operand(context, precision, {q.centres, q.d, false, MS_ACTIVATION_NONE}, q.k, q.d, base + centres_at, &centres));
  auto* const bounds = at<float>(base, bounds_at);
  auto* const most = at<uint32_t>(base, most_at);
  const dim3 row_blocks{blocks_for(q.n, kThreads / kWarp), 1, 1}, centre_blocks{blocks_for(q.k, kThreads / kWarp), 1, 1};
  MS_CUDA_TRY(zero(context, most, 2 * sizeof(uint32_t)));
  MS_CUDA_TRY(launch(context, rounding_norms_kernel, row_blocks, kThreads, 0, q.n, q.d, q.x, rounded, bounds, static_cast<uint32_t*>(nullptr)));
  MS_CUDA_TRY(launch(context, rounding_norms_kernel, centre_blocks, kThreads, 0, q.k, q.d, q.centres, rounded, static_cast<float*>(nullptr), most));
  const Filter filter{q, bounds, most};
  const dim3 grid{blocks_for(q.n, kTile), 1, 1};
  constexpr size_t kStatic = 12 << 10;  // of the kernel's own arrays
  constexpr size_t kOne = kStageBytes, kTwo = 2 * kOne, kThree = 3 * kOne;
  if (!rounded) return launch(context, nearest_filter_kernel<Precision::fp32, 1>, grid, kTileThreads, kOne, rows, centres, filter);
  if (context.shared_per_block >= kThree + kStatic) return launch(context, nearest_filter_kernel<Precision::bf16, 3>, grid, kTileThreads, kThree, rows, centres, filter);
  return launch(context, nearest_filter_kernel<Precision::bf16, 2>, grid, kTileThreads, kTwo, rows, centres, filter);
}

}  // namespace mendset::cuda
