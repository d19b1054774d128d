// The gated linear unit of an MLP and its gradient, rows in blocks.
#include <algorithm>

#include "cpu/cpu_operations.h"
#include "cpu/kernels.h"
#include "cpu/partition.h"

namespace mendset {

using namespace cpu;

namespace {
constexpr int64_t kRowBlock = 4;
}  // namespace

int32_t cpu_glu_forward(ms_context* handle, const ms_glu_forward_args* args) {
  Context& context = context_of(handle);
  const ms_glu_forward_args& a = *args;
  run_tasks(context, blocks_of(a.rows, kRowBlock), a.rows * a.width * 16, [&](int64_t task, int) {
    const int64_t end = std::min(a.rows, (task + 1) * kRowBlock);
    for (int64_t t = task * kRowBlock; t < end; ++t) {
      const float* const gate = a.x + t * 2 * a.width;
      context.kernels.glu.forward(a.activation, gate, gate + a.width, a.width, a.out + t * a.width);
    }
  });
  return MS_OK;
}

int32_t cpu_glu_backward(ms_context* handle, const ms_glu_backward_args* args) {
  Context& context = context_of(handle);
  const ms_glu_backward_args& a = *args;
  run_tasks(context, blocks_of(a.rows, kRowBlock), a.rows * a.width * 32, [&](int64_t task, int) {
    const int64_t end = std::min(a.rows, (task + 1) * kRowBlock);
    for (int64_t t = task * kRowBlock; t < end; ++t) {
      const float* const gate = a.x + t * 2 * a.width;
      float* const d_gate = a.d_x + t * 2 * a.width;
      context.kernels.glu.backward(a.activation, gate, gate + a.width, a.d_out + t * a.width, a.width, d_gate, d_gate + a.width);
    }
  });
  return MS_OK;
}

}  // namespace mendset
