// The nearest centre of every row. Labels are those of the canonical fp32 values, always. Where only labels are asked for and the device has
// bfloat16 tensor cores, a product in bfloat16 leaves out the centres that its error bound proves too far; what is left, usually one centre, is
// compared canonically.
#include "cuda/canonical.h"
#include "cuda/cuda_operations.h"
#include "cuda/launch.h"
#include "cuda/nearest_filter.h"
#include "cuda/operand.h"

namespace mendset::cuda {
namespace {

// Best and second best in order of (value, index).
struct TwoBest {
  float best, second;
  int32_t label, second_label;
  static __device__ __forceinline__ bool before(float v, int32_t j, float w, int32_t k) { return v < w || (v == w && j < k); }
  __device__ __forceinline__ void offer(float v, int32_t j) {
    if (before(v, j, best, label)) {
      second = best, second_label = label;
      best = v, label = j;
    } else if (before(v, j, second, second_label)) {
      second = v, second_label = j;
    }
  }
};
constexpr int32_t kNone = 0x7fffffff;

__global__ void __launch_bounds__(kTileThreads, 1) nearest_centre_kernel(ms_nearest_centre_args a) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kTile;
  const float infinity = __int_as_float(0x7f800000);
  TwoBest two[8];
MS_UNROLL
  for (int i = 0; i < 8; ++i) two[i] = {infinity, infinity, kNone, kNone};
  for (int64_t c = 0; c < a.k; c += kTile) {
    TileSums dot;
    canonical_products(dot, rows_tile(a.x, a.n, a.d, first), rows_tile(a.centres, a.k, a.d, c));
MS_UNROLL
    for (int n = 0; n < 4; ++n) {
MS_UNROLL
      for (int i = 0; i < 2; ++i) {
        const int64_t centre = c + tile_column(n, i);
        if (centre >= a.k) continue;
        const float norm = a.c_norms[centre];
MS_UNROLL
        for (int m = 0; m < 4; ++m) {
          two[2 * m].offer(fmaf(-2.0f, dot[m][n][i], norm), static_cast<int32_t>(centre));
          two[2 * m + 1].offer(fmaf(-2.0f, dot[m][n][i + 2], norm), static_cast<int32_t>(centre));
        }
      }
    }
  }
  auto* const found = reinterpret_cast<TwoBest(*)[kTile]>(dynamic_shared());  // [4][kTile]: the products are done with it
MS_UNROLL
  for (int i = 0; i < 8; ++i) {
MS_UNROLL
    for (int lanes = 1; lanes < 4; lanes *= 2) {
      const TwoBest other{__shfl_xor_sync(kFullWarp, two[i].best, lanes), __shfl_xor_sync(kFullWarp, two[i].second, lanes),
                          __shfl_xor_sync(kFullWarp, two[i].label, lanes), __shfl_xor_sync(kFullWarp, two[i].second_label, lanes)};
      two[i].offer(other.best, other.label);
      two[i].offer(other.second, other.second_label);
    }
    if (threadIdx.x % 4 == 0) found[threadIdx.x / kWarp % 4][tile_row(i / 2, i % 2 * 2)] = two[i];
  }
  __syncthreads();
  const int64_t row = first + threadIdx.x;
  if (threadIdx.x >= kTile || row >= a.n) return;
  TwoBest all = found[0][threadIdx.x];
  for (int w = 1; w < 4; ++w) {
    all.offer(found[w][threadIdx.x].best, found[w][threadIdx.x].label);
    all.offer(found[w][threadIdx.x].second, found[w][threadIdx.x].second_label);
  }
  // without a comparable value the first centre, as in ascending order
  a.labels[row] = all.label == kNone ? (a.k > 0 ? 0 : -1) : all.label;
  if (a.best != nullptr) a.best[row] = all.best;
  if (a.second_label != nullptr) a.second_label[row] = all.second_label == kNone ? -1 : all.second_label;
  if (a.second != nullptr) a.second[row] = all.second;
}

}  // namespace

int32_t nearest_centre(Context& context, const ms_nearest_centre_args& a) {
  if (a.n == 0) return MS_OK;
  const bool labels_only = a.best == nullptr && a.second == nullptr && a.second_label == nullptr;
  if (labels_only && nearest_filter_pays(context, a)) return nearest_by_filter(context, {a.x, a.centres, a.c_norms, nullptr, a.n, a.k, a.d, a.labels});
  return launch(context, nearest_centre_kernel, dim3{blocks_for(a.n, kTile), 1, 1}, kTileThreads, kTileSharedBytes<Precision::fp32>, a);
}

// The heads and the bounds affect time only: the pass is made without them, and says so through the bounds.
namespace {
__global__ void __launch_bounds__(256) forget_bounds_kernel(ms_nearest_bounded_args a) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * 256 + threadIdx.x;
  if (i == 0) a.evaluated[3] += a.n * a.k;
  if (i < a.n && a.upper != nullptr) a.lower[i] = a.gap[i] = __int_as_float(0xff800000);
}
}  // namespace

int32_t nearest_bounded(Context& context, const ms_nearest_bounded_args& a) {
  if (a.n == 0) return MS_OK;
  MS_CUDA_TRY(launch(context, forget_bounds_kernel, dim3{blocks_for(a.n, 256), 1, 1}, 256, 0, a));
  return nearest_by_filter(context, {a.x, a.centres, a.c_norms, a.centroids, a.n, a.k, a.d, a.labels});
}

}  // namespace mendset::cuda
