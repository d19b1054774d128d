// Embeddings and the rows' traffic around them. The gradient is cut by columns: every task adds the rows in ascending order.
#include <algorithm>

#include "cpu/cpu_operations.h"
#include "cpu/kernels.h"
#include "cpu/partition.h"

namespace mendset {

using namespace cpu;

namespace {
constexpr int64_t kRowBlock = 32;
constexpr int64_t kColumnBlock = 64;
}  // namespace

int32_t cpu_embed_forward(ms_context* handle, const ms_embed_forward_args* args) {
  Context& context = context_of(handle);
  const ms_embed_forward_args& a = *args;
  run_tasks(context, blocks_of(a.rows, kRowBlock), a.rows * a.width, [&](int64_t task, int) {
    const int64_t end = std::min(a.rows, (task + 1) * kRowBlock);
    for (int64_t t = task * kRowBlock; t < end; ++t) {
      float* const out = a.out + t * a.width;
      const int64_t token = a.ids[t] * a.width;
      const float* const position = a.position_table ? a.position_table + a.positions[t] * a.width : nullptr;
      if (a.token_type != MS_TYPE_F32) {
        context.kernels.rows.widen(out, static_cast<const uint16_t*>(a.token_table) + token, a.token_type, a.width);
        if (position) context.kernels.rows.add(out, position, a.width);
      } else if (position) {
        context.kernels.rows.add_two(out, static_cast<const float*>(a.token_table) + token, position, a.width);
      } else {
        std::copy_n(static_cast<const float*>(a.token_table) + token, a.width, out);
      }
      if (a.bias) context.kernels.rows.add(out, a.bias, a.width);
    }
  });
  return MS_OK;
}

int32_t cpu_embed_backward(ms_context* handle, const ms_embed_backward_args* args) {
  Context& context = context_of(handle);
  const ms_embed_backward_args& a = *args;
  run_tasks(context, blocks_of(a.width, kColumnBlock), a.rows * a.width * 2, [&](int64_t task, int) {
    const int64_t column = task * kColumnBlock, columns = std::min(kColumnBlock, a.width - column);
    for (int64_t t = 0; t < a.rows; ++t) {
      const float* const d_out = a.d_out + t * a.width + column;
      if (a.d_token_table) context.kernels.rows.add(a.d_token_table + a.ids[t] * a.width + column, d_out, columns);
      if (a.d_position_table) context.kernels.rows.add(a.d_position_table + a.positions[t] * a.width + column, d_out, columns);
    }
  });
  return MS_OK;
}

int32_t cpu_gather_rows(ms_context* handle, const ms_gather_rows_args* args) {
  Context& context = context_of(handle);
  const ms_gather_rows_args& a = *args;
  run_tasks(context, blocks_of(a.rows, kRowBlock), a.rows * a.width / 2, [&](int64_t task, int) {
    const int64_t end = std::min(a.rows, (task + 1) * kRowBlock);
    for (int64_t i = task * kRowBlock; i < end; ++i) std::copy_n(a.x + a.index[i] * a.width, a.width, a.out + i * a.width);
  });
  return MS_OK;
}

int32_t cpu_scatter_rows(ms_context* handle, const ms_scatter_rows_args* args) {
  Context& context = context_of(handle);
  const ms_scatter_rows_args& a = *args;
  run_tasks(context, blocks_of(a.rows, kRowBlock), a.rows * a.width / 2, [&](int64_t task, int) {
    const int64_t end = std::min(a.rows, (task + 1) * kRowBlock);
    for (int64_t i = task * kRowBlock; i < end; ++i) std::copy_n(a.x + i * a.width, a.width, a.out + a.index[i] * a.width);
  });
  return MS_OK;
}

int32_t cpu_mean_pool(ms_context* handle, const ms_mean_pool_args* args) {
  Context& context = context_of(handle);
  const ms_mean_pool_args& a = *args;
  const int64_t rows = a.samples > 0 ? a.offsets[a.samples] : 0;
  double* const sums = reinterpret_cast<double*>(
      context.workspace.reserve(static_cast<size_t>(a.width * context.pool.threads()) * sizeof(double)));
  if (!sums) return context.fail(MS_OUT_OF_MEMORY, "no room for the sums of mean pooling");
  run_tasks(context, a.samples, rows * a.width, [&](int64_t s, int worker) {
    context.kernels.rows.mean_pool(a.x + a.offsets[s] * a.width, a.offsets[s + 1] - a.offsets[s], a.width, a.normalize != 0,
                                   sums + worker * a.width, a.out + s * a.width);
  });
  return MS_OK;
}

int32_t cpu_fill(ms_context* handle, const ms_fill_args* args) {
  Context& context = context_of(handle);
  constexpr int64_t kBlock = 65536;
  run_tasks(context, blocks_of(args->count, kBlock), args->count / 4, [&](int64_t task, int) {
    const int64_t begin = task * kBlock;
    std::fill_n(args->out + begin, std::min(kBlock, args->count - begin), args->value);
  });
  return MS_OK;
}

}  // namespace mendset
