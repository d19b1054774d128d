// Weights of 16 bits for tests.
#pragma once

#include <cstdint>
#include <vector>

#include "core/half_float.h"
#include "mendset/backend.h"

namespace mendset::test {

// Finite values of either sign: of F16 every exponent, of BF16 2^-15 to 2^16, zero and subnormals.
inline std::vector<uint16_t> narrow_values(int64_t count, int32_t type) {
  std::vector<uint16_t> values(static_cast<size_t>(count));
  uint32_t state = 1;
  for (uint16_t& value : values) {
    state = state * 1664525u + 1013904223u;
    const uint32_t high = state >> 16;
    if (type == MS_TYPE_F16) value = static_cast<uint16_t>((high & 0x7C00u) == 0x7C00u ? high ^ 0x4000u : high);
    else if (state >> 28 == 0) value = static_cast<uint16_t>(high & 0x807Fu);
    else value = static_cast<uint16_t>((high & 0x87FFu) | 0x3800u);
  }
  return values;
}

inline std::vector<float> widened(const std::vector<uint16_t>& values, int32_t type) {
  std::vector<float> wide;
  for (const uint16_t value : values) wide.push_back(type == MS_TYPE_BF16 ? float_from_bfloat16(value) : float_from_float16(value));
  return wide;
}

}  // namespace mendset::test
