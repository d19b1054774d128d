// Attention and the gradient of causal attention in fp32, tiles of 32 queries x 32 keys in shared memory (16 x 16 where a wide head leaves no room for
// them), streaming softmax. Serves the fp32 and TF32 modes, devices without bfloat16, and heads wider than 128; attention_tensor.cu does the rest.
#include "cuda/attention.h"
#include "cuda/launch.h"
#include "cuda/reduce.h"

namespace mendset::cuda {
namespace {

constexpr int kThreads = 256, kMostHead = 256;
template <int kRows>
constexpr int kSlices = kThreads / kRows;  // threads of one row, all in one warp
template <int kRows>
constexpr int kMostColumns = kMostHead / kSlices<kRows>;  // of a row that one thread holds
template <int kRows>
__device__ __forceinline__ int own_row() { return static_cast<int>(threadIdx.x) / kSlices<kRows>; }
template <int kRows>
__device__ __forceinline__ int own_slice() { return static_cast<int>(threadIdx.x) % kSlices<kRows>; }

template <int kRows>
struct Tile {
  float* data;
  int pitch;
  __device__ __forceinline__ float& at(int row, int column) const { return data[row * pitch + column]; }
  // rows first .. first + kRows - 1 of a sample, zero beyond its length
  __device__ __forceinline__ void load(const float* matrix, int64_t ld, int64_t begin, int64_t first, int64_t length, int head_dim, float scale) const {
    for (int cell = static_cast<int>(threadIdx.x); cell < kRows * head_dim; cell += kThreads) {
      const int row = cell / head_dim, column = cell % head_dim;
      at(row, column) = first + row < length ? scale * matrix[(begin + first + row) * ld + column] : 0.0f;
    }
  }
};

// out(i, j) = a_i . b_j for all pairs; a thread has kRows / kSlices of them.
template <int kRows>
__device__ __forceinline__ void products(const Tile<kRows>& a, const Tile<kRows>& b, int head_dim, const Tile<kRows>& out) {
  constexpr int kOwn = kRows / kSlices<kRows>;
  const int row = own_row<kRows>(), slice = own_slice<kRows>();
  float sum[kOwn] = {};
  for (int c = 0; c < head_dim; ++c) {
    const float left = a.at(row, c);
MS_UNROLL
    for (int i = 0; i < kOwn; ++i) sum[i] = fmaf(left, b.at(slice + i * kSlices<kRows>, c), sum[i]);
  }
MS_UNROLL
  for (int i = 0; i < kOwn; ++i) out.at(row, slice + i * kSlices<kRows>) = sum[i];
}

// sum(row, column) += p(row, j) b(j, column) for this thread's row and columns slice, slice + kSlices, ...
template <int kRows>
__device__ __forceinline__ void accumulate(const Tile<kRows>& p, const Tile<kRows>& b, int head_dim, float (&sum)[kMostColumns<kRows>]) {
  const int row = own_row<kRows>(), slice = own_slice<kRows>();
  for (int j = 0; j < kRows; ++j) {
    const float weight = p.at(row, j);
MS_UNROLL
    for (int i = 0; i < kMostColumns<kRows>; ++i) {
      if (slice + i * kSlices<kRows> < head_dim) sum[i] = fmaf(weight, b.at(j, slice + i * kSlices<kRows>), sum[i]);
    }
  }
}

template <int kRows>
struct Tiles {
  Tile<kRows> first, second, third, fourth, scores, gradients;
};
template <int kRows>
__device__ __forceinline__ Tiles<kRows> tiles_of(int head_dim, int wide) {
  auto* memory = reinterpret_cast<float*>(dynamic_shared());
  const int pitch = head_dim + 1, bytes = kRows * pitch;
  Tiles<kRows> t{};
  Tile<kRows>* const matrices[4] = {&t.first, &t.second, &t.third, &t.fourth};
  for (int i = 0; i < wide; ++i) {
    *matrices[i] = {memory, pitch};
    memory += bytes;
  }
  t.scores = {memory, kRows + 1};
  t.gradients = {memory + kRows * (kRows + 1), kRows + 1};
  return t;
}
template <int kRows>
size_t shared_bytes(int head_dim, int wide) {
  return static_cast<size_t>(wide * kRows * (head_dim + 1) + 2 * kRows * (kRows + 1)) * sizeof(float);
}

template <int kRows>
__global__ void __launch_bounds__(kThreads) attention_forward_kernel(ms_attention_forward_args a) {
  const int64_t h = blockIdx.y, first = static_cast<int64_t>(blockIdx.x) * kRows;
  const int64_t q_column = h * a.head_dim, kv_column = h * a.kv_heads / a.heads * a.head_dim;
  const int row = own_row<kRows>(), slice = own_slice<kRows>();
  const Tiles<kRows> t = tiles_of<kRows>(a.head_dim, 3);
  const Tile<kRows> &q = t.first, &k = t.second, &v = t.third, &scores = t.scores;
  for (int64_t s = blockIdx.z; s < a.samples; s += gridDim.z) {
    const int64_t begin = a.offsets[s], length = a.offsets[s + 1] - begin;
    if (first >= length) continue;
    __syncthreads();
    q.load(a.q + q_column, a.ld_qkv, begin, first, length, a.head_dim, a.scale);
    float sum[kMostColumns<kRows>] = {}, most = __int_as_float(0xff800000), total = 0.0f;
    const bool both = a.bidirectional != 0;
    const int64_t i = first + row, last_key = attention_key_end(first, kRows, length, both);
    for (int64_t key = both ? 0 : attention_first_key(first, a.window) / kRows * kRows; key < last_key; key += kRows) {
      __syncthreads();
      k.load(a.k + kv_column, a.ld_qkv, begin, key, length, a.head_dim, 1.0f);
      v.load(a.v + kv_column, a.ld_qkv, begin, key, length, a.head_dim, 1.0f);
      __syncthreads();
      products(q, k, a.head_dim, scores);
      __syncwarp();  // the threads of a row lie in one warp
      float highest = most;
      for (int j = 0; j < kRows; ++j) {
        if (attention_visible(i, key + j, length, a.window, both)) highest = fmaxf(highest, scores.at(row, j));
      }
      __syncwarp();
      const float keep = most == highest ? 1.0f : expf(most - highest);
      most = highest;
      for (int j = slice; j < kRows; j += kSlices<kRows>) {
        float& score = scores.at(row, j);
        score = attention_visible(i, key + j, length, a.window, both) ? expf(score - most) : 0.0f;
      }
      __syncwarp();
      float part = 0.0f;
      for (int j = 0; j < kRows; ++j) part += scores.at(row, j);
      total = fmaf(total, keep, part);
MS_UNROLL
      for (int e = 0; e < kMostColumns<kRows>; ++e) sum[e] *= keep;
      accumulate(scores, v, a.head_dim, sum);
    }
    if (i >= length) continue;
MS_UNROLL
    for (int e = 0; e < kMostColumns<kRows>; ++e) {
      if (slice + e * kSlices<kRows> < a.head_dim) a.out[(begin + i) * a.ld_out + q_column + slice + e * kSlices<kRows>] = sum[e] / total;
    }
    if (slice == 0 && a.lse != nullptr) a.lse[(begin + i) * a.heads + h] = most + logf(total);
  }
}

// P and dS of a tile of queries (rows of q, d_out) and keys (rows of k, v), at scores and gradients [query, key] or, turned, [key, query].
template <int kRows>
struct Pair {
  const ms_attention_backward_args& a;
  const float* d;  // [rows, heads]
  int64_t h, begin, length;
  template <bool kTurned>
  __device__ __forceinline__ void finish(const Tile<kRows>& scores, const Tile<kRows>& gradients, int64_t first_query, int64_t first_key) const {
    const int row = own_row<kRows>(), slice = own_slice<kRows>();
    for (int other = slice; other < kRows; other += kSlices<kRows>) {
      const int64_t i = first_query + (kTurned ? other : row), j = first_key + (kTurned ? row : other);
      const bool visible = i < length && attention_visible(i, j, length, a.window);
      const float p = visible ? expf(scores.at(row, other) - a.lse[(begin + i) * a.heads + h]) : 0.0f;
      const float d_score = visible ? (kTurned ? 1.0f : a.scale) * p * (gradients.at(row, other) - d[(begin + i) * a.heads + h]) : 0.0f;
      scores.at(row, other) = p;
      gradients.at(row, other) = d_score;
    }
  }
};

template <int kRows>
__global__ void __launch_bounds__(kThreads) attention_d_q_kernel(ms_attention_backward_args a, const float* d) {
  const int64_t h = blockIdx.y, first = static_cast<int64_t>(blockIdx.x) * kRows;
  const int64_t q_column = h * a.head_dim, kv_column = h * a.kv_heads / a.heads * a.head_dim;
  const int row = own_row<kRows>(), slice = own_slice<kRows>();
  const Tiles<kRows> t = tiles_of<kRows>(a.head_dim, 4);
  for (int64_t s = blockIdx.z; s < a.samples; s += gridDim.z) {
    const int64_t begin = a.offsets[s], length = a.offsets[s + 1] - begin;
    if (first >= length) continue;
    __syncthreads();
    t.first.load(a.q + q_column, a.ld_qkv, begin, first, length, a.head_dim, a.scale);
    t.second.load(a.d_out + q_column, a.ld_out, begin, first, length, a.head_dim, 1.0f);
    float sum[kMostColumns<kRows>] = {};
    const int64_t last_key = first + kRows < length ? first + kRows : length;
    const Pair<kRows> pair{a, d, h, begin, length};
    for (int64_t key = attention_first_key(first, a.window) / kRows * kRows; key < last_key; key += kRows) {
      __syncthreads();
      t.third.load(a.k + kv_column, a.ld_qkv, begin, key, length, a.head_dim, 1.0f);
      t.fourth.load(a.v + kv_column, a.ld_qkv, begin, key, length, a.head_dim, 1.0f);
      __syncthreads();
      products(t.first, t.third, a.head_dim, t.scores);
      products(t.second, t.fourth, a.head_dim, t.gradients);
      __syncwarp();
      pair.template finish<false>(t.scores, t.gradients, first, key);
      __syncwarp();
      accumulate(t.gradients, t.third, a.head_dim, sum);
    }
    if (first + row >= length) continue;
MS_UNROLL
    for (int e = 0; e < kMostColumns<kRows>; ++e) {
      if (slice + e * kSlices<kRows> < a.head_dim) a.d_q[(begin + first + row) * a.ld_qkv + q_column + slice + e * kSlices<kRows>] = sum[e];
    }
  }
}

// A block per tile of keys of one key/value head: all query heads that share it, all queries that see it, in order.
template <int kRows>
__global__ void __launch_bounds__(kThreads) attention_d_kv_kernel(ms_attention_backward_args a, const float* d) {
  const int64_t kv_head = blockIdx.y, first = static_cast<int64_t>(blockIdx.x) * kRows, kv_column = kv_head * a.head_dim;
  const int row = own_row<kRows>(), slice = own_slice<kRows>();
  const Tiles<kRows> t = tiles_of<kRows>(a.head_dim, 4);
  for (int64_t s = blockIdx.z; s < a.samples; s += gridDim.z) {
    const int64_t begin = a.offsets[s], length = a.offsets[s + 1] - begin;
    if (first >= length) continue;
    __syncthreads();
    t.first.load(a.k + kv_column, a.ld_qkv, begin, first, length, a.head_dim, 1.0f);
    t.second.load(a.v + kv_column, a.ld_qkv, begin, first, length, a.head_dim, 1.0f);
    float d_k[kMostColumns<kRows>] = {}, d_v[kMostColumns<kRows>] = {};
    for (int64_t h = 0; h < a.heads; ++h) {
      if (h * a.kv_heads / a.heads != kv_head) continue;
      const int64_t q_column = h * a.head_dim, last = attention_last_query(first + kRows - 1, length, a.window);
      const Pair<kRows> pair{a, d, h, begin, length};
      for (int64_t query = first; query <= last; query += kRows) {
        __syncthreads();
        t.third.load(a.q + q_column, a.ld_qkv, begin, query, length, a.head_dim, a.scale);
        t.fourth.load(a.d_out + q_column, a.ld_out, begin, query, length, a.head_dim, 1.0f);
        __syncthreads();
        products(t.first, t.third, a.head_dim, t.scores);
        products(t.second, t.fourth, a.head_dim, t.gradients);
        __syncwarp();
        pair.template finish<true>(t.scores, t.gradients, query, first);
        __syncwarp();
        accumulate(t.scores, t.fourth, a.head_dim, d_v);
        accumulate(t.gradients, t.third, a.head_dim, d_k);
      }
    }
    if (first + row >= length) continue;
MS_UNROLL
    for (int e = 0; e < kMostColumns<kRows>; ++e) {
      const int c = slice + e * kSlices<kRows>;
      if (c >= a.head_dim) continue;
      const int64_t place = (begin + first + row) * a.ld_qkv + kv_column + c;
      a.d_k[place] = d_k[e];  // the scale came in with the queries
      a.d_v[place] = d_v[e];
    }
  }
}

template <int kRows>
int32_t forward(Context& context, const ms_attention_forward_args& a) {
  return launch(context, attention_forward_kernel<kRows>, attention_grid(a.max_length, kRows, a.heads, a.samples), kThreads, shared_bytes<kRows>(a.head_dim, 3), a);
}

template <int kRows>
int32_t backward(Context& context, const ms_attention_backward_args& a, const float* d) {
  const size_t bytes = shared_bytes<kRows>(a.head_dim, 4);
  MS_CUDA_TRY(launch(context, attention_d_q_kernel<kRows>, attention_grid(a.max_length, kRows, a.heads, a.samples), kThreads, bytes, a, d));
  return launch(context, attention_d_kv_kernel<kRows>, attention_grid(a.max_length, kRows, a.kv_heads, a.samples), kThreads, bytes, a, d);
}

int32_t too_wide(Context& context, int32_t head_dim) { return fail(context, MS_UNSUPPORTED, "heads of %d columns; the CUDA backend has up to %d", head_dim, kMostHead); }

}  // namespace

int32_t attention_forward_plain(Context& context, const ms_attention_forward_args& a) {
  if (a.head_dim > kMostHead) return too_wide(context, a.head_dim);
  return shared_bytes<32>(a.head_dim, 3) <= context.shared_per_block ? forward<32>(context, a) : forward<16>(context, a);
}

int32_t attention_backward_plain(Context& context, const ms_attention_backward_args& a, const float* d) {
  if (a.head_dim > kMostHead) return too_wide(context, a.head_dim);
  return shared_bytes<32>(a.head_dim, 4) <= context.shared_per_block ? backward<32>(context, a, d) : backward<16>(context, a, d);
}

}  // namespace mendset::cuda
