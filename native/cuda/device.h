// The language that kernels are written in: CUDA C++ under nvcc, its emulation under a host compiler (tests without a GPU).
#pragma once

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <math_constants.h>
#else
#include "cuda/emulation/device_language.h"
#endif

#include <cstddef>
#include <cstdint>

#include "mendset/backend.h"

// Loops over register arrays must be unrolled for nvcc; other compilers may do as they like.
#if defined(__CUDACC__)
#define MS_PRAGMA(text) _Pragma(#text)
#define MS_UNROLL MS_PRAGMA(unroll)
#define MS_UNROLL_BY(count) MS_PRAGMA(unroll count)
#else
#define MS_UNROLL
#define MS_UNROLL_BY(count)
#endif

namespace mendset::cuda {

constexpr int kWarp = 32;
constexpr unsigned kFullWarp = 0xffffffffu;

// Dynamic shared memory of the running block.
__device__ __forceinline__ unsigned char* dynamic_shared() {
#if defined(__CUDACC__)
  extern __shared__ __align__(128) unsigned char memory[];
  return memory;
#else
  return cuda_emulation::shared_memory();
#endif
}

template <typename T>
__host__ __device__ constexpr T ceil_div(T a, T b) {
  return (a + b - 1) / b;
}
template <typename T>
__host__ __device__ constexpr T round_up(T a, T b) {
  return (a + b - 1) / b * b;
}

}  // namespace mendset::cuda
