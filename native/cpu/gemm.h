// Matrix products of the CPU backend: c = epilogue(f(a) g(b)). Each element is one FMA chain in ascending depth, whatever the blocks and
// the number of threads.
#pragma once

#include "cpu/context.h"
#include "cpu/kernels/gemm.h"

namespace mendset::cpu {

// Element (w, p), w a row of the product (left) or a column of it (right), p the depth: data[w * ld + p] or, not depth_contiguous, data[p * ld + w].
struct GemmOperand {
  const void* data;
  int64_t ld;
  bool depth_contiguous;
  int32_t activation = MS_ACTIVATION_NONE;
  int32_t type = MS_TYPE_F32;  // of right operands only

  const float* at(int64_t w, int64_t p) const { return static_cast<const float*>(data) + place(w, p); }
  const uint16_t* narrow_at(int64_t w, int64_t p) const { return static_cast<const uint16_t*>(data) + place(w, p); }

 private:
  int64_t place(int64_t w, int64_t p) const { return depth_contiguous ? w * ld + p : p * ld + w; }
};

struct Gemm {
  int64_t rows, columns, depth;
  GemmOperand left, right;
  GemmOutput output;          // used when squares is null
  double* squares = nullptr;  // [gemm_tiles]: the sum of squares of each tile, instead of the product itself
};

int64_t gemm_tiles(const Context& context, int64_t rows, int64_t columns);
size_t gemm_scratch_bytes(const Context& context, const Gemm& gemm);
void run_gemm(Context& context, const Gemm& gemm, std::byte* scratch);
// With scratch from the context's workspace; out of memory is the only failure.
int32_t run_gemm(Context& context, const Gemm& gemm);

}  // namespace mendset::cpu
