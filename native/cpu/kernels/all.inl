// Every kernel of one instruction set, and their table. Included once by each cpu/isa_*.cpp.
#include "cpu/simd_math.inl"
#include "cpu/kernels/over_vectors.inl"
#include "cpu/kernels/gemm.inl"
#include "cpu/kernels/reduce.inl"
#include "cpu/kernels/row_bounds.inl"
#include "cpu/kernels/selection.inl"
#include "cpu/kernels/small_product.inl"
#include "cpu/kernels/rows.inl"
#include "cpu/kernels/attention.inl"
#include "cpu/kernels/glu.inl"
#include "cpu/kernels/norm.inl"
#include "cpu/kernels/optimizer.inl"
#include "cpu/kernels/token_loss.inl"
#include "cpu/kernels/dense.inl"

namespace mendset::cpu {

#define MS_JOIN_NAMES(a, b) a##b
#define MS_JOIN(a, b) MS_JOIN_NAMES(a, b)
#define MS_TEXT_OF(a) #a
#define MS_TEXT(a) MS_TEXT_OF(a)

extern const Kernels MS_JOIN(kernels_, MENDSET_ISA);
// constinit: nothing of this file may run before the processor has been asked what it can do.
constinit const Kernels MS_JOIN(kernels_, MENDSET_ISA) = {
    .isa = MS_TEXT(MENDSET_ISA),
    .gemm = MENDSET_ISA::gemm::kernels,
    .reduce = MENDSET_ISA::reduce::kernels,
    .selection = MENDSET_ISA::selection::kernels,
    .attention = MENDSET_ISA::attention_kernels,
    .glu = MENDSET_ISA::glu_kernels,
    .norm = MENDSET_ISA::norm_kernels,
    .optimizer = MENDSET_ISA::optimizer_kernels,
    .rows = MENDSET_ISA::row_kernels,
    .token_loss = MENDSET_ISA::token_loss_kernels,
    .dense = MENDSET_ISA::dense_kernels,
};

}  // namespace mendset::cpu
