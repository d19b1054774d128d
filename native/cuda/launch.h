// Starting a kernel on the context's stream.
#pragma once

#include <functional>
#include <type_traits>

#include "cuda/context.h"

namespace mendset::cuda {

#if defined(__CUDACC__)
cudaStream_t stream_of(Context& context);
#else
cuda_emulation::Order order_of(Context& context);
// Done now, or noted while operations are recorded.
void emulate(Context& context, std::function<void()> work);
template <typename Body>
void run_emulated(Context& context, const cuda_emulation::Launch& launch, const Body& body) {
  emulate(context, [&context, launch, body = body]() mutable {
    cuda_emulation::run_grid(launch, order_of(context), [](void* closure) { (*static_cast<Body*>(closure))(); }, &body);
  });
}
#endif

// Blocks for `count` items; a grid's x reaches 2^31 - 1.
inline unsigned blocks_for(int64_t count, int64_t per_block) { return static_cast<unsigned>(count <= 0 ? 1 : ceil_div(count, per_block)); }

template <typename... Parameters, typename... Arguments>
int32_t launch(Context& context, void (*kernel)(Parameters...), dim3 grid, int threads, size_t shared_bytes, Arguments... arguments) {
  if (context.measuring) return MS_OK;
  if (shared_bytes > context.shared_per_block)
    return fail(context, MS_UNSUPPORTED, "a block of this operation's kernel needs %zu KiB of shared memory; this device has %zu", shared_bytes >> 10, context.shared_per_block >> 10);
#if defined(__CUDACC__)
  if (shared_bytes > (32 << 10)) {  // static and dynamic memory beyond 48 KiB must be asked for
    if (cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes)) != cudaSuccess)
      return check_launch(context);
  }
  kernel<<<grid, static_cast<unsigned>(threads), shared_bytes, stream_of(context)>>>(static_cast<Parameters>(arguments)...);
#else
  auto body = [=] { kernel(static_cast<Parameters>(arguments)...); };
  run_emulated(context, {grid, static_cast<unsigned>(threads), shared_bytes, false}, body);
#endif
  return check_launch(context);
}

// Blocks of a kernel that the device runs at the same time, at least 1.
template <typename... Parameters>
int32_t resident_blocks(Context& context, void (*kernel)(Parameters...), int threads, size_t shared_bytes, unsigned* out) {
  *out = 1;
  if (context.measuring) return MS_OK;
#if defined(__CUDACC__)
  int each = 0;
  (void)cudaOccupancyMaxActiveBlocksPerMultiprocessor(&each, kernel, threads, shared_bytes);
  MS_CUDA_TRY(check_launch(context));
  if (each > 0) *out = static_cast<unsigned>(each * context.multiprocessors);
#else
  (void)kernel, (void)threads, (void)shared_bytes;
  *out = static_cast<unsigned>(context.multiprocessors) + 1;  // few, so that a block has several shares
#endif
  return MS_OK;
}

// All blocks run at the same time and may wait for each other (grid_barrier.h): no more of them than resident_blocks. Needs context.cooperative.
template <typename... Parameters>
int32_t launch_cooperative(Context& context, void (*kernel)(Parameters...), unsigned blocks, int threads, size_t shared_bytes, std::type_identity_t<Parameters>... arguments) {
  if (context.measuring) return MS_OK;
#if defined(__CUDACC__)
  void* pointers[] = {&arguments...};
  (void)cudaLaunchCooperativeKernel(reinterpret_cast<const void*>(kernel), dim3{blocks, 1, 1}, dim3{static_cast<unsigned>(threads), 1, 1}, pointers, shared_bytes, stream_of(context));
#else
  auto body = [=] { kernel(arguments...); };
  run_emulated(context, {dim3{blocks, 1, 1}, static_cast<unsigned>(threads), shared_bytes, true}, body);
#endif
  return check_launch(context);
}

}  // namespace mendset::cuda
