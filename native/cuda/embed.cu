// Token and position embeddings.
#include "cuda/cuda_operations.h"
#include "cuda/launch.h"

namespace mendset::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads) embed_forward_kernel(ms_embed_forward_args a) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= a.rows * a.width) return;
  const int64_t t = index / a.width, c = index % a.width;
  float sum = static_cast<const float*>(a.token_table)[a.ids[t] * a.width + c];
  if (a.position_table != nullptr) sum += a.position_table[a.positions[t] * a.width + c];
  if (a.bias != nullptr) sum += a.bias[c];
  a.out[index] = sum;
}

// A block per row; the block of a key's first row adds all rows of that key in ascending order, so no two blocks meet in the table.
__global__ void __launch_bounds__(kThreads) embed_backward_kernel(int64_t rows, int64_t width, const int32_t* keys, const float* d_out, float* table) {
  __shared__ unsigned found[kThreads / kWarp];
  const int64_t own = blockIdx.x;
  const int32_t key = keys[own];
  const int thread = static_cast<int>(threadIdx.x);
  for (int64_t last = own; last > 0; last -= kThreads) {  // nearest rows first: frequent keys leave at once
    const int64_t t = last - 1 - thread;
    const unsigned votes = __ballot_sync(kFullWarp, t >= 0 && keys[t] == key);
    if (thread % kWarp == 0) found[thread / kWarp] = votes;
    __syncthreads();
    bool any = false;
    for (int w = 0; w < kThreads / kWarp; ++w) any = any || found[w] != 0;
    __syncthreads();
    if (any) return;
  }
  for (int64_t first = own; first < rows; first += kThreads) {
    const int64_t t = first + thread;
    const unsigned votes = __ballot_sync(kFullWarp, t < rows && keys[t] == key);
    if (thread % kWarp == 0) found[thread / kWarp] = votes;
    __syncthreads();
    bool any = false;
    for (int w = 0; w < kThreads / kWarp; ++w) any = any || found[w] != 0;
    for (int64_t c = thread; any && c < width; c += kThreads) {
      float sum = table[key * width + c];
      for (int w = 0; w < kThreads / kWarp; ++w) {
        for (unsigned left = found[w]; left != 0; left &= left - 1) sum += d_out[(first + w * kWarp + __ffs(static_cast<int>(left)) - 1) * width + c];
      }
      table[key * width + c] = sum;
    }
    __syncthreads();
  }
}

}  // namespace

int32_t embed_forward(Context& context, const ms_embed_forward_args& a) {
  if (a.token_type != MS_TYPE_F32) return fail(context, MS_UNSUPPORTED, "embeddings of 16 bits are not held on this backend");
  if (a.rows == 0 || a.width == 0) return MS_OK;
  return launch(context, embed_forward_kernel, dim3{blocks_for(a.rows * a.width, kThreads), 1, 1}, kThreads, 0, a);
}

int32_t embed_backward(Context& context, const ms_embed_backward_args& a) {
  if (a.rows == 0 || a.width == 0) return MS_OK;
  const dim3 grid{static_cast<unsigned>(a.rows), 1, 1};
  if (a.d_token_table != nullptr) MS_CUDA_TRY(launch(context, embed_backward_kernel, grid, kThreads, 0, a.rows, a.width, a.ids, a.d_out, a.d_token_table));
  if (a.d_position_table == nullptr) return MS_OK;
  return launch(context, embed_backward_kernel, grid, kThreads, 0, a.rows, a.width, a.positions, a.d_out, a.d_position_table);
}

}  // namespace mendset::cuda
