// One element of a weight matrix of any type, for judging.
#pragma once

#include "core/half_float.h"
#include "mendset/backend.h"

namespace mendset {

inline float weight_element(const void* w, int32_t type, int64_t index) {
  if (type == MS_TYPE_F32) return static_cast<const float*>(w)[index];
  const uint16_t bits = static_cast<const uint16_t*>(w)[index];
  return type == MS_TYPE_BF16 ? float_from_bfloat16(bits) : float_from_float16(bits);
}

}  // namespace mendset
