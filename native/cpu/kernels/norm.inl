// Layer norm and RMS norm of consecutive rows: statistics in fp64.
namespace mendset::cpu::MENDSET_ISA {

static void norm_forward(int64_t rows, int64_t width, bool layer, float epsilon, const float* x, const float* gain,
                         const float* bias, float* y, float* mean, float* rstd) {
  if (!layer) bias = nullptr;
  for (int64_t t = 0; t < rows; ++t, x += width, y += width) {
    double centre = 0;
    if (layer) {
      Sum64 sum;
      over_vectors(width, [&](auto lanes, int64_t c) { sum.add(lanes.get(x + c)); });
      centre = sum.total() / static_cast<double>(width);
    }
    const Vec middle = set1(static_cast<float>(centre));
    Sum64 squares;
    over_vectors(width, [&](auto lanes, int64_t c) {
      const Vec difference = lanes.keep(lanes.get(x + c) - middle, zero());
      squares.add_product(difference, difference);
    });
    const double variance = squares.total() / static_cast<double>(width);
    const auto scale = static_cast<float>(1 / std::sqrt(variance + static_cast<double>(epsilon)));
    const Vec factor = set1(scale);
    if (bias) {
      over_vectors(width, [&](auto lanes, int64_t c) {
        lanes.put(y + c, fma((lanes.get(x + c) - middle) * factor, lanes.get(gain + c), lanes.get(bias + c)));
      });
    } else {
      over_vectors(width,
                   [&](auto lanes, int64_t c) { lanes.put(y + c, (lanes.get(x + c) - middle) * factor * lanes.get(gain + c)); });
    }
    if (layer && mean) mean[t] = static_cast<float>(centre);
    if (rstd) rstd[t] = scale;
  }
}

static void norm_backward(int64_t rows, int64_t width, bool layer, const float* x, const float* gain, const float* mean,
                          const float* rstd, const float* d_y, const float* d_residual, float* d_x, float* d_gain,
                          float* d_bias) {
  for (int64_t t = 0; t < rows; ++t, x += width, d_y += width) {
    const Vec middle = set1(layer ? mean[t] : 0.0f), factor = set1(rstd[t]);
    if (d_gain) {
      over_vectors(width, [&](auto lanes, int64_t c) {
        const Vec d = lanes.get(d_y + c);
        lanes.put(d_gain + c, fma((lanes.get(x + c) - middle) * factor, d, lanes.get(d_gain + c)));
        lanes.put(d_bias + c, lanes.get(d_bias + c) + d);
      });
    }
    if (!d_x) continue;
    Sum64 g_sum, g_xhat_sum;
    over_vectors(width, [&](auto lanes, int64_t c) {
      const Vec g = lanes.get(d_y + c) * lanes.get(gain + c);  // 0 behind the end
      g_sum.add(g);
      g_xhat_sum.add_product(g, (lanes.get(x + c) - middle) * factor);
    });
    const Vec g_mean = set1(layer ? static_cast<float>(g_sum.total() / static_cast<double>(width)) : 0.0f);
    const Vec g_xhat_mean = set1(static_cast<float>(g_xhat_sum.total() / static_cast<double>(width)));
    over_vectors(width, [&](auto lanes, int64_t c) {
      const Vec g = lanes.get(d_y + c) * lanes.get(gain + c);
      const Vec xhat = (lanes.get(x + c) - middle) * factor;
      const Vec inner = g - g_mean - xhat * g_xhat_mean;
      const Vec residual = d_residual ? lanes.get(d_residual + c) : zero();
      lanes.put(d_x + c, fma(inner, factor, residual));
    });
    d_x += width;
    if (d_residual) d_residual += width;
  }
}

static const NormKernels norm_kernels = {.forward = norm_forward, .backward = norm_backward};

}  // namespace mendset::cpu::MENDSET_ISA
