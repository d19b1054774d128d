// Layer norm and RMS norm, statistics in fp64.
#include <cmath>
#include <vector>

#include "plain/plain_operations.h"

namespace mendset {

int32_t plain_norm_forward(ms_context*, const ms_norm_forward_args* a) {
  const bool layer = a->kind == MS_NORM_LAYER;
  const auto width = static_cast<double>(a->width);
  for (int64_t t = 0; t < a->rows; ++t) {
    const float* x = a->x + t * a->width;
    float* y = a->y + t * a->width;
    double mean = 0;
    if (layer) {
      for (int64_t c = 0; c < a->width; ++c) mean += x[c];
      mean /= width;
    }
    double variance = 0;
    for (int64_t c = 0; c < a->width; ++c) variance += (x[c] - mean) * (x[c] - mean);
    variance /= width;
    const double rstd = 1 / std::sqrt(variance + static_cast<double>(a->epsilon));
    for (int64_t c = 0; c < a->width; ++c) {
      const double bias = layer && a->bias ? a->bias[c] : 0;
      y[c] = static_cast<float>((x[c] - mean) * rstd * a->gain[c] + bias);
    }
    if (layer && a->mean) a->mean[t] = static_cast<float>(mean);
    if (a->rstd) a->rstd[t] = static_cast<float>(rstd);
  }
  return MS_OK;
}

// With xhat the normalised input and g = d_y o gain: d_x = rstd (g - mean(g) - xhat mean(g o xhat)); RMS lacks the mean(g) term.
int32_t plain_norm_backward(ms_context*, const ms_norm_backward_args* a) {
  const bool layer = a->kind == MS_NORM_LAYER;
  const int64_t width = a->width;
  std::vector<double> d_gain(static_cast<size_t>(width)), d_bias(static_cast<size_t>(width));
  for (int64_t t = 0; t < a->rows; ++t) {
    const float* x = a->x + t * width;
    const float* d_y = a->d_y + t * width;
    const double mean = layer ? a->mean[t] : 0, rstd = a->rstd[t];
    double g_mean = 0, g_xhat_mean = 0;
    for (int64_t c = 0; c < width; ++c) {
      const double xhat = (x[c] - mean) * rstd, g = static_cast<double>(d_y[c]) * a->gain[c];
      g_mean += g;
      g_xhat_mean += g * xhat;
      d_gain[static_cast<size_t>(c)] += d_y[c] * xhat;
      d_bias[static_cast<size_t>(c)] += d_y[c];
    }
    g_mean = layer ? g_mean / static_cast<double>(width) : 0;
    g_xhat_mean /= static_cast<double>(width);
    if (!a->d_x) continue;
    for (int64_t c = 0; c < width; ++c) {
      const double xhat = (x[c] - mean) * rstd, g = static_cast<double>(d_y[c]) * a->gain[c];
      const double residual = a->d_residual ? a->d_residual[t * width + c] : 0;
      a->d_x[t * width + c] = static_cast<float>(residual + rstd * (g - g_mean - xhat * g_xhat_mean));
    }
  }
  for (int64_t c = 0; c < width; ++c) {
    if (a->d_gain) a->d_gain[c] = static_cast<float>(a->d_gain[c] + d_gain[static_cast<size_t>(c)]);
    if (a->d_bias) a->d_bias[c] = static_cast<float>(a->d_bias[c] + d_bias[static_cast<size_t>(c)]);
  }
  return MS_OK;
}

}  // namespace mendset
