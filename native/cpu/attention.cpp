// Attention of packed samples, rotary position embedding, attention over a cache. A task is one head of one sample.
#include <algorithm>
#include <cmath>

#include "cpu/cpu_operations.h"
#include "cpu/kernels.h"
#include "cpu/partition.h"
#include "cpu/scratch_bytes.h"

namespace mendset {

using namespace cpu;

namespace {

struct Lengths {
  int64_t longest = 0;
  int64_t squares = 0;  // sum of length^2: what the work grows with
};
Lengths lengths_of(const int32_t* offsets, int64_t samples) {
  Lengths result;
  for (int64_t s = 0; s < samples; ++s) {
    const int64_t length = offsets[s + 1] - offsets[s];
    result.longest = std::max(result.longest, length);
    result.squares += length * length;
  }
  return result;
}

// One block of `floats` floats for every thread, each on its own cache lines.
float* scratch_of(Context& context, int64_t floats, int64_t* stride) {
  *stride = (floats + 15) / 16 * 16;
  return reinterpret_cast<float*>(
      context.workspace.reserve(static_cast<size_t>(*stride * context.pool.threads()) * sizeof(float)));
}

}  // namespace

namespace cpu {

size_t scratch_of(const Context& context, const ms_attention_forward_args& a) {
  return static_cast<size_t>(attention_forward_scratch(a.max_length, a.head_dim) * context.pool.threads()) * sizeof(float);
}
size_t scratch_of(const Context& context, const ms_attention_backward_args& a) {
  return static_cast<size_t>(attention_backward_scratch(a.max_length, a.head_dim) * context.pool.threads()) * sizeof(float);
}

}  // namespace cpu

int32_t cpu_attention_forward(ms_context* handle, const ms_attention_forward_args* args) {
  Context& context = context_of(handle);
  const ms_attention_forward_args& a = *args;
  MS_EXPECT(context, a.head_dim >= 1 && a.kv_heads >= 1 && a.heads % a.kv_heads == 0);
  MS_EXPECT(context, !a.bidirectional || a.window == 0);
  const Lengths lengths = lengths_of(a.offsets, a.samples);
  int64_t stride;
  float* const scratch = scratch_of(context, attention_forward_scratch(lengths.longest, a.head_dim), &stride);
  if (!scratch) return context.fail(MS_OUT_OF_MEMORY, "no room for the scratch of attention");
  run_tasks(context, a.samples * a.heads, lengths.squares * a.heads * a.head_dim / 4, [&](int64_t task, int worker) {
    const int64_t s = task / a.heads, h = task % a.heads, begin = a.offsets[s];
    const int64_t column = h * a.head_dim, kv_column = h * a.kv_heads / a.heads * a.head_dim;
    const AttentionHead head{.length = a.offsets[s + 1] - begin,
                             .head_dim = a.head_dim,
                             .window = a.window,
                             .bidirectional = a.bidirectional != 0,
                             .scale = a.scale,
                             .q = a.q + begin * a.ld_qkv + column,
                             .k = a.k + begin * a.ld_qkv + kv_column,
                             .v = a.v + begin * a.ld_qkv + kv_column,
                             .ld_qkv = a.ld_qkv,
                             .d_out = nullptr,
                             .d_q = nullptr,
                             .d_k = nullptr,
                             .d_v = nullptr,
                             .out = a.out + begin * a.ld_out + column,
                             .ld_out = a.ld_out,
                             .lse = a.lse ? a.lse + begin * a.heads + h : nullptr,
                             .ld_lse = a.heads};
    context.kernels.attention.forward(head, scratch + worker * stride);
  });
  return MS_OK;
}

// A task is one key/value head, so that the query heads that share it add into its gradient in a fixed order.
int32_t cpu_attention_backward(ms_context* handle, const ms_attention_backward_args* args) {
  Context& context = context_of(handle);
  const ms_attention_backward_args& a = *args;
  MS_EXPECT(context, a.head_dim >= 1 && a.kv_heads >= 1 && a.heads % a.kv_heads == 0);
  const Lengths lengths = lengths_of(a.offsets, a.samples);
  int64_t stride;
  float* const scratch = scratch_of(context, attention_backward_scratch(lengths.longest, a.head_dim), &stride);
  if (!scratch) return context.fail(MS_OUT_OF_MEMORY, "no room for the scratch of attention");
  const int64_t shared = a.heads / a.kv_heads;
  run_tasks(context, a.samples * a.kv_heads, lengths.squares * a.heads * a.head_dim, [&](int64_t task, int worker) {
    const int64_t s = task / a.kv_heads, kv = task % a.kv_heads, begin = a.offsets[s];
    const int64_t kv_column = begin * a.ld_qkv + kv * a.head_dim;
    float* const own = scratch + worker * stride;
    AttentionHead head{.length = a.offsets[s + 1] - begin,
                       .head_dim = a.head_dim,
                       .window = a.window,
                       .scale = a.scale,
                       .q = nullptr,
                       .k = a.k + kv_column,
                       .v = a.v + kv_column,
                       .ld_qkv = a.ld_qkv,
                       .d_out = nullptr,
                       .d_q = nullptr,
                       .d_k = a.d_k + kv_column,
                       .d_v = a.d_v + kv_column,
                       .out = nullptr,
                       .ld_out = a.ld_out,
                       .lse = nullptr,
                       .ld_lse = a.heads};
    context.kernels.attention.backward_begin(head, own);
    for (int64_t h = kv * shared; h < (kv + 1) * shared; ++h) {
      head.q = a.q + begin * a.ld_qkv + h * a.head_dim;
      head.d_q = a.d_q + begin * a.ld_qkv + h * a.head_dim;
      head.d_out = a.d_out + begin * a.ld_out + h * a.head_dim;
      head.out = const_cast<float*>(a.out) + begin * a.ld_out + h * a.head_dim;  // read only here
      head.lse = const_cast<float*>(a.lse) + begin * a.heads + h;
      context.kernels.attention.backward(head, own);
    }
  });
  return MS_OK;
}

int32_t cpu_rotary(ms_context* handle, const ms_rotary_args* args) {
  Context& context = context_of(handle);
  const ms_rotary_args& a = *args;
  MS_EXPECT(context, a.dims >= 0 && a.dims % 2 == 0 && a.dims <= a.head_dim);
  constexpr int64_t kRowBlock = 16;
  const int64_t half = a.dims / 2, per_task = (2 * half + 7) / 8 * 8;
  const int64_t tasks = blocks_of(a.rows, kRowBlock);
  float* const turns = reinterpret_cast<float*>(
      context.workspace.reserve(static_cast<size_t>(per_task * context.pool.threads()) * sizeof(float)));
  if (!turns) return context.fail(MS_OUT_OF_MEMORY, "no room for the angles of the rotary embedding");
  run_tasks(context, tasks, a.rows * half * (40 + a.heads), [&](int64_t task, int worker) {
    float* const cosines = turns + worker * per_task;
    float* const sines = cosines + half;
    const int64_t end = std::min(a.rows, (task + 1) * kRowBlock);
    for (int64_t t = task * kRowBlock; t < end; ++t) {
      for (int64_t c = 0; c < half; ++c) {
        const double angle = (a.inverse ? -1 : 1) * a.positions[t] * a.frequencies[c];
        cosines[c] = static_cast<float>(a.magnitude * std::cos(angle));
        sines[c] = static_cast<float>(a.magnitude * std::sin(angle));
      }
      for (int64_t h = 0; h < a.heads; ++h) {
        float* const x = a.x + t * a.ld_x + h * a.head_dim;
        for (int64_t c = 0; c < half; ++c) {
          const float first = x[c], second = x[c + half];
          x[c] = first * cosines[c] - second * sines[c];
          x[c + half] = second * cosines[c] + first * sines[c];
        }
      }
    }
  });
  return MS_OK;
}

// A task is one key/value head of one sequence: it appends its own columns to the cache before it reads them.
int32_t cpu_decode_attention(ms_context* handle, const ms_decode_attention_args* args) {
  Context& context = context_of(handle);
  const ms_decode_attention_args& a = *args;
  MS_EXPECT(context, a.head_dim >= 1 && a.kv_heads >= 1 && a.heads % a.kv_heads == 0);
  const int64_t width = static_cast<int64_t>(a.kv_heads) * a.head_dim, shared = a.heads / a.kv_heads;
  int64_t keys = 0;
  for (int64_t b = 0; b < a.batch; ++b) {
    MS_EXPECT(context, a.lengths[b] >= 0 && a.lengths[b] < a.capacity);
    keys += a.lengths[b] + 1;
  }
  int64_t stride;
  float* const scratch = scratch_of(context, a.capacity, &stride);
  if (!scratch) return context.fail(MS_OUT_OF_MEMORY, "no room for the scores of attention over the cache");
  run_tasks(context, a.batch * a.kv_heads, keys * a.heads * a.head_dim, [&](int64_t task, int worker) {
    const int64_t b = task / a.kv_heads, kv = task % a.kv_heads, last = a.lengths[b], column = kv * a.head_dim;
    float* const k_cache = a.k_cache + a.slots[b] * a.capacity * width + column;
    float* const v_cache = a.v_cache + a.slots[b] * a.capacity * width + column;
    std::copy_n(a.k + b * a.ld_qkv + column, a.head_dim, k_cache + last * width);
    std::copy_n(a.v + b * a.ld_qkv + column, a.head_dim, v_cache + last * width);
    const int64_t first = a.window > 0 ? std::max<int64_t>(0, last - a.window + 1) : 0;
    for (int64_t h = kv * shared; h < (kv + 1) * shared; ++h) {
      context.kernels.attention.decode(a.q + b * a.ld_qkv + h * a.head_dim, k_cache + first * width, v_cache + first * width,
                                       width, last - first + 1, a.head_dim, a.scale, scratch + worker * stride,
                                       a.out + (b * a.heads + h) * a.head_dim);
    }
  });
  return MS_OK;
}

int32_t cpu_cache_fill(ms_context* handle, const ms_cache_fill_args* args) {
  Context& context = context_of(handle);
  const ms_cache_fill_args& a = *args;
  run_tasks(context, a.samples, a.rows * a.width / 2, [&](int64_t s, int) {
    for (int64_t t = a.offsets[s]; t < a.offsets[s + 1]; ++t) {
      const int64_t place = (a.slots[s] * a.capacity + t - a.offsets[s]) * a.width;
      std::copy_n(a.k + t * a.ld_qkv, a.width, a.k_cache + place);
      std::copy_n(a.v + t * a.ld_qkv, a.width, a.v_cache + place);
    }
  });
  return MS_OK;
}

}  // namespace mendset
