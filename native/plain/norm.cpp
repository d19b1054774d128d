// Layer norm and RMS norm, statistics in fp64.
#include <cmath>
#include <vector>

#include "plain/plain_operations.h"

namespace mendset {

namespace {

// Where a group of a row lies: its columns in x and in y, and its place among the statistics.
struct Stretch {
  int64_t x, y, statistic;
};
template <typename Args>
int64_t stretches(const Args& a) {
  return a.rows * (a.groups > 0 ? a.groups : 1);
}
template <typename Args>
Stretch stretch(const Args& a, int64_t i) {
  if (a.groups == 0) return {i * a.width, i * a.width, i};
  const int64_t row = i / a.groups, group = i % a.groups;
  return {row * a.ld_x + group * a.width, row * a.ld_y + group * a.width, i};
}

}  // namespace

int32_t plain_norm_forward(ms_context*, const ms_norm_forward_args* a) {
  const bool layer = a->kind == MS_NORM_LAYER;
  const auto width = static_cast<double>(a->width);
  for (int64_t i = 0; i < stretches(*a); ++i) {
    const auto [at_x, at_y, t] = stretch(*a, i);
    const float* x = a->x + at_x;
    float* y = a->y + at_y;
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
  for (int64_t i = 0; i < stretches(*a); ++i) {
    const auto [at_x, at_y, t] = stretch(*a, i);
    const float* x = a->x + at_x;
    const float* d_y = a->d_y + at_y;
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
      const double residual = a->d_residual ? a->d_residual[at_x + c] : 0;
      a->d_x[at_x + c] = static_cast<float>(residual + rstd * (g - g_mean - xhat * g_xhat_mean));
    }
  }
  for (int64_t c = 0; c < width; ++c) {
    if (a->d_gain) a->d_gain[c] = static_cast<float>(a->d_gain[c] + d_gain[static_cast<size_t>(c)]);
    if (a->d_bias) a->d_bias[c] = static_cast<float>(a->d_bias[c] + d_bias[static_cast<size_t>(c)]);
  }
  return MS_OK;
}

}  // namespace mendset
