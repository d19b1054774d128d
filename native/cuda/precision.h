// How matrix products and attention are computed.
#pragma once

namespace mendset::cuda {

// Arithmetic of matrix products and attention. Operands are fp32 in memory; sums are fp32 in every mode.
enum class Precision {
  bf16,   // operands rounded to bfloat16, tensor cores
  tf32,   // operands rounded to TF32, tensor cores
  tf32x3, // three TF32 products per product: close to fp32, tensor cores
  fp32,   // fp32 chains of fused multiply-adds
};
const char* precision_name(Precision precision);

}  // namespace mendset::cuda
