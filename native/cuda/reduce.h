// Sums, maxima and minima over a warp or a block in a fixed order.
#pragma once

#include "cuda/device.h"

namespace mendset::cuda {

template <typename T>
__device__ __forceinline__ T warp_sum(T value) {
MS_UNROLL
  for (int lanes = 16; lanes > 0; lanes /= 2) value += __shfl_xor_sync(kFullWarp, value, lanes);
  return value;
}
template <typename T>
__device__ __forceinline__ T warp_max(T value) {
MS_UNROLL
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    const T other = __shfl_xor_sync(kFullWarp, value, lanes);
    value = other > value ? other : value;
  }
  return value;
}

// Every thread receives the result. `shared` holds 32 values and may be used again at once.
template <typename T>
__device__ __forceinline__ T block_sum(T value, T* shared) {
  value = warp_sum(value);
  const int warp = static_cast<int>(threadIdx.x) / kWarp, warps = static_cast<int>(blockDim.x) / kWarp;
  __syncthreads();
  if (threadIdx.x % kWarp == 0) shared[warp] = value;
  __syncthreads();
  T total = shared[0];
  for (int w = 1; w < warps; ++w) total += shared[w];
  __syncthreads();
  return total;
}
template <typename T>
__device__ __forceinline__ T block_max(T value, T* shared) {
  value = warp_max(value);
  const int warp = static_cast<int>(threadIdx.x) / kWarp, warps = static_cast<int>(blockDim.x) / kWarp;
  __syncthreads();
  if (threadIdx.x % kWarp == 0) shared[warp] = value;
  __syncthreads();
  T most = shared[0];
  for (int w = 1; w < warps; ++w) most = shared[w] > most ? shared[w] : most;
  __syncthreads();
  return most;
}

}  // namespace mendset::cuda
