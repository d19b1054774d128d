// The barrier of all threads of a grid, for kernels started by launch_cooperative. Such a kernel keeps its shared memory in dynamic_shared(): in the
// emulation the blocks of a grid have static shared variables in common.
#pragma once

#include "cuda/device.h"

#if defined(__CUDACC__)
#include <cooperative_groups.h>
#endif

namespace mendset::cuda {

// What a thread wrote to device memory before it is seen by every thread after it.
__device__ __forceinline__ void grid_barrier() {
#if defined(__CUDACC__)
  cooperative_groups::this_grid().sync();
#else
  cuda_emulation::grid_barrier();
#endif
}

}  // namespace mendset::cuda
