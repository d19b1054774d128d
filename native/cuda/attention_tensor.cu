// Attention and the gradient of causal attention on the tensor cores: tiles of 64 queries x 64 keys, four warps of 16 rows each, streaming softmax in
// registers, probabilities recomputed in the backward pass. Operands are bfloat16, sums fp32. The gradient of queries and that of keys and
// values have a kernel each, so that no two blocks add to the same place.
#include "cuda/attention.h"
#include "cuda/launch.h"
#include "cuda/warp_matrix.h"

namespace mendset::cuda {
namespace {

constexpr int kThreads = 128, kRows = 64;
constexpr float kMinusInfinity = -INFINITY;

// bfloat16 rows in shared memory; 16 bytes more than the head keep eight consecutive rows in different banks.
template <int kHead>
struct HeadTile {
  static constexpr int kPitch = kHead + 8;
  static constexpr size_t kBytes = static_cast<size_t>(kRows) * kPitch * sizeof(uint16_t);
  uint16_t* data;

  __device__ __forceinline__ const uint16_t* at(int row, int column) const { return data + row * kPitch + column; }

  // rows first .. first + 63 of a sample, zero beyond it and beyond the head
  __device__ __forceinline__ void load(const float* matrix, int64_t ld, int64_t begin, int64_t first, int64_t length, int head_dim) const {
    for (int pair = static_cast<int>(threadIdx.x); pair < kRows * kHead / 2; pair += kThreads) {
      const int row = pair / (kHead / 2), column = pair % (kHead / 2) * 2;
      const float* const source = matrix + (begin + first + row) * ld + column;
      const bool inside = first + row < length;
      const float low = inside && column < head_dim ? source[0] : 0.0f, high = inside && column + 1 < head_dim ? source[1] : 0.0f;
      *reinterpret_cast<unsigned*>(data + row * kPitch + column) = pack_bf16(low, high);
    }
  }
  // A fragment: rows row .. + 15, columns column .. + 15
  __device__ __forceinline__ void left(unsigned (&a)[4], int row, int column) const {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    load_matrices(a, at(row + lane % 16, column + lane / 16 * 8));
  }
  // B fragments of 16 rows n, 16 columns k, for sums over columns: b[0..1] rows row .. + 7, b[2..3] rows row + 8 .. + 15
  __device__ __forceinline__ void right(unsigned (&b)[4], int row, int column) const {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    load_matrices(b, at(row + lane / 16 * 8 + lane % 8, column + lane / 8 % 2 * 8));
  }
  // B fragments for sums over rows: 16 rows k, 16 columns n
  __device__ __forceinline__ void right_turned(unsigned (&b)[4], int row, int column) const {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    load_matrices_transposed(b, at(row + lane / 8 % 2 * 8 + lane % 8, column + lane / 16 * 8));
  }
};

// 16 rows x 64 columns per warp: sum[n][i] is row lane / 4 + 8 (i / 2), column 8 n + 2 (lane % 4) + i % 2.
using Scores = float[8][4];
__device__ __forceinline__ int own_row(int i) { return static_cast<int>(threadIdx.x) / kWarp * 16 + static_cast<int>(threadIdx.x) % kWarp / 4 + 8 * (i / 2); }
__device__ __forceinline__ int own_column(int n, int i) { return 8 * n + 2 * (static_cast<int>(threadIdx.x) % 4) + i % 2; }

// scores = A B^T: the warp's 16 rows of A against all 64 rows of B.
template <int kHead>
__device__ __forceinline__ void head_products(Scores& scores, const HeadTile<kHead>& a, const HeadTile<kHead>& b) {
  const int row = static_cast<int>(threadIdx.x) / kWarp * 16;
MS_UNROLL
  for (int n = 0; n < 8; ++n)
MS_UNROLL
    for (int i = 0; i < 4; ++i) scores[n][i] = 0.0f;
MS_UNROLL
  for (int k = 0; k < kHead; k += 16) {
    unsigned left[4];
    a.left(left, row, k);
MS_UNROLL
    for (int n = 0; n < 8; n += 2) {
      unsigned right[4];
      b.right(right, n * 8, k);
      const unsigned first[2] = {right[0], right[1]}, second[2] = {right[2], right[3]};
      multiply_bf16(scores[n], left, first);
      multiply_bf16(scores[n + 1], left, second);
    }
  }
}

// sum += P B: the warp's 16 x 64 weights, from their registers, against the 64 rows of B.
template <int kHead>
__device__ __forceinline__ void weighted_rows(float (&sum)[kHead / 8][4], const Scores& p, const HeadTile<kHead>& b) {
MS_UNROLL
  for (int k = 0; k < 8; k += 2) {
    const unsigned left[4] = {pack_bf16(p[k][0], p[k][1]), pack_bf16(p[k][2], p[k][3]), pack_bf16(p[k + 1][0], p[k + 1][1]), pack_bf16(p[k + 1][2], p[k + 1][3])};
MS_UNROLL
    for (int n = 0; n < kHead / 8; n += 2) {
      unsigned right[4];
      b.right_turned(right, k * 8, n * 8);
      const unsigned first[2] = {right[0], right[1]}, second[2] = {right[2], right[3]};
      multiply_bf16(sum[n], left, first);
      multiply_bf16(sum[n + 1], left, second);
    }
  }
}

template <int kHead>
__device__ __forceinline__ void clear_rows(float (&sum)[kHead / 8][4]) {
MS_UNROLL
  for (int n = 0; n < kHead / 8; ++n)
MS_UNROLL
    for (int i = 0; i < 4; ++i) sum[n][i] = 0.0f;
}

// rows of a sample: out[first + row, column] = sum * scale
template <int kHead>
__device__ __forceinline__ void store_rows(const float (&sum)[kHead / 8][4], float* matrix, int64_t ld, int64_t begin, int64_t first, int64_t length, int head_dim,
                                           const float (&scale)[2]) {
MS_UNROLL
  for (int n = 0; n < kHead / 8; ++n) {
MS_UNROLL
    for (int i = 0; i < 4; ++i) {
      const int64_t row = first + own_row(i);
      const int column = own_column(n, i);
      if (row < length && column < head_dim) matrix[(begin + row) * ld + column] = sum[n][i] * scale[i / 2];
    }
  }
}

// Over the four lanes that share a row.
__device__ __forceinline__ float row_max(float value) {
  value = fmaxf(value, __shfl_xor_sync(kFullWarp, value, 1));
  return fmaxf(value, __shfl_xor_sync(kFullWarp, value, 2));
}
__device__ __forceinline__ float row_sum(float value) {
  value += __shfl_xor_sync(kFullWarp, value, 1);
  return value + __shfl_xor_sync(kFullWarp, value, 2);
}

template <int kHead>
__device__ __forceinline__ HeadTile<kHead> tile_at(int index) {
  return {reinterpret_cast<uint16_t*>(dynamic_shared() + static_cast<size_t>(index) * HeadTile<kHead>::kBytes)};
}

template <int kHead>
__global__ void __launch_bounds__(kThreads) attention_forward_tensor_kernel(ms_attention_forward_args a) {
  // long tiles first: a block's work grows with its place in the sample
  const int64_t h = blockIdx.y, first = static_cast<int64_t>(gridDim.x - 1 - blockIdx.x) * kRows;
  const int64_t q_column = h * a.head_dim, kv_column = h * a.kv_heads / a.heads * a.head_dim;
  const auto q = tile_at<kHead>(0), k = tile_at<kHead>(1), v = tile_at<kHead>(2);
  for (int64_t s = blockIdx.z; s < a.samples; s += gridDim.z) {
    const int64_t begin = a.offsets[s], length = a.offsets[s + 1] - begin;
    if (first >= length) continue;
    __syncthreads();
    q.load(a.q + q_column, a.ld_qkv, begin, first, length, a.head_dim);
    float sum[kHead / 8][4], most[2] = {kMinusInfinity, kMinusInfinity}, total[2] = {0.0f, 0.0f};
    clear_rows<kHead>(sum);
    const bool both = a.bidirectional != 0;
    const int64_t last_key = attention_key_end(first, kRows, length, both);
    for (int64_t key = both ? 0 : attention_first_key(first, a.window) / kRows * kRows; key < last_key; key += kRows) {
      __syncthreads();
      k.load(a.k + kv_column, a.ld_qkv, begin, key, length, a.head_dim);
      v.load(a.v + kv_column, a.ld_qkv, begin, key, length, a.head_dim);
      __syncthreads();
      Scores p;
      head_products<kHead>(p, q, k);
      float highest[2] = {most[0], most[1]};
MS_UNROLL
      for (int n = 0; n < 8; ++n) {
MS_UNROLL
        for (int i = 0; i < 4; ++i) {
          const bool visible = attention_visible(first + own_row(i), key + own_column(n, i), length, a.window, both);
          p[n][i] = visible ? a.scale * p[n][i] : kMinusInfinity;
          highest[i / 2] = fmaxf(highest[i / 2], p[n][i]);
        }
      }
      float keep[2], part[2] = {0.0f, 0.0f}, shift[2];
MS_UNROLL
      for (int half = 0; half < 2; ++half) {
        highest[half] = row_max(highest[half]);
        shift[half] = highest[half] == kMinusInfinity ? 0.0f : highest[half];  // a row that has seen no key yet
        keep[half] = expf(most[half] - shift[half]);
        most[half] = highest[half];
      }
MS_UNROLL
      for (int n = 0; n < 8; ++n) {
MS_UNROLL
        for (int i = 0; i < 4; ++i) {
          p[n][i] = expf(p[n][i] - shift[i / 2]);
          part[i / 2] += p[n][i];
        }
      }
MS_UNROLL
      for (int half = 0; half < 2; ++half) total[half] = fmaf(total[half], keep[half], row_sum(part[half]));
MS_UNROLL
      for (int n = 0; n < kHead / 8; ++n)
MS_UNROLL
        for (int i = 0; i < 4; ++i) sum[n][i] *= keep[i / 2];
      weighted_rows<kHead>(sum, p, v);
    }
    const float scale[2] = {1.0f / total[0], 1.0f / total[1]};
    store_rows<kHead>(sum, a.out + q_column, a.ld_out, begin, first, length, a.head_dim, scale);
    if (a.lse == nullptr || threadIdx.x % 4 != 0) continue;
MS_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int64_t row = first + own_row(2 * half);
      if (row < length) a.lse[(begin + row) * a.heads + h] = most[half] + logf(total[half]);
    }
  }
}

template <int kHead>
__global__ void __launch_bounds__(kThreads) attention_d_q_tensor_kernel(ms_attention_backward_args a, const float* d) {
  const int64_t h = blockIdx.y, first = static_cast<int64_t>(gridDim.x - 1 - blockIdx.x) * kRows;
  const int64_t q_column = h * a.head_dim, kv_column = h * a.kv_heads / a.heads * a.head_dim;
  const auto q = tile_at<kHead>(0), d_out = tile_at<kHead>(1), k = tile_at<kHead>(2), v = tile_at<kHead>(3);
  for (int64_t s = blockIdx.z; s < a.samples; s += gridDim.z) {
    const int64_t begin = a.offsets[s], length = a.offsets[s + 1] - begin;
    if (first >= length) continue;
    __syncthreads();
    q.load(a.q + q_column, a.ld_qkv, begin, first, length, a.head_dim);
    d_out.load(a.d_out + q_column, a.ld_out, begin, first, length, a.head_dim);
    float lse[2] = {0.0f, 0.0f}, own_d[2] = {0.0f, 0.0f};
MS_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int64_t row = first + own_row(2 * half);
      if (row < length) lse[half] = a.lse[(begin + row) * a.heads + h], own_d[half] = d[(begin + row) * a.heads + h];
    }
    float sum[kHead / 8][4];
    clear_rows<kHead>(sum);
    const int64_t last_key = first + kRows < length ? first + kRows : length;
    for (int64_t key = attention_first_key(first, a.window) / kRows * kRows; key < last_key; key += kRows) {
      __syncthreads();
      k.load(a.k + kv_column, a.ld_qkv, begin, key, length, a.head_dim);
      v.load(a.v + kv_column, a.ld_qkv, begin, key, length, a.head_dim);
      __syncthreads();
      Scores p, d_p;
      head_products<kHead>(p, q, k);
      head_products<kHead>(d_p, d_out, v);
MS_UNROLL
      for (int n = 0; n < 8; ++n) {
MS_UNROLL
        for (int i = 0; i < 4; ++i) {
          const int64_t row = first + own_row(i);
          const bool visible = row < length && attention_visible(row, key + own_column(n, i), length, a.window);
          p[n][i] = visible ? expf(fmaf(a.scale, p[n][i], -lse[i / 2])) * (d_p[n][i] - own_d[i / 2]) : 0.0f;
        }
      }
      weighted_rows<kHead>(sum, p, k);
    }
    const float scale[2] = {a.scale, a.scale};
    store_rows<kHead>(sum, a.d_q + q_column, a.ld_qkv, begin, first, length, a.head_dim, scale);
  }
}

