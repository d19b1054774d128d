// Activation functions and their derivatives, fp32.
#pragma once

#include "cuda/device.h"

namespace mendset::cuda {

__device__ __forceinline__ float activation(int32_t kind, float x) {
  if (kind == MS_ACTIVATION_GELU_TANH) {
    const float inner = 0.7978845608028654f * fmaf(0.044715f * x * x, x, x);
    return 0.5f * x * (1.0f + tanhf(inner));
  }
  if (kind == MS_ACTIVATION_GELU_ERF) return 0.5f * x * (1.0f + erff(x * 0.7071067811865476f));
  if (kind == MS_ACTIVATION_RELU) return x > 0.0f ? x : 0.0f;
  if (kind == MS_ACTIVATION_SILU) return x / (1.0f + expf(-x));
  if (kind == MS_ACTIVATION_TANH) return tanhf(x);
  return x;
}

__device__ __forceinline__ float activation_derivative(int32_t kind, float x) {
  if (kind == MS_ACTIVATION_GELU_TANH) {
    const float t = tanhf(0.7978845608028654f * fmaf(0.044715f * x * x, x, x));
    return fmaf(0.5f * x * fmaf(-t, t, 1.0f), 0.7978845608028654f * fmaf(3 * 0.044715f * x, x, 1.0f), 0.5f * (1.0f + t));
  }
  if (kind == MS_ACTIVATION_GELU_ERF) {
    return fmaf(x * 0.3989422804014327f, expf(-0.5f * x * x), 0.5f * (1.0f + erff(x * 0.7071067811865476f)));
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
