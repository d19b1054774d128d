// Squared distances by the canonical routine, for farthest-first selection.
#include "cuda/canonical.h"
#include "cuda/cuda_operations.h"
#include "cuda/launch.h"
#include "cuda/matrix_tile.h"

namespace mendset::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kFewRows = 128, kFewDepth = 32;  // of the kernel for few centres

// A thread per row; the tile turns through shared memory, so that reads are contiguous and a chain stays in one thread.
__global__ void __launch_bounds__(kFewRows) row_norms_kernel(ms_row_norms_args a) {
  __shared__ float tile[kFewRows][kFewDepth + 1];
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kFewRows;
  float sum = 0.0f;
  for (int64_t p = 0; p < a.d; p += kFewDepth) {
    __syncthreads();
    for (int cell = static_cast<int>(threadIdx.x); cell < kFewRows * kFewDepth; cell += kFewRows) {
      const int64_t row = first + cell / kFewDepth, column = p + cell % kFewDepth;
      tile[cell / kFewDepth][cell % kFewDepth] = row < a.n && column < a.d ? a.x[row * a.d + column] : 0.0f;
    }
    __syncthreads();
    for (int k = 0; k < kFewDepth; ++k) sum = fmaf(tile[threadIdx.x][k], tile[threadIdx.x][k], sum);
  }
  if (first + threadIdx.x < a.n) a.norms[first + threadIdx.x] = sum;
}

// m[i] and nearest[i] after the centres of one pass, in ascending order of centres.
struct NearestDistance {
  float value;
  int32_t centre;
  __device__ __forceinline__ void offer(float distance, int32_t number) {
    if (distance < value || (distance == value && number < centre)) value = distance, centre = number;
  }
};

// Up to kCentres centres in one pass over the rows; a thread per row.
template <int kCentres>
__global__ void __launch_bounds__(kFewRows) few_centres_kernel(ms_min_distance_args a, int64_t first_centre, int64_t centres) {
  __shared__ float tile[kFewRows][kFewDepth + 1];
  __shared__ float centre_tile[kCentres][kFewDepth];
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kFewRows, row = first + threadIdx.x;
  float dot[kCentres];
MS_UNROLL
  for (int j = 0; j < kCentres; ++j) dot[j] = 0.0f;
  for (int64_t p = 0; p < a.d; p += kFewDepth) {
    __syncthreads();
    for (int cell = static_cast<int>(threadIdx.x); cell < kFewRows * kFewDepth; cell += kFewRows) {
      const int64_t i = first + cell / kFewDepth, column = p + cell % kFewDepth;
      tile[cell / kFewDepth][cell % kFewDepth] = i < a.n && column < a.d ? a.x[i * a.d + column] : 0.0f;
    }
    for (int cell = static_cast<int>(threadIdx.x); cell < kCentres * kFewDepth; cell += kFewRows) {
      const int64_t j = cell / kFewDepth, column = p + cell % kFewDepth;
      centre_tile[j][cell % kFewDepth] = j < centres && column < a.d ? a.c[(first_centre + j) * a.d + column] : 0.0f;
    }
    __syncthreads();
MS_UNROLL_BY(8)
    for (int k = 0; k < kFewDepth; ++k) {
      const float value = tile[threadIdx.x][k];
MS_UNROLL
      for (int j = 0; j < kCentres; ++j) dot[j] = fmaf(value, centre_tile[j][k], dot[j]);
    }
  }
  if (row >= a.n) return;
  NearestDistance best{a.m[row], -1};
MS_UNROLL
  for (int j = 0; j < kCentres; ++j) {
    if (j >= centres) break;
    const int64_t c = first_centre + j;
    const float r = squared_distance(dot[j], a.x + row * a.d, 1, a.x_norms[row], a.c + c * a.d, 1, a.c_norms[c], a.d);
    if (r < best.value) best = {r, static_cast<int32_t>(c)};
  }
  if (best.centre < 0) return;
  a.m[row] = best.value;
  if (a.nearest != nullptr) a.nearest[row] = a.first_number + best.centre;
}

// 128 rows against all centres. A thread keeps the best of its columns for each of its eight rows; lanes and warps meet at the end.
__global__ void __launch_bounds__(kTileThreads) min_distance_kernel(ms_min_distance_args a) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kTile;
  NearestDistance best[8];
MS_UNROLL
  for (int i = 0; i < 8; ++i) best[i] = {__int_as_float(0x7f800000), 0x7fffffff};
  for (int64_t c = 0; c < a.centres; c += kTile) {
    TileSums dots;
    canonical_products(dots, rows_tile(a.x, a.n, a.d, first), rows_tile(a.c, a.centres, a.d, c));
    for_each_sum(dots, [&](int tile_row, int tile_column, float dot, int own) {
      const int64_t row = first + tile_row, centre = c + tile_column;
      if (row >= a.n || centre >= a.centres) return;
      best[own].offer(squared_distance(dot, a.x + row * a.d, 1, a.x_norms[row], a.c + centre * a.d, 1, a.c_norms[centre], a.d), static_cast<int32_t>(centre));
    });
  }
  auto* const found = reinterpret_cast<NearestDistance(*)[kTile]>(dynamic_shared());  // [4][kTile]: the products are done with it
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
MS_UNROLL
  for (int i = 0; i < 8; ++i) {
MS_UNROLL
    for (int lanes = 1; lanes < 4; lanes *= 2) {
      const float value = __shfl_xor_sync(kFullWarp, best[i].value, lanes);
      best[i].offer(value, __shfl_xor_sync(kFullWarp, best[i].centre, lanes));
    }
    if (threadIdx.x % 4 == 0) found[warp % 4][tile_row(i / 2, i % 2 * 2)] = best[i];
  }
  __syncthreads();
  const int64_t row = first + threadIdx.x;
  if (threadIdx.x >= kTile || row >= a.n) return;
  NearestDistance all = found[0][threadIdx.x];
  for (int w = 1; w < 4; ++w) all.offer(found[w][threadIdx.x].value, found[w][threadIdx.x].centre);
  if (!(all.value < a.m[row])) return;
  a.m[row] = all.value;
  if (a.nearest != nullptr) a.nearest[row] = a.first_number + all.centre;
}

