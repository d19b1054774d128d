// K-Center's local greedy on packed rows: picks, distances and the next pick inside the device, a barrier of all blocks between them.
#include "cuda/canonical.h"
#include "cuda/cuda_operations.h"
#include "cuda/grid_barrier.h"
#include "cuda/launch.h"

namespace mendset::cuda {
namespace {

constexpr int kPackThreads = 256;
constexpr int kPanel = 64;   // rows of a packed panel, and threads of a block: [panel][coordinate][64 rows]
constexpr int kDepth = 512;  // coordinates of the pick in shared memory at once
constexpr int kAhead = 32;   // coordinates of a row on their way from the second-level cache

// Rows side by side, so that 64 threads read 64 rows' next coordinate at once.
__global__ void __launch_bounds__(kPackThreads) pack_rows_kernel(ms_pack_rows_args a) {
  __shared__ float tile[kPanel][kWarp + 1];
  const int64_t panel = blockIdx.x, p = static_cast<int64_t>(blockIdx.y) * kWarp;
  for (int cell = static_cast<int>(threadIdx.x); cell < kPanel * kWarp; cell += kPackThreads) {
    const int64_t row = panel * kPanel + cell / kWarp, column = p + cell % kWarp;
    tile[cell / kWarp][cell % kWarp] = row < a.n && column < a.d ? a.x[a.index[row] * a.d + column] : 0.0f;
  }
  __syncthreads();
  for (int cell = static_cast<int>(threadIdx.x); cell < kPanel * kWarp; cell += kPackThreads) {
    const int64_t column = p + cell / kPanel;
    if (column < a.d) a.packed[(panel * a.d + column) * kPanel + cell % kPanel] = tile[cell % kPanel][cell / kPanel];
  }
}

// The farthest of some rows that are at or above the threshold, and how many those are.
struct alignas(16) Farthest {
  float m;
  int32_t place;  // -1: none
  int32_t open;
};
__device__ __forceinline__ Farthest farther(Farthest a, Farthest b) {
  const bool second = b.place >= 0 && (a.place < 0 || b.m > a.m || (b.m == a.m && b.place < a.place));
  return {second ? b.m : a.m, second ? b.place : a.place, a.open + b.open};
}

struct Shared {
  float pick[kDepth];
  Farthest warps[kPanel / kWarp];
};

// Every thread receives the result.
__device__ __forceinline__ Farthest block_farthest(Farthest own, Shared& shared) {
MS_UNROLL
  for (int lanes = 16; lanes > 0; lanes /= 2)
    own = farther(own, {__shfl_xor_sync(kFullWarp, own.m, lanes), __shfl_xor_sync(kFullWarp, own.place, lanes), __shfl_xor_sync(kFullWarp, own.open, lanes)});
  __syncthreads();
  if (threadIdx.x % kWarp == 0) shared.warps[threadIdx.x / kWarp] = own;
  __syncthreads();
  Farthest all = shared.warps[0];
  for (int w = 1; w < kPanel / kWarp; ++w) all = farther(all, shared.warps[w]);
  return all;
}

// The chain over x's coordinates, the next ones under way while these are added.
__device__ __forceinline__ float chain(float dot, const float* x, const float* pick, int depth) {
  float now[kAhead], next[kAhead];
  const int whole = depth / kAhead * kAhead;
MS_UNROLL
  for (int i = 0; i < kAhead; ++i) next[i] = i < whole ? x[i * kPanel] : 0.0f;
  for (int k = 0; k < whole; k += kAhead) {
MS_UNROLL
    for (int i = 0; i < kAhead; ++i) now[i] = next[i];
    if (k + kAhead < whole) {
MS_UNROLL
      for (int i = 0; i < kAhead; ++i) next[i] = x[(k + kAhead + i) * kPanel];
    }
MS_UNROLL
    for (int i = 0; i < kAhead; ++i) dot = fmaf(now[i], pick[k + i], dot);
  }
  for (int k = whole; k < depth; ++k) dot = fmaf(x[k * kPanel], pick[k], dot);
  return dot;
}

// Squared distance of the thread's row of a panel to the row `place`.
__device__ __forceinline__ float distance_to(const ms_pick_farthest_args& a, int64_t panel, int64_t place, Shared& shared) {
  const float* const x = a.packed + panel * a.d * kPanel + threadIdx.x;
  const float* const pick = a.packed + place / kPanel * a.d * kPanel + place % kPanel;
  float dot = 0.0f;
  for (int64_t p = 0; p < a.d; p += kDepth) {
    const int depth = static_cast<int>(a.d - p < kDepth ? a.d - p : kDepth);
    __syncthreads();
    for (int k = static_cast<int>(threadIdx.x); k < depth; k += kPanel) shared.pick[k] = pick[(p + k) * kPanel];
    __syncthreads();
    dot = chain(dot, x + p * kPanel, shared.pick, depth);
  }
  const int64_t row = panel * kPanel + threadIdx.x;
  return squared_distance(dot, x, kPanel, row < a.n ? a.x_norms[row] : 0.0f, pick, kPanel, a.x_norms[place], a.d);
}

// Rounds first .. last-1; round -1 only looks for the farthest row. What the blocks find in a round lies in one half of `found` while the next round
// writes the other, so that one barrier per round is enough. Without a barrier of all blocks a launch has one round.
__global__ void __launch_bounds__(kPanel) pick_farthest_kernel(ms_pick_farthest_args a, Farthest* found, int64_t first, int64_t last) {
  Shared& shared = *reinterpret_cast<Shared*>(dynamic_shared());
  const int64_t panels = ceil_div<int64_t>(a.n, kPanel);
  constexpr Farthest kNone{-INFINITY, -1, 0};
  for (int64_t round = first; round < last; ++round) {
    const Farthest* const before = found + (round & 1) * gridDim.x;
    Farthest* const after = found + ((round + 1) & 1) * gridDim.x;
    Farthest best = kNone;
    if (round < 0) {
      if (blockIdx.x == 0 && threadIdx.x == 0) *a.count = 0;
    } else {
      for (unsigned b = threadIdx.x; b < gridDim.x; b += kPanel) best = farther(best, before[b]);
      best = block_farthest(best, shared);
      // every block decides the same; a launch that follows must find the same again
      if (best.place < 0 || best.m == 0.0f || (round > 0 && best.open < a.fewest)) {
        if (threadIdx.x == 0) after[blockIdx.x] = before[blockIdx.x];
        return;
      }
      if (blockIdx.x == 0 && threadIdx.x == 0) {
        a.picks[round] = best.place;
        a.squares[round] = best.m;
        *a.count = round + 1;
      }
    }
    Farthest own = kNone;
    for (int64_t panel = blockIdx.x; panel < panels; panel += gridDim.x) {
      const int64_t row = panel * kPanel + threadIdx.x;
      float least = row < a.n ? a.m[row] : -INFINITY;
      if (round >= 0) {
        const float distance = distance_to(a, panel, best.place, shared);
        least = row == best.place ? -INFINITY : fminf(least, distance);
        if (row < a.n) a.m[row] = least;
      }
      if (least >= a.threshold) own = farther(own, {least, static_cast<int32_t>(row), 1});
    }
    own = block_farthest(own, shared);
    if (threadIdx.x == 0) after[blockIdx.x] = own;
    if (round + 1 < last) grid_barrier();
  }
}

}  // namespace

int32_t pack_rows(Context& context, const ms_pack_rows_args& a) {
  if (a.n == 0 || a.d == 0) return MS_OK;
  return launch(context, pack_rows_kernel, dim3{blocks_for(a.n, kPanel), blocks_for(a.d, kWarp), 1}, kPackThreads, 0, a);
}

int32_t pick_farthest(Context& context, const ms_pick_farthest_args& a) {
  const unsigned panels = blocks_for(a.n, kPanel);
  std::byte* memory;
  MS_CUDA_TRY(reserve(context, 2 * sizeof(Farthest) * panels, &memory));
  auto* const found = at<Farthest>(memory, 0);
  if (context.cooperative) {
    unsigned resident = 0;
    MS_CUDA_TRY(resident_blocks(context, pick_farthest_kernel, kPanel, sizeof(Shared), &resident));
    return launch_cooperative(context, pick_farthest_kernel, panels < resident ? panels : resident, kPanel, sizeof(Shared), a, found, int64_t{-1}, a.most);
  }
  for (int64_t round = -1; round < a.most; ++round)
    MS_CUDA_TRY(launch(context, pick_farthest_kernel, dim3{panels, 1, 1}, kPanel, sizeof(Shared), a, found, round, round + 1));
  return MS_OK;
}

}  // namespace mendset::cuda
