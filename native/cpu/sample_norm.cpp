// Per-sample squared gradient norms of norms and embeddings; a task is one sample.
#include <algorithm>

#include "cpu/cpu_operations.h"
#include "cpu/kernels.h"
#include "cpu/partition.h"

namespace mendset {

using namespace cpu;

namespace {

// sum over distinct keys of |sum of the rows of e with that key|^2; order [length] and sum [width] are scratch.
double grouped_squares(const RowKernels& kernels, const int32_t* keys, const float* e, int64_t length, int64_t width,
                       int32_t* order, float* sum) {
  for (int32_t t = 0; t < length; ++t) order[t] = t;
  std::sort(order, order + length, [keys](int32_t i, int32_t j) { return keys[i] < keys[j] || (keys[i] == keys[j] && i < j); });
  double squares = 0;
  for (int64_t begin = 0, end; begin < length; begin = end) {
    for (end = begin + 1; end < length && keys[order[end]] == keys[order[begin]];) ++end;
    const float* row = e + order[begin] * width;
    if (end > begin + 1) {
      std::copy_n(row, width, sum);
      for (int64_t i = begin + 1; i < end; ++i) kernels.add(sum, e + order[i] * width, width);
      row = sum;
    }
    squares += kernels.squares(row, width);
  }
  return squares;
}

}  // namespace

int32_t cpu_norm_sample_norm(ms_context* handle, const ms_norm_sample_norm_args* args) {
  Context& context = context_of(handle);
  const ms_norm_sample_norm_args& a = *args;
  const int64_t stride = (2 * a.width + 15) / 16 * 16;
  float* const sums =
      reinterpret_cast<float*>(context.workspace.reserve(static_cast<size_t>(stride * context.pool.threads()) * sizeof(float)));
  if (!sums) return context.fail(MS_OUT_OF_MEMORY, "no room for the sums of a norm's gradient");
  run_tasks(context, a.samples, a.rows * a.width * 2, [&](int64_t s, int worker) {
    const int64_t begin = a.offsets[s], groups = a.groups > 0 ? a.groups : 1;
    const int64_t ld_x = a.groups > 0 ? a.ld_x : a.width, ld_y = a.groups > 0 ? a.ld_y : a.width;
    context.kernels.rows.norm_squares(a.x + begin * ld_x, ld_x, a.d_y + begin * ld_y, ld_y,
                                      a.kind == MS_NORM_LAYER ? a.mean + begin : nullptr, a.rstd + begin * groups,
                                      a.offsets[s + 1] - begin, groups, a.width, sums + worker * stride,
                                      a.gain_squares ? a.gain_squares + s * a.stride : nullptr,
                                      a.bias_squares ? a.bias_squares + s * a.stride : nullptr);
  });
  return MS_OK;
}

int32_t cpu_embed_sample_norm(ms_context* handle, const ms_embed_sample_norm_args* args) {
  Context& context = context_of(handle);
  const ms_embed_sample_norm_args& a = *args;
  int64_t longest = 0, squares = 0;
  for (int64_t s = 0; s < a.samples; ++s) {
    const int64_t length = a.offsets[s + 1] - a.offsets[s];
    longest = std::max(longest, length);
    squares += length * length;
  }
  const int64_t threads = context.pool.threads(), row_stride = (4 * a.width + 15) / 16 * 16,
                order_stride = (longest + 15) / 16 * 16;
  ScratchPlan plan;
  const size_t rows_at = plan.add<float>(row_stride * threads), order_at = plan.add<int32_t>(order_stride * threads);
  std::byte* const scratch = context.workspace.reserve(plan.bytes());
  if (!scratch) return context.fail(MS_OUT_OF_MEMORY, "no room for the sums of an embedding's gradient");
  run_tasks(context, a.samples, a.rows * a.width * 2 + (a.hidden ? squares * a.width / 8 : 0), [&](int64_t s, int worker) {
    const RowKernels& kernels = context.kernels.rows;
    float* const rows = reinterpret_cast<float*>(scratch + rows_at) + worker * row_stride;
    int32_t* const order = reinterpret_cast<int32_t*>(scratch + order_at) + worker * order_stride;
    const int64_t begin = a.offsets[s], length = a.offsets[s + 1] - begin;
    const float* const e = a.e + begin * a.width;
    if (a.token_squares) {
      double sum = grouped_squares(kernels, a.ids + begin, e, length, a.width, order, rows);
      if (a.hidden)
        sum += kernels.tied_product(a.columns + a.column_offsets[s], a.hidden + begin * a.width, e, length, a.width, rows);
      a.token_squares[s * a.stride] += sum;
    }
    if (a.position_squares)
      a.position_squares[s * a.stride] += grouped_squares(kernels, a.positions + begin, e, length, a.width, order, rows);
  });
  return MS_OK;
}

int32_t cpu_gather_columns(ms_context* handle, const ms_gather_columns_args* args) {
  Context& context = context_of(handle);
  const ms_gather_columns_args& a = *args;
  constexpr int64_t kRowBlock = 16;
  int64_t elements = 0;
  for (int64_t i = 0; i < a.rows; ++i) elements += a.offsets[a.sample_of[i] + 1] - a.offsets[a.sample_of[i]];
  run_tasks(context, blocks_of(a.rows, kRowBlock), elements * 4, [&](int64_t task, int) {
    const int64_t end = std::min(a.rows, (task + 1) * kRowBlock);
    for (int64_t i = task * kRowBlock; i < end; ++i) {
      const int32_t sample = a.sample_of[i];
      const int64_t begin = a.offsets[sample], length = a.offsets[sample + 1] - begin;
      float* const out = a.columns + a.column_offsets[sample] + (a.row_of[i] - begin) * length;
      const float* const p = a.p + i * a.vocab;
      for (int64_t t = 0; t < length; ++t) out[t] = p[a.ids[begin + t]];
    }
  });
  return MS_OK;
}

}  // namespace mendset
