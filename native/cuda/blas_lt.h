// cublasLt, opened at run time. Its absence is a reason that `info` shows; own products then do all the work.
#pragma once

#include "cuda/context.h"
#include "cuda/operand.h"

namespace mendset::cuda {

// Null with a sentence in `reason` when the library, or the one asked for by MENDSET_CUBLASLT, cannot be used.
BlasLt* open_blas_lt(Context& context, char* reason, size_t reason_size);
void close_blas_lt(BlasLt* blas);

// out = beta * addend + A B^T + bias along columns, fp32 with leading dimension ld. addend may be out; bias and addend are nullable.
// MS_UNSUPPORTED when the library has no algorithm for the shape: the caller's own product is next.
int32_t blas_lt_multiply(Context& context, Precision precision, const Operand& a, const Operand& b, const float* bias, const float* addend, float beta, float* out,
                         int64_t ld);

}  // namespace mendset::cuda