// A block per tile of keys of one key/value head; everything turned: rows are keys, columns queries.
template <int kHead>
__global__ void __launch_bounds__(kThreads) attention_d_kv_tensor_kernel(ms_attention_backward_args a, const float* d) {
  const int64_t kv_head = blockIdx.y, first = static_cast<int64_t>(blockIdx.x) * kRows, kv_column = kv_head * a.head_dim;
  const auto k = tile_at<kHead>(0), v = tile_at<kHead>(1), q = tile_at<kHead>(2), d_out = tile_at<kHead>(3);
  __shared__ float lse[kRows], own_d[kRows];
  for (int64_t s = blockIdx.z; s < a.samples; s += gridDim.z) {
    const int64_t begin = a.offsets[s], length = a.offsets[s + 1] - begin;
    if (first >= length) continue;
    __syncthreads();
    k.load(a.k + kv_column, a.ld_qkv, begin, first, length, a.head_dim);
    v.load(a.v + kv_column, a.ld_qkv, begin, first, length, a.head_dim);
    float d_k[kHead / 8][4], d_v[kHead / 8][4];
    clear_rows<kHead>(d_k);
    clear_rows<kHead>(d_v);
    for (int64_t h = 0; h < a.heads; ++h) {
      if (h * a.kv_heads / a.heads != kv_head) continue;
      const int64_t q_column = h * a.head_dim, last = attention_last_query(first + kRows - 1, length, a.window);
      for (int64_t query = first; query <= last; query += kRows) {
        __syncthreads();
        q.load(a.q + q_column, a.ld_qkv, begin, query, length, a.head_dim);
        d_out.load(a.d_out + q_column, a.ld_out, begin, query, length, a.head_dim);
        if (threadIdx.x < kRows) {
          const int64_t i = query + threadIdx.x;
          lse[threadIdx.x] = i < length ? a.lse[(begin + i) * a.heads + h] : 0.0f;
          own_d[threadIdx.x] = i < length ? d[(begin + i) * a.heads + h] : 0.0f;
        }
        __syncthreads();
        Scores p, d_p;
        head_products<kHead>(p, k, q);
        head_products<kHead>(d_p, v, d_out);
MS_UNROLL
        for (int n = 0; n < 8; ++n) {
MS_UNROLL
          for (int i = 0; i < 4; ++i) {
            const int column = own_column(n, i);
            const bool visible = query + column < length && attention_visible(query + column, first + own_row(i), length, a.window);
            p[n][i] = visible ? expf(fmaf(a.scale, p[n][i], -lse[column])) : 0.0f;
            d_p[n][i] = p[n][i] * (d_p[n][i] - own_d[column]);
          }
        }
        weighted_rows<kHead>(d_v, p, d_out);
        weighted_rows<kHead>(d_k, d_p, q);
      }
    }
    const float one[2] = {1.0f, 1.0f}, scale[2] = {a.scale, a.scale};
    store_rows<kHead>(d_v, a.d_v + kv_column, a.ld_qkv, begin, first, length, a.head_dim, one);
    store_rows<kHead>(d_k, a.d_k + kv_column, a.ld_qkv, begin, first, length, a.head_dim, scale);
  }
}

