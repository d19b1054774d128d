#include "cpu/simd.h"

#define MENDSET_ISA generic
#include "cpu/simd_generic.inl"
#include "cpu/kernels/all.inl"
