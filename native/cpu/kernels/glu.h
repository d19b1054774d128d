// Kernels of the gated linear unit: one row.
#pragma once

#include <cstdint>

namespace mendset::cpu {

struct GluKernels {
  // out = f(gate) o up
  void (*forward)(int32_t activation, const float* gate, const float* up, int64_t n, float* out);
  // d_gate may be gate, d_up may be up.
  void (*backward)(int32_t activation, const float* gate, const float* up, const float* d_out, int64_t n, float* d_gate,
                   float* d_up);
};

}  // namespace mendset::cpu