template <int kHead>
int32_t forward(Context& context, const ms_attention_forward_args& a) {
  return launch(context, attention_forward_tensor_kernel<kHead>, attention_grid(a.max_length, kRows, a.heads, a.samples), kThreads, 3 * HeadTile<kHead>::kBytes, a);
}

template <int kHead>
int32_t backward(Context& context, const ms_attention_backward_args& a, const float* d) {
  const size_t bytes = 4 * HeadTile<kHead>::kBytes;
  MS_CUDA_TRY(launch(context, attention_d_q_tensor_kernel<kHead>, attention_grid(a.max_length, kRows, a.heads, a.samples), kThreads, bytes, a, d));
  return launch(context, attention_d_kv_tensor_kernel<kHead>, attention_grid(a.max_length, kRows, a.kv_heads, a.samples), kThreads, bytes, a, d);
}

}  // namespace

int32_t attention_forward_tensor(Context& context, const ms_attention_forward_args& a) {
  if (a.head_dim <= 32) return forward<32>(context, a);
  return a.head_dim <= 64 ? forward<64>(context, a) : forward<128>(context, a);
}

int32_t attention_backward_tensor(Context& context, const ms_attention_backward_args& a, const float* d) {
  if (a.head_dim <= 32) return backward<32>(context, a, d);
  return a.head_dim <= 64 ? backward<64>(context, a, d) : backward<128>(context, a, d);
}

}  // namespace mendset::cuda
