// Attention and the gradient of causal attention in fp32, tiles of 32 queries x 32 keys in shared memory, streaming softmax. Serves the fp32 and TF32
// modes, devices without bfloat16, and heads wider than 128; attention_tensor.cu does the rest.
#include "cuda/attention.h"
#include "cuda/launch.h"
#include "cuda/reduce.h"

namespace mendset::cuda {
namespace {

constexpr int kThreads = 256, kRows = 32, kMostHead = 256;
constexpr int kSlices = kThreads / kRows;             // threads of one row
constexpr int kMostColumns = kMostHead / kSlices;     // of a row that one thread holds

struct Tile {
  float* data;
  int pitch;
  __device__ __forceinline__ float& at(int row, int column) const { return data[row * pitch + column]; }
  // rows first .. first + 31 of a matrix, zero from `end` on
  __device__ __forceinline__ void load(const float* matrix, int64_t ld, int64_t begin, int64_t first, int64_t length, int head_dim, float scale) const {
    for (int cell = static_cast<int>(threadIdx.x); cell < kRows * head_dim; cell += kThreads) {
      const int row = cell / head_dim, column = cell % head_dim;
      at(row, column) = first + row < length ? scale * matrix[(begin + first + row) * ld + column] : 0.0f;
    }
  }
};

// out(i, j) = a_i . b_j for the 32 x 32 pairs; a thread has four of them.
__device__ __forceinline__ void products(const Tile& a, const Tile& b, int head_dim, const Tile& out) {
  const int row = static_cast<int>(threadIdx.x) / kSlices, slice = static_cast<int>(threadIdx.x) % kSlices;
  float sum[4] = {};
  for (int c = 0; c < head_dim; ++c) {
    const float left = a.at(row, c);
MS_UNROLL
    for (int i = 0; i < 4; ++i) sum[i] = fmaf(left, b.at(slice + i * kSlices, c), sum[i]);
  }
MS_UNROLL
  for (int i = 0; i < 4; ++i) out.at(row, slice + i * kSlices) = sum[i];
}

// sum(row, column) += p(row, j) b(j, column) for this thread's row and columns slice, slice + 8, ...
__device__ __forceinline__ void accumulate(const Tile& p, const Tile& b, int head_dim, float (&sum)[kMostColumns]) {
  const int row = static_cast<int>(threadIdx.x) / kSlices, slice = static_cast<int>(threadIdx.x) % kSlices;
  for (int j = 0; j < kRows; ++j) {
    const float weight = p.at(row, j);
MS_UNROLL
    for (int i = 0; i < kMostColumns; ++i) {
      if (slice + i * kSlices < head_dim) sum[i] = fmaf(weight, b.at(j, slice + i * kSlices), sum[i]);
    }
  }
}

struct Tiles {
  Tile first, second, third, fourth, scores, gradients;
};
__device__ __forceinline__ Tiles tiles_of(int head_dim, int wide) {
  auto* memory = reinterpret_cast<float*>(dynamic_shared());
  const int pitch = head_dim + 1, bytes = kRows * pitch;
  Tiles t{};
  Tile* const matrices[4] = {&t.first, &t.second, &t.third, &t.fourth};
  for (int i = 0; i < wide; ++i) {
    *matrices[i] = {memory, pitch};
    memory += bytes;
  }
  t.scores = {memory, kRows + 1};
  t.gradients = {memory + kRows * (kRows + 1), kRows + 1};
  return t;
}
size_t shared_bytes(int head_dim, int wide) { return static_cast<size_t>(wide * kRows * (head_dim + 1) + 2 * kRows * (kRows + 1)) * sizeof(float); }

__global__ void __launch_bounds__(kThreads) attention_forward_kernel(ms_attention_forward_args a) {
  const int64_t h = blockIdx.y, first = static_cast<int64_t>(blockIdx.x) * kRows;
  const int64_t q_column = h * a.head_dim, kv_column = h * a.kv_heads / a.heads * a.head_dim;
  const int row = static_cast<int>(threadIdx.x) / kSlices, slice = static_cast<int>(threadIdx.x) % kSlices;
  const Tiles t = tiles_of(a.head_dim, 3);
  const Tile &q = t.first, &k = t.second, &v = t.third, &scores = t.scores;
  for (int64_t s = blockIdx.z; s < a.samples; s += gridDim.z) {
    const int64_t begin = a.offsets[s], length = a.offsets[s + 1] - begin;
    if (first >= length) continue;
    __syncthreads();
    q.load(a.q + q_column, a.ld_qkv, begin, first, length, a.head_dim, a.scale);
    float sum[kMostColumns] = {}, most = __int_as_float(0xff800000), total = 0.0f;
    const bool both = a.bidirectional != 0;
    const int64_t i = first + row, last_key = attention_key_end(first, kRows, length, both);
    for (int64_t key = both ? 0 : attention_first_key(first, a.window) / kRows * kRows; key < last_key; key += kRows) {
      __syncthreads();
      k.load(a.k + kv_column, a.ld_qkv, begin, key, length, a.head_dim, 1.0f);
      v.load(a.v + kv_column, a.ld_qkv, begin, key, length, a.head_dim, 1.0f);
      __syncthreads();
      products(q, k, a.head_dim, scores);
      __syncwarp();  // the eight threads of a row lie in one warp
      float highest = most;
      for (int j = 0; j < kRows; ++j) {
        if (attention_visible(i, key + j, length, a.window, both)) highest = fmaxf(highest, scores.at(row, j));
      }
      __syncwarp();
      const float keep = most == highest ? 1.0f : expf(most - highest);
      most = highest;
      for (int j = slice; j < kRows; j += kSlices) {
        float& score = scores.at(row, j);
        score = attention_visible(i, key + j, length, a.window, both) ? expf(score - most) : 0.0f;
      }
      __syncwarp();
      float part = 0.0f;
      for (int j = 0; j < kRows; ++j) part += scores.at(row, j);
      total = fmaf(total, keep, part);
MS_UNROLL
      for (int e = 0; e < kMostColumns; ++e) sum[e] *= keep;
      accumulate(scores, v, a.head_dim, sum);
    }
    if (i >= length) continue;
MS_UNROLL
    for (int e = 0; e < kMostColumns; ++e) {
      if (slice + e * kSlices < a.head_dim) a.out[(begin + i) * a.ld_out + q_column + slice + e * kSlices] = sum[e] / total;
    }
    if (slice == 0 && a.lse != nullptr) a.lse[(begin + i) * a.heads + h] = most + logf(total);
  }
}

// P and dS of a tile of queries (rows of q, d_out) and keys (rows of k, v), at scores and gradients [query, key] or, turned, [key, query].
struct Pair {
  const ms_attention_backward_args& a;
  const float* d;  // [rows, heads]
  int64_t h, begin, length;
  template <bool kTurned>
  __device__ __forceinline__ void finish(const Tile& scores, const Tile& gradients, int64_t first_query, int64_t first_key) const {
    const int row = static_cast<int>(threadIdx.x) / kSlices, slice = static_cast<int>(threadIdx.x) % kSlices;
    for (int other = slice; other < kRows; other += kSlices) {
      const int64_t i = first_query + (kTurned ? other : row), j = first_key + (kTurned ? row : other);
      const bool visible = i < length && attention_visible(i, j, length, a.window);
      const float p = visible ? expf(scores.at(row, other) - a.lse[(begin + i) * a.heads + h]) : 0.0f;
      const float d_score = visible ? (kTurned ? 1.0f : a.scale) * p * (gradients.at(row, other) - d[(begin + i) * a.heads + h]) : 0.0f;
      scores.at(row, other) = p;
      gradients.at(row, other) = d_score;
    }
  }
};

__global__ void __launch_bounds__(kThreads) attention_d_q_kernel(ms_attention_backward_args a, const float* d) {
  const int64_t h = blockIdx.y, first = static_cast<int64_t>(blockIdx.x) * kRows;
  const int64_t q_column = h * a.head_dim, kv_column = h * a.kv_heads / a.heads * a.head_dim;
  const int row = static_cast<int>(threadIdx.x) / kSlices, slice = static_cast<int>(threadIdx.x) % kSlices;
  const Tiles t = tiles_of(a.head_dim, 4);
  for (int64_t s = blockIdx.z; s < a.samples; s += gridDim.z) {
    const int64_t begin = a.offsets[s], length = a.offsets[s + 1] - begin;
    if (first >= length) continue;
    __syncthreads();
    t.first.load(a.q + q_column, a.ld_qkv, begin, first, length, a.head_dim, a.scale);
    t.second.load(a.d_out + q_column, a.ld_out, begin, first, length, a.head_dim, 1.0f);
    float sum[kMostColumns] = {};
    const int64_t last_key = first + kRows < length ? first + kRows : length;
    const Pair pair{a, d, h, begin, length};
    for (int64_t key = attention_first_key(first, a.window) / kRows * kRows; key < last_key; key += kRows) {
      __syncthreads();
      t.third.load(a.k + kv_column, a.ld_qkv, begin, key, length, a.head_dim, 1.0f);
      t.fourth.load(a.v + kv_column, a.ld_qkv, begin, key, length, a.head_dim, 1.0f);
      __syncthreads();
      products(t.first, t.third, a.head_dim, t.scores);
      products(t.second, t.fourth, a.head_dim, t.gradients);
      __syncwarp();
      pair.finish<false>(t.scores, t.gradients, first, key);
      __syncwarp();
      accumulate(t.gradients, t.third, a.head_dim, sum);
    }
    if (first + row >= length) continue;
MS_UNROLL
    for (int e = 0; e < kMostColumns; ++e) {
      if (slice + e * kSlices < a.head_dim) a.d_q[(begin + first + row) * a.ld_qkv + q_column + slice + e * kSlices] = sum[e];
    }
  }
}

// A block per tile of keys of one key/value head: all query heads that share it, all queries that see it, in order.
__global__ void __launch_bounds__(kThreads) attention_d_kv_kernel(ms_attention_backward_args a, const float* d) {
  const int64_t kv_head = blockIdx.y, first = static_cast<int64_t>(blockIdx.x) * kRows, kv_column = kv_head * a.head_dim;
  const int row = static_cast<int>(threadIdx.x) / kSlices, slice = static_cast<int>(threadIdx.x) % kSlices;
  const Tiles t = tiles_of(a.head_dim, 4);
  for (int64_t s = blockIdx.z; s < a.samples; s += gridDim.z) {
    const int64_t begin = a.offsets[s], length = a.offsets[s + 1] - begin;
    if (first >= length) continue;
    __syncthreads();
    t.first.load(a.k + kv_column, a.ld_qkv, begin, first, length, a.head_dim, 1.0f);
    t.second.load(a.v + kv_column, a.ld_qkv, begin, first, length, a.head_dim, 1.0f);
    float d_k[kMostColumns] = {}, d_v[kMostColumns] = {};
    for (int64_t h = 0; h < a.heads; ++h) {
      if (h * a.kv_heads / a.heads != kv_head) continue;
      const int64_t q_column = h * a.head_dim, last = attention_last_query(first + kRows - 1, length, a.window);
      const Pair pair{a, d, h, begin, length};
      for (int64_t query = first; query <= last; query += kRows) {
        __syncthreads();
        t.third.load(a.q + q_column, a.ld_qkv, begin, query, length, a.head_dim, a.scale);
        t.fourth.load(a.d_out + q_column, a.ld_out, begin, query, length, a.head_dim, 1.0f);
        __syncthreads();
        products(t.first, t.third, a.head_dim, t.scores);
        products(t.second, t.fourth, a.head_dim, t.gradients);
        __syncwarp();
        pair.finish<true>(t.scores, t.gradients, query, first);
        __syncwarp();
        accumulate(t.scores, t.fourth, a.head_dim, d_v);
        accumulate(t.gradients, t.third, a.head_dim, d_k);
      }
    }
    if (first + row >= length) continue;
MS_UNROLL
    for (int e = 0; e < kMostColumns; ++e) {
      const int c = slice + e * kSlices;
      if (c >= a.head_dim) continue;
      const int64_t place = (begin + first + row) * a.ld_qkv + kv_column + c;
      a.d_k[place] = d_k[e];  // the scale came in with the queries
      a.d_v[place] = d_v[e];
    }
  }
}

}  // namespace

int32_t attention_forward_plain(Context& context, const ms_attention_forward_args& a) {
  if (a.head_dim > kMostHead) return fail(context, MS_UNSUPPORTED, "heads of %d columns; the CUDA backend has up to %d", a.head_dim, kMostHead);
  return launch(context, attention_forward_kernel, attention_grid(a.max_length, kRows, a.heads, a.samples), kThreads, shared_bytes(a.head_dim, 3), a);
}

int32_t attention_backward_plain(Context& context, const ms_attention_backward_args& a, const float* d) {
  if (a.head_dim > kMostHead) return fail(context, MS_UNSUPPORTED, "heads of %d columns; the CUDA backend has up to %d", a.head_dim, kMostHead);
  MS_CUDA_TRY(launch(context, attention_d_q_kernel, attention_grid(a.max_length, kRows, a.heads, a.samples), kThreads, shared_bytes(a.head_dim, 4), a, d));
  return launch(context, attention_d_kv_kernel, attention_grid(a.max_length, kRows, a.kv_heads, a.samples), kThreads, shared_bytes(a.head_dim, 4), a, d);
}

}  // namespace mendset::cuda
