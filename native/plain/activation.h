// Activation functions and their derivatives, for judging.
#pragma once

#include <cmath>

#include "mendset/backend.h"

namespace mendset {

constexpr double kSqrtTwoOverPi = 0.79788456080286535588;
constexpr double kInverseSqrtTwo = 0.70710678118654752440;
constexpr double kInverseSqrtTwoPi = 0.39894228040143267794;

inline double activation(int32_t kind, double x) {
  switch (kind) {
    case MS_ACTIVATION_GELU_TANH:
      return 0.5 * x * (1 + std::tanh(kSqrtTwoOverPi * (x + 0.044715 * x * x * x)));
    case MS_ACTIVATION_GELU_ERF:
      return 0.5 * x * (1 + std::erf(x * kInverseSqrtTwo));
    case MS_ACTIVATION_RELU:
      return x > 0 ? x : 0;
    case MS_ACTIVATION_SILU:
      return x / (1 + std::exp(-x));
    case MS_ACTIVATION_TANH:
      return std::tanh(x);
    default:
      return x;
  }
}

inline double activation_derivative(int32_t kind, double x) {
  switch (kind) {
    case MS_ACTIVATION_GELU_TANH: {
      const double t = std::tanh(kSqrtTwoOverPi * (x + 0.044715 * x * x * x));
      return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * kSqrtTwoOverPi * (1 + 3 * 0.044715 * x * x);
    }
    case MS_ACTIVATION_GELU_ERF:
      return 0.5 * (1 + std::erf(x * kInverseSqrtTwo)) + x * kInverseSqrtTwoPi * std::exp(-0.5 * x * x);
    case MS_ACTIVATION_RELU:
      return x > 0 ? 1 : 0;
    case MS_ACTIVATION_SILU: {
      const double s = 1 / (1 + std::exp(-x));
      return s * (1 + x * (1 - s));
    }
    case MS_ACTIVATION_TANH: {
      const double t = std::tanh(x);
      return 1 - t * t;
    }
    default:
      return 1;
  }
}

}  // namespace mendset
