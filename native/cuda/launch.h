// Starting a kernel on the context's stream.
#pragma once

#include "cuda/context.h"

namespace mendset::cuda {

#if defined(__CUDACC__)
cudaStream_t stream_of(Context& context);
#else
cuda_emulation::Order order_of(Context& context);
// Device memory may be touched by kernels and transfers alone.
void expose_memory(Context& context, bool exposed);
#endif

// Blocks for `count` items; a grid's x reaches 2^31 - 1.
inline unsigned blocks_for(int64_t count, int64_t per_block) { return static_cast<unsigned>(count <= 0 ? 1 : ceil_div(count, per_block)); }

template <typename... Parameters, typename... Arguments>
int32_t launch(Context& context, void (*kernel)(Parameters...), dim3 grid, int threads, size_t shared_bytes, Arguments... arguments) {
  if (context.measuring) return MS_OK;
#if defined(__CUDACC__)
  if (shared_bytes > (32 << 10)) {  // static and dynamic memory beyond 48 KiB must be asked for
    if (cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes)) != cudaSuccess)
      return check_launch(context);
  }
  kernel<<<grid, static_cast<unsigned>(threads), shared_bytes, stream_of(context)>>>(static_cast<Parameters>(arguments)...);
#else
  auto body = [=] { kernel(static_cast<Parameters>(arguments)...); };
  expose_memory(context, true);
  cuda_emulation::run_grid(grid, static_cast<unsigned>(threads), shared_bytes, order_of(context), [](void* closure) { (*static_cast<decltype(body)*>(closure))(); }, &body);
  expose_memory(context, false);
#endif
  return check_launch(context);
}

}  // namespace mendset::cuda
