// Layer norm and RMS norm: rows in blocks; the sums over rows for gain and bias are kept per block and added in the blocks'
// order.
#include <algorithm>

#include "cpu/cpu_operations.h"
#include "cpu/kernels.h"
#include "cpu/partition.h"

namespace mendset {

using namespace cpu;

namespace {
constexpr int64_t kRowBlock = 16;
constexpr int64_t kColumnBlock = 256;
}  // namespace

int32_t cpu_norm_forward(ms_context* handle, const ms_norm_forward_args* args) {
  Context& context = context_of(handle);
  const ms_norm_forward_args& a = *args;
  MS_EXPECT(context, a.rows >= 0 && a.width >= 1 && (a.groups == 0 || a.kind == MS_NORM_RMS));
  run_tasks(context, blocks_of(a.rows, kRowBlock), a.rows * a.width * 2, [&](int64_t task, int) {
    const int64_t begin = task * kRowBlock, rows = std::min(kRowBlock, a.rows - begin);
    if (a.groups > 0) {
      for (int64_t t = begin; t < begin + rows; ++t) {
        context.kernels.norm.forward(a.groups, a.width, false, a.epsilon, a.x + t * a.ld_x, a.gain, nullptr, a.y + t * a.ld_y,
                                     nullptr, a.rstd ? a.rstd + t * a.groups : nullptr);
      }
      return;
    }
    context.kernels.norm.forward(rows, a.width, a.kind == MS_NORM_LAYER, a.epsilon, a.x + begin * a.width, a.gain, a.bias,
                                 a.y + begin * a.width, a.mean ? a.mean + begin : nullptr, a.rstd ? a.rstd + begin : nullptr);
  });
  return MS_OK;
}

int32_t cpu_norm_backward(ms_context* handle, const ms_norm_backward_args* args) {
  Context& context = context_of(handle);
  const ms_norm_backward_args& a = *args;
  const bool layer = a.kind == MS_NORM_LAYER, parameters = a.d_gain || a.d_bias;
  MS_EXPECT(context, a.rows >= 0 && a.width >= 1);
  MS_EXPECT(context, a.groups == 0 || (!layer && a.d_residual == nullptr));
  const int64_t blocks = blocks_of(a.rows, kRowBlock);
  float* partial = nullptr;  // [blocks, 2, width]: d_gain and d_bias of each block
  if (parameters) {
    partial = reinterpret_cast<float*>(context.workspace.reserve(static_cast<size_t>(blocks * 2 * a.width) * sizeof(float)));
    if (!partial) return context.fail(MS_OUT_OF_MEMORY, "no room for the partial sums of a norm's gradient");
  }
  run_tasks(context, blocks, a.rows * a.width * 4, [&](int64_t task, int) {
    const int64_t begin = task * kRowBlock, rows = std::min(kRowBlock, a.rows - begin), first = begin * a.width;
    float* const sums = parameters ? partial + task * 2 * a.width : nullptr;
    if (sums) std::fill_n(sums, 2 * a.width, 0.0f);
    if (a.groups > 0) {
      for (int64_t t = begin; t < begin + rows; ++t) {
        context.kernels.norm.backward(a.groups, a.width, false, a.x + t * a.ld_x, a.gain, nullptr, a.rstd + t * a.groups,
                                      a.d_y + t * a.ld_y, nullptr, a.d_x ? a.d_x + t * a.ld_x : nullptr, sums,
                                      sums ? sums + a.width : nullptr);
      }
      return;
    }
    context.kernels.norm.backward(rows, a.width, layer, a.x + first, a.gain, layer ? a.mean + begin : nullptr, a.rstd + begin,
                                  a.d_y + first, a.d_residual ? a.d_residual + first : nullptr, a.d_x ? a.d_x + first : nullptr,
                                  sums, parameters ? sums + a.width : nullptr);
  });
  if (!parameters) return MS_OK;
  run_tasks(context, blocks_of(a.width, kColumnBlock), blocks * a.width, [&](int64_t task, int) {
    const int64_t begin = task * kColumnBlock, columns = std::min(kColumnBlock, a.width - begin);
    for (int64_t block = 0; block < blocks; ++block) {
      const float* const sums = partial + block * 2 * a.width + begin;
      if (a.d_gain) context.kernels.rows.add(a.d_gain + begin, sums, columns);
      if (a.d_bias) context.kernels.rows.add(a.d_bias + begin, sums + a.width, columns);
    }
  });
  return MS_OK;
}

}  // namespace mendset
