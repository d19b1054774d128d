// Linear maps with the activation in front, and their gradients: matrix products with fused packing and epilogue.
#include "cpu/column_sums.h"
#include "cpu/cpu_operations.h"
#include "cpu/gemm.h"

namespace mendset {
namespace {

using namespace cpu;

// w as the right operand of x w: columns are outputs, the depth runs over inputs.
GemmOperand weight_by_output(const float* w, int32_t layout, int64_t in, int64_t out) {
  return layout == MS_LAYOUT_IN_OUT ? GemmOperand{w, out, false} : GemmOperand{w, in, true};
}

// w as the right operand of d_y w^T: columns are inputs, the depth runs over outputs.
GemmOperand weight_by_input(const float* w, int32_t layout, int64_t in, int64_t out) {
  return layout == MS_LAYOUT_IN_OUT ? GemmOperand{w, out, true} : GemmOperand{w, in, false};
}

}  // namespace

int32_t cpu_linear_forward(ms_context* handle, const ms_linear_forward_args* args) {
  Context& context = context_of(handle);
  const auto& [rows, in, out, x, ld_x, x_activation, w, layout, bias, residual, y, ld_y] = *args;
  MS_EXPECT(context, rows >= 0 && in >= 0 && out >= 0 && ld_x >= in && ld_y >= out);
  Gemm gemm{rows, out, in, {x, ld_x, true, x_activation}, weight_by_output(w, layout, in, out), {}};
  gemm.output.c = y;
  gemm.output.ld_c = ld_y;
  gemm.output.bias = bias;
  gemm.output.residual = residual;
  return run_gemm(context, gemm);
}

int32_t cpu_linear_backward_input(ms_context* handle, const ms_linear_backward_input_args* args) {
  Context& context = context_of(handle);
  const auto& [rows, in, out, d_y, ld_y, w, layout, x, x_activation, d_x, ld_x, beta] = *args;
  MS_EXPECT(context, rows >= 0 && in >= 0 && out >= 0 && ld_x >= in && ld_y >= out);
  MS_EXPECT(context, x_activation == MS_ACTIVATION_NONE || x != nullptr);
  Gemm gemm{rows, in, out, {d_y, ld_y, true}, weight_by_input(w, layout, in, out), {}};
  gemm.output.c = d_x;
  gemm.output.ld_c = ld_x;
  gemm.output.beta = beta;
  gemm.output.derivative = x_activation;
  gemm.output.x = x;
  gemm.output.ld_x = ld_x;
  return run_gemm(context, gemm);
}

int32_t cpu_linear_backward_weight(ms_context* handle, const ms_linear_backward_weight_args* args) {
  Context& context = context_of(handle);
  const auto& [rows, in, out, x, ld_x, x_activation, d_y, ld_y, d_w, layout, d_bias, beta] = *args;
  MS_EXPECT(context, rows >= 0 && in >= 0 && out >= 0 && ld_x >= in && ld_y >= out);
  if (d_w != nullptr) {
    const GemmOperand inputs{x, ld_x, false, x_activation}, outputs{d_y, ld_y, false};
    Gemm gemm = layout == MS_LAYOUT_IN_OUT ? Gemm{in, out, rows, inputs, outputs, {}} : Gemm{out, in, rows, outputs, inputs, {}};
    gemm.output.c = d_w;
    gemm.output.ld_c = gemm.columns;
    gemm.output.beta = beta;
    if (const int32_t result = run_gemm(context, gemm); result != MS_OK) return result;
  }
  if (d_bias == nullptr || out == 0) return MS_OK;
  ScratchPlan plan;
  const size_t sums_at = plan.add<double>(out), partial_at = plan.add<double>(column_sums_scratch(rows, out));
  std::byte* const scratch = context.workspace.reserve(plan.bytes());
  if (scratch == nullptr) return context.fail(MS_OUT_OF_MEMORY, "no room for the sums of a bias gradient");
  double* const sums = reinterpret_cast<double*>(scratch + sums_at);
  column_sums(context, d_y, ld_y, rows, out, sums, reinterpret_cast<double*>(scratch + partial_at));
  for (int64_t o = 0; o < out; ++o) d_bias[o] = static_cast<float>(beta == 0.0f ? sums[o] : static_cast<double>(beta) * d_bias[o] + sums[o]);
  return MS_OK;
}

}  // namespace mendset
