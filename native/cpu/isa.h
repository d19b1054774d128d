// Instruction sets that the kernels are compiled for.
#pragma once

#include "core/status.h"

namespace mendset::cpu {

enum class Isa { generic, avx2, avx512, neon };  // avx2: AVX2 + FMA; avx512: F, BW, DQ, VL

const char* isa_name(Isa isa) noexcept;
bool isa_available(Isa isa) noexcept;
// The best one here, or what the environment variable MENDSET_ISA names; fails when that is unknown or not available.
Status choose_isa(Isa* out);

}  // namespace mendset::cpu