// grid: x tiles of rows, y tiles of centres
__global__ void __launch_bounds__(kTileThreads) each_distance_kernel(ms_each_distance_args a) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kTile, c = static_cast<int64_t>(blockIdx.y) * kTile;
  TileSums dots;
  // centres as the tile's rows, so that neighbouring threads write neighbouring rows of x
  canonical_products(dots, rows_tile(a.c, a.centres, a.d, c), rows_tile(a.x, a.n, a.d, first));
  for_each_sum(dots, [&](int tile_row, int tile_column, float dot, int) {
    const int64_t centre = c + tile_row, row = first + tile_column;
    if (row >= a.n || centre >= a.centres) return;
    a.squares[centre * a.ld_squares + row] = squared_distance(dot, a.x + row * a.d, 1, a.x_norms[row], a.c + centre * a.d, 1, a.c_norms[centre], a.d);
  });
}

struct Largest {
  float value;
  int64_t index;  // -1: none
};
__device__ __forceinline__ Largest larger(Largest a, Largest b) {
  if (b.index < 0) return a;
  if (a.index < 0 || b.value > a.value || (b.value == a.value && b.index < a.index)) return b;
  return a;
}
constexpr int64_t kArgmaxShare = 1 << 14;

__device__ __forceinline__ Largest block_largest(Largest best) {
  __shared__ Largest shared[kThreads / kWarp];
MS_UNROLL
  for (int lanes = 16; lanes > 0; lanes /= 2) best = larger(best, {__shfl_xor_sync(kFullWarp, best.value, lanes), __shfl_xor_sync(kFullWarp, best.index, lanes)});
  if (threadIdx.x % kWarp == 0) shared[threadIdx.x / kWarp] = best;
  __syncthreads();
  best = shared[0];
  for (int w = 1; w < kThreads / kWarp; ++w) best = larger(best, shared[w]);
  return best;
}

__global__ void __launch_bounds__(kThreads) argmax_kernel(ms_argmax_args a, Largest* partials) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kArgmaxShare, last = first + kArgmaxShare < a.n ? first + kArgmaxShare : a.n;
  Largest best{-INFINITY, -1};
  for (int64_t i = first + threadIdx.x; i < last; i += kThreads) {
    if (a.taken[i] == 0) best = larger(best, {a.m[i], i});
  }
  best = block_largest(best);
  if (threadIdx.x == 0) partials[blockIdx.x] = best;
}

__global__ void __launch_bounds__(kThreads) argmax_final_kernel(int64_t shares, const Largest* partials, float* value, int64_t* index) {
  Largest best{-INFINITY, -1};
  for (int64_t i = threadIdx.x; i < shares; i += kThreads) best = larger(best, partials[i]);
  best = block_largest(best);
  if (threadIdx.x != 0) return;
  *value = best.value;
  *index = best.index;
}

}  // namespace

int32_t row_norms(Context& context, const ms_row_norms_args& a) {
  if (a.n == 0) return MS_OK;
  return launch(context, row_norms_kernel, dim3{blocks_for(a.n, kFewRows), 1, 1}, kFewRows, 0, a);
}

int32_t min_distance(Context& context, const ms_min_distance_args& a) {
  if (a.n == 0 || a.centres == 0) return MS_OK;
  const dim3 few{blocks_for(a.n, kFewRows), 1, 1};
  if (a.centres == 1) return launch(context, few_centres_kernel<1>, few, kFewRows, 0, a, int64_t{0}, int64_t{1});
  if (a.centres <= 16) {
    for (int64_t first = 0; first < a.centres; first += 8)
      MS_CUDA_TRY(launch(context, few_centres_kernel<8>, few, kFewRows, 0, a, first, a.centres - first < 8 ? a.centres - first : int64_t{8}));
    return MS_OK;
  }
  return launch(context, min_distance_kernel, dim3{blocks_for(a.n, kTile), 1, 1}, kTileThreads, kTileSharedBytes<Precision::fp32>, a);
}

int32_t each_distance(Context& context, const ms_each_distance_args& a) {
  if (a.n == 0 || a.centres == 0) return MS_OK;
  return launch(context, each_distance_kernel, dim3{blocks_for(a.n, kTile), blocks_for(a.centres, kTile), 1}, kTileThreads, kTileSharedBytes<Precision::fp32>, a);
}

int32_t argmax(Context& context, const ms_argmax_args& a) {
  const int64_t shares = a.n > 0 ? ceil_div<int64_t>(a.n, kArgmaxShare) : 0;
  std::byte* memory;
  MS_CUDA_TRY(reserve(context, static_cast<size_t>(shares + 1) * sizeof(Largest), &memory));
  auto* const partials = at<Largest>(memory, 0);
  if (shares > 0) MS_CUDA_TRY(launch(context, argmax_kernel, dim3{static_cast<unsigned>(shares), 1, 1}, kThreads, 0, a, partials));
  return launch(context, argmax_final_kernel, dim3{1, 1, 1}, kThreads, 0, shares, partials, a.value, a.index);
}

}  // namespace mendset::cuda
