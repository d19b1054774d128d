// What the per-instruction-set files need before they switch the compiler's target: nothing from the standard library may be included
// after the switch, or its inline functions would be compiled for the wrong processor.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "core/half_float.h"
#include "cpu/kernels.h"
#include "mendset/backend.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define MS_MEMBER inline __attribute__((always_inline))
#define MS_INLINE static inline __attribute__((always_inline))
