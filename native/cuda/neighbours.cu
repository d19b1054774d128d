// The k nearest rows, and the gains of facility location.
#include "cuda/canonical.h"
#include "cuda/cuda_operations.h"
#include "cuda/launch.h"
#include "cuda/matrix_tile.h"
#include "cuda/reduce.h"

namespace mendset::cuda {
namespace {

constexpr int kThreads = 256;
static_assert(kTile * kTile * sizeof(float) <= kTileSharedBytes<Precision::fp32>);

// 128 rows against all candidates. The distances of a tile lie in shared memory by candidate, and a thread per row inserts them in order.
__global__ void __launch_bounds__(kTileThreads) nearest_rows_kernel(ms_nearest_rows_args a) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kTile, own = first + threadIdx.x;
  auto* const tile = reinterpret_cast<float*>(dynamic_shared());  // [candidate][row]
  const bool inserts = threadIdx.x < kTile && own < a.n;
  float* const distances = a.distances + (inserts ? own : 0) * a.k;
  int32_t* const indices = a.indices + (inserts ? own : 0) * a.k;
  for (int64_t c = 0; c < a.candidates; c += kTile) {
    TileSums dots;
    canonical_products(dots, rows_tile(a.x, a.n, a.d, first), rows_tile(a.c, a.candidates, a.d, c));
    for_each_sum(dots, [&](int tile_row, int tile_column, float dot, int) {
      const int64_t row = first + tile_row, candidate = c + tile_column;
      if (row >= a.n || candidate >= a.candidates) return;
      tile[tile_column * kTile + tile_row] = squared_distance(dot, a.x + row * a.d, 1, a.x_norms[row], a.c + candidate * a.d, 1, a.c_norms[candidate], a.d);
    });
    __syncthreads();
    if (inserts) {
      const int64_t count = a.candidates - c < kTile ? a.candidates - c : kTile;
      float worst = distances[a.k - 1];
      for (int64_t j = 0; j < count; ++j) {
        const float r = tile[j * kTile + threadIdx.x];
        if (!(r < worst) || a.first_row + own == a.first_candidate + c + j) continue;
        int64_t place = a.k - 1;
        for (; place > 0 && r < distances[place - 1]; --place) {
          distances[place] = distances[place - 1];
          indices[place] = indices[place - 1];
        }
        distances[place] = r;
        indices[place] = static_cast<int32_t>(a.first_candidate + c + j);
        worst = distances[a.k - 1];
      }
    }
    __syncthreads();
  }
}

// The rise of a row by a candidate, and what the row's best becomes.
struct Rise {
  float rise, value;
};
__device__ __forceinline__ Rise rise_of(const ms_coverage_gains_args& a, float dot, int64_t row, int64_t candidate) {
  if (a.similarity == MS_SIMILARITY_DOT) {
    const float value = fmaxf(dot, 0.0f);
    return {value - a.best[row], value};
  }
  const float value = squared_distance(dot, a.x + row * a.d, 1, a.x_norms[row], a.c + candidate * a.d, 1, a.c_norms[candidate], a.d);
  return {a.best[row] - value, value};
}

// grid: x tiles of candidates, y shares of the rows. partials [shares, candidates]; sums on the grid are exact in any order.
__global__ void __launch_bounds__(kTileThreads) coverage_gains_kernel(ms_coverage_gains_args a, double* partials) {
  const int64_t c = static_cast<int64_t>(blockIdx.x) * kTile, tiles = ceil_div<int64_t>(a.n, kTile);
  const int64_t begin = tiles * blockIdx.y / gridDim.y, end = tiles * (blockIdx.y + 1) / gridDim.y;
  double gain[8] = {};
  for (int64_t t = begin; t < end; ++t) {
    TileSums dots;
    canonical_products(dots, rows_tile(a.c, a.candidates, a.d, c), rows_tile(a.x, a.n, a.d, t * kTile));
    for_each_sum(dots, [&](int tile_row, int tile_column, float dot, int own) {
      const int64_t candidate = c + tile_row, row = t * kTile + tile_column;
      if (row >= a.n || candidate >= a.candidates) return;
      const float rise = rise_of(a, dot, row, candidate).rise;
      if (rise > 0.0f) gain[own] += (static_cast<double>(rise) + a.grid) - a.grid;
    });
  }
  auto* const gains = reinterpret_cast<double(*)[kTile]>(dynamic_shared());  // [4][kTile]: the products are done with it
MS_UNROLL
  for (int i = 0; i < 8; ++i) {
    gain[i] += __shfl_xor_sync(kFullWarp, gain[i], 1);
    gain[i] += __shfl_xor_sync(kFullWarp, gain[i], 2);
    if (threadIdx.x % 4 == 0) gains[threadIdx.x / kWarp % 4][tile_row(i / 2, i % 2 * 2)] = gain[i];
  }
  __syncthreads();
  if (threadIdx.x >= kTile || c + threadIdx.x >= a.candidates) return;
  double sum = 0;
  for (int w = 0; w < 4; ++w) sum += gains[w][threadIdx.x];
  partials[blockIdx.y * a.candidates + c + threadIdx.x] = sum;
}

__global__ void __launch_bounds__(kThreads) add_gains_kernel(int64_t candidates, int64_t shares, const double* partials, double* gains) {
  const int64_t j = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (j >= candidates) return;
  double sum = 0;
  for (int64_t s = 0; s < shares; ++s) sum += partials[s * candidates + j];
  gains[j] += sum;
}

__global__ void __launch_bounds__(kThreads) coverage_update_kernel(ms_coverage_gains_args a) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= a.n) return;
  const Rise rise = rise_of(a, canonical_dot(a.x + i * a.d, a.c, a.d), i, 0);
  if (rise.rise > 0.0f) a.best[i] = rise.value;
}

}  // namespace

int32_t nearest_rows(Context& context, const ms_nearest_rows_args& a) {
  if (a.n == 0 || a.candidates == 0 || a.k == 0) return MS_OK;
  return launch(context, nearest_rows_kernel, dim3{blocks_for(a.n, kTile), 1, 1}, kTileThreads, kTileSharedBytes<Precision::fp32>, a);
}

int32_t coverage_gains(Context& context, const ms_coverage_gains_args& a) {
  if (a.n == 0) return MS_OK;
  if (a.update) return launch(context, coverage_update_kernel, dim3{blocks_for(a.n, kThreads), 1, 1}, kThreads, 0, a);
  if (a.candidates == 0) return MS_OK;
  const int64_t tiles = ceil_div<int64_t>(a.candidates, kTile), row_tiles = ceil_div<int64_t>(a.n, kTile);
  int64_t shares = ceil_div<int64_t>(4 * context.multiprocessors, tiles);
  if (shares > row_tiles) shares = row_tiles;
  std::byte* memory;
  MS_CUDA_TRY(reserve(context, static_cast<size_t>(shares * a.candidates) * sizeof(double), &memory));
  auto* const partials = at<double>(memory, 0);
  MS_CUDA_TRY(launch(context, coverage_gains_kernel, dim3{static_cast<unsigned>(tiles), static_cast<unsigned>(shares), 1}, kTileThreads,
                     kTileSharedBytes<Precision::fp32>, a, partials));
  return launch(context, add_gains_kernel, dim3{blocks_for(a.candidates, kThreads), 1, 1}, kThreads, 0, a.candidates, shares, partials, a.gains);
}

}  // namespace mendset::cuda
