#include "cpu/simd.h"

#if defined(__aarch64__)

#define MENDSET_ISA neon
#include "cpu/simd_neon.inl"
#include "cpu/kernels/all.inl"

#endif
