// What the attention kernels share: who sees whom inside a sample (causal and windowed, or everyone), and their grids.
#pragma once

#include "cuda/context.h"

namespace mendset::cuda {

// i, j: query and key within a sample of `length` rows.
__device__ __forceinline__ bool attention_visible(int64_t i, int64_t j, int64_t length, int32_t window, bool bidirectional = false) {
  return j < length && (bidirectional || (j <= i && (window <= 0 || i - j < window)));
}
// One beyond the last key that a tile of queries sees.
__device__ __forceinline__ int64_t attention_key_end(int64_t first_query, int64_t rows, int64_t length, bool bidirectional) {
  return bidirectional || first_query + rows > length ? length : first_query + rows;
}
__device__ __forceinline__ int64_t attention_first_key(int64_t first_query, int32_t window) {
  return window > 0 && first_query - window + 1 > 0 ? first_query - window + 1 : 0;
}
__device__ __forceinline__ int64_t attention_last_query(int64_t last_key, int64_t length, int32_t window) {
  const int64_t last = window > 0 && last_key + window - 1 < length - 1 ? last_key + window - 1 : length - 1;
  return last;
}

// x tiles of the longest sample, y heads, z samples
inline dim3 attention_grid(int64_t longest, int64_t tile_rows, int32_t heads, int64_t samples) {
  return dim3{static_cast<unsigned>(ceil_div<int64_t>(longest, tile_rows)), static_cast<unsigned>(heads), static_cast<unsigned>(samples < 65535 ? samples : 65535)};
}

int32_t attention_forward_plain(Context& context, const ms_attention_forward_args& a);
// d [rows, heads]: d_out . out
int32_t attention_backward_plain(Context& context, const ms_attention_backward_args& a, const float* d);
// bfloat16 products with fp32 sums; heads of up to 128 columns
constexpr int32_t kTensorHead = 128;
int32_t attention_forward_tensor(Context& context, const ms_attention_forward_args& a);
int32_t attention_backward_tensor(Context& context, const ms_attention_backward_args& a, const float* d);

}  // namespace mendset::cuda
