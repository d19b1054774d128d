#include "cpu/kernels.h"

namespace mendset::cpu {

extern const Kernels kernels_generic;
#if defined(__x86_64__)
extern const Kernels kernels_avx2, kernels_avx512;
#elif defined(__aarch64__)
extern const Kernels kernels_neon;
#endif

const Kernels* kernels_of(Isa isa) noexcept {
  switch (isa) {
    case Isa::generic: return &kernels_generic;
#if defined(__x86_64__)
    case Isa::avx2: return &kernels_avx2;
    case Isa::avx512: return &kernels_avx512;
#elif defined(__aarch64__)
    case Isa::neon: return &kernels_neon;
#endif
    default: return nullptr;
  }
}

}  // namespace mendset::cpu
