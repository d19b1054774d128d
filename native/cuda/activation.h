// Activation functions and their derivatives, fp32.
#pragma once

#include "cuda/device.h"

namespace mendset::cuda {

// (1 + tanh u) / 2 = 1 / (1 + e^-2u): keeps its digits where tanh is near -1.
__device__ __forceinline__ float gelu_gate(float x) { return 1.0f / (1.0f + expf(-2.0f * 0.7978845608028654f * fmaf(0.044715f * x * x, x, x))); }

__device__ __forceinline__ float activation(int32_t kind, float x) {
  if (kind == MS_ACTIVATION_GELU_TANH) return x * gelu_gate(x);
  if (kind == MS_ACTIVATION_GELU_ERF) return 0.5f * x * erfcf(-0.7071067811865476f * x);
  if (kind == MS_ACTIVATION_RELU) return x > 0.0f ? x : 0.0f;
  if (kind == MS_ACTIVATION_SILU) return x / (1.0f + expf(-x));
  if (kind == MS_ACTIVATION_TANH) return tanhf(x);
  return x;
}

__device__ __forceinline__ float activation_derivative(int32_t kind, float x) {
  if (kind == MS_ACTIVATION_GELU_TANH) {
    const float s = gelu_gate(x);
    return s * fmaf(2.0f * 0.7978845608028654f * x * (1.0f - s), fmaf(3 * 0.044715f * x, x, 1.0f), 1.0f);
  }
  if (kind == MS_ACTIVATION_GELU_ERF) {
    return fmaf(x * 0.3989422804014327f, expf(-0.5f * x * x), 0.5f * erfcf(-0.7071067811865476f * x));
  }
  if (kind == MS_ACTIVATION_RELU) return x > 0.0f ? 1.0f : 0.0f;
  if (kind == MS_ACTIVATION_SILU) {
    const float s = 1.0f / (1.0f + expf(-x));
    return s * fmaf(x, 1.0f - s, 1.0f);
  }
  if (kind == MS_ACTIVATION_TANH) {
    const float t = tanhf(x);
    return fmaf(-t, t, 1.0f);
  }
  return 1.0f;
}

}  // namespace mendset::cuda
