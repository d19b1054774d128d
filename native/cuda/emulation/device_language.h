// CUDA C++ as far as our kernels use it, for a host compiler: see block_emulator.h.
#pragma once

#include <math.h>

#include <bit>
#include <cstdint>
#include <cstring>

#include "cuda/emulation/block_emulator.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static  // the blocks of a grid run one after the other
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define __align__(n) __attribute__((aligned(n)))

#define threadIdx (::mendset::cuda_emulation::lane().thread)
#define blockIdx (::mendset::cuda_emulation::lane().block)
#define blockDim (::mendset::cuda_emulation::lane().block_size)
#define gridDim (::mendset::cuda_emulation::lane().grid)

using dim3 = ::mendset::cuda_emulation::Index3;

struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

inline void __syncthreads() { ::mendset::cuda_emulation::block_barrier(); }
inline void __syncwarp(unsigned = 0xffffffffu) { ::mendset::cuda_emulation::warp_barrier(); }

inline unsigned __float_as_uint(float value) { return std::bit_cast<unsigned>(value); }
inline float __uint_as_float(unsigned bits) { return std::bit_cast<float>(bits); }
inline int __float_as_int(float value) { return std::bit_cast<int>(value); }
inline float __int_as_float(int bits) { return std::bit_cast<float>(bits); }
inline int __popc(unsigned bits) { return std::popcount(bits); }
inline int __ffs(int bits) { return bits == 0 ? 0 : std::countr_zero(static_cast<unsigned>(bits)) + 1; }

template <typename T>
inline T __shfl_sync(unsigned, T value, int source) {
  static_assert(sizeof(T) <= ::mendset::cuda_emulation::kSlotBytes);
  unsigned char* const slots = ::mendset::cuda_emulation::begin_exchange();
  const unsigned self = threadIdx.x % 32;
  std::memcpy(slots + self * ::mendset::cuda_emulation::kSlotBytes, &value, sizeof(T));
  ::mendset::cuda_emulation::warp_barrier();
  std::memcpy(&value, slots + static_cast<unsigned>(source) % 32 * ::mendset::cuda_emulation::kSlotBytes, sizeof(T));
  return value;
}
template <typename T>
inline T __shfl_xor_sync(unsigned mask, T value, int lanes) {
  return __shfl_sync(mask, value, static_cast<int>(threadIdx.x % 32) ^ lanes);
}
template <typename T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned delta) {
  const unsigned self = threadIdx.x % 32;
  return __shfl_sync(mask, value, static_cast<int>(self >= delta ? self - delta : self));
}
inline unsigned __ballot_sync(unsigned, bool vote) {
  unsigned char* const slots = ::mendset::cuda_emulation::begin_exchange();
  slots[threadIdx.x % 32 * ::mendset::cuda_emulation::kSlotBytes] = vote ? 1 : 0;
  ::mendset::cuda_emulation::warp_barrier();
  unsigned votes = 0;
  for (unsigned l = 0; l < 32; ++l) votes |= static_cast<unsigned>(slots[l * ::mendset::cuda_emulation::kSlotBytes]) << l;
  return votes;
}

// Whole numbers only: results do not depend on the order.
template <typename T>
inline T atomicAdd(T* place, T value) {
  const T before = *place;
  *place = before + value;
  return before;
}
template <typename T>
inline T atomicMin(T* place, T value) {
  const T before = *place;
  if (value < before) *place = value;
  return before;
}
template <typename T>
inline T atomicMax(T* place, T value) {
  const T before = *place;
  if (value > before) *place = value;
  return before;
}
template <typename T>
inline T atomicOr(T* place, T value) {
  const T before = *place;
  *place = before | value;
  return before;
}
