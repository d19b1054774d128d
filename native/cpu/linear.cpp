// Linear maps with the activation in front, and their gradients: matrix products with fused packing and epilogue.
#include "cpu/column_sums.h"
#include "cpu/cpu_operations.h"
#include "cpu/gemm.h"
#include "cpu/scratch_bytes.h"

namespace mendset {
namespace {

using namespace cpu;

// w as the right operand of x w: columns are outputs, the depth runs over inputs.
GemmOperand weight_by_output(const ms_linear_forward_args& a) {
  const bool in_out = a.layout == MS_LAYOUT_IN_OUT;
  return {a.w, in_out ? a.out : a.in, !in_out, MS_ACTIVATION_NONE, a.w_type};
}

// w as the right operand of d_y w^T: columns are inputs, the depth runs over outputs.
GemmOperand weight_by_input(const ms_linear_backward_input_args& a) {
  const bool in_out = a.layout == MS_LAYOUT_IN_OUT;
  return {a.w, in_out ? a.out : a.in, in_out, MS_ACTIVATION_NONE, a.w_type};
}

Gemm product_of(const ms_linear_forward_args& a) {
  Gemm gemm{a.rows, a.out, a.in, {a.x, a.ld_x, true, a.x_activation}, weight_by_output(a), {}};
  gemm.output.c = a.y;
  gemm.output.ld_c = a.ld_y;
  gemm.output.bias = a.bias;
  gemm.output.residual = a.residual;
  return gemm;
}

Gemm product_of(const ms_linear_backward_input_args& a) {
  Gemm gemm{a.rows, a.in, a.out, {a.d_y, a.ld_y, true}, weight_by_input(a), {}};
  gemm.output.c = a.d_x;
  gemm.output.ld_c = a.ld_x;
  gemm.output.beta = a.beta;
  gemm.output.derivative = a.x_activation;
  gemm.output.x = a.x;
  gemm.output.ld_x = a.ld_x;
  return gemm;
}

Gemm product_of(const ms_linear_backward_weight_args& a) {
  const GemmOperand inputs{a.x, a.ld_x, false, a.x_activation}, outputs{a.d_y, a.ld_y, false};
  Gemm gemm = a.layout == MS_LAYOUT_IN_OUT ? Gemm{a.in, a.out, a.rows, inputs, outputs, {}} : Gemm{a.out, a.in, a.rows, outputs, inputs, {}};
  gemm.output.c = a.d_w;
  gemm.output.ld_c = gemm.columns;
  gemm.output.beta = a.beta;
  return gemm;
}

}  // namespace

namespace cpu {

size_t scratch_of(const Context& context, const ms_linear_forward_args& args) { return gemm_scratch_bytes(context, product_of(args)); }
size_t scratch_of(const Context& context, const ms_linear_backward_input_args& args) { return gemm_scratch_bytes(context, product_of(args)); }
size_t scratch_of(const Context& context, const ms_linear_backward_weight_args& args) { return gemm_scratch_bytes(context, product_of(args)); }

}  // namespace cpu

int32_t cpu_linear_forward(ms_context* handle, const ms_linear_forward_args* args) {
  Context& context = context_of(handle);
  MS_EXPECT(context, args->rows >= 0 && args->in >= 0 && args->out >= 0 && args->ld_x >= args->in && args->ld_y >= args->out);
  return run_gemm(context, product_of(*args));
}

int32_t cpu_linear_backward_input(ms_context* handle, const ms_linear_backward_input_args* args) {
  Context& context = context_of(handle);
  MS_EXPECT(context, args->rows >= 0 && args->in >= 0 && args->out >= 0 && args->ld_x >= args->in && args->ld_y >= args->out);
  MS_EXPECT(context, args->x_activation == MS_ACTIVATION_NONE || args->x != nullptr);
  return run_gemm(context, product_of(*args));
}

int32_t cpu_linear_backward_weight(ms_context* handle, const ms_linear_backward_weight_args* args) {
  Context& context = context_of(handle);
  const auto& [rows, in, out, x, ld_x, x_activation, d_y, ld_y, d_w, layout, d_bias, beta] = *args;
  MS_EXPECT(context, rows >= 0 && in >= 0 && out >= 0 && ld_x >= in && ld_y >= out);
  if (d_w != nullptr) {
    if (const int32_t result = run_gemm(context, product_of(*args)); result != MS_OK) return result;
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
