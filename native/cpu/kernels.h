// The kernels of one instruction set, as function pointers. Each is written once in cpu/kernels/*.inl, compiled into one namespace
// per instruction set by cpu/isa_*.cpp, and called by the operation that partitions the work (cpu/<family>.cpp).
//
// How to add an operation
//   1. cpu_operations.h already declares cpu_<operation>. Write it in cpu/<family>.cpp: check the arguments (MS_EXPECT), plan the scratch,
//      cut the work into tasks whose size depends on the problem only, and run them on context.pool.
//   2. Put the inner loops, if they need vectors, into cpu/kernels/<family>.inl: `static` functions over cpu/simd.h's Vec in the namespace
//      MENDSET_ISA. Keep a `static const <Family>Kernels <family>_kernels = {...};` at its end; declare that struct in cpu/kernels/<family>.h
//      (plain types only) and add a member of it to Kernels below and to cpu/kernels/all.inl.
//   3. Call it as context.kernels.<family>.<kernel>(...).
//   4. Replace plain_<operation> by cpu_<operation> in cpu/cpu_backend.cpp and add its cases to native/test/contract_<family>_test.cpp.
#pragma once

#include "cpu/isa.h"
#include "cpu/kernels/attention.h"
#include "cpu/kernels/dense.h"
#include "cpu/kernels/gemm.h"
#include "cpu/kernels/glu.h"
#include "cpu/kernels/norm.h"
#include "cpu/kernels/optimizer.h"
#include "cpu/kernels/reduce.h"
#include "cpu/kernels/rows.h"
#include "cpu/kernels/selection.h"
#include "cpu/kernels/token_loss.h"

namespace mendset::cpu {

struct Kernels {
  const char* isa;
  const GemmKernels& gemm;
  const ReduceKernels& reduce;
  const SelectionKernels& selection;
  const AttentionKernels& attention;
  const GluKernels& glu;
  const NormKernels& norm;
  const OptimizerKernels& optimizer;
  const RowKernels& rows;
  const TokenLossKernels& token_loss;
  const DenseKernels& dense;
};

const Kernels* kernels_of(Isa isa) noexcept;  // nullptr when this build has none

}  // namespace mendset::cpu
