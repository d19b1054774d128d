// The gated linear unit of one row.
namespace mendset::cpu::MENDSET_ISA {

// call(f, f') with functions over Vec.
template <typename Call>
MS_INLINE void with_activation(int32_t kind, Call call) {
  switch (kind) {
    case MS_ACTIVATION_GELU_TANH:
      return call([](Vec x) { return gelu_tanh(x); }, [](Vec x) { return gelu_tanh_derivative(x); });
    case MS_ACTIVATION_GELU_ERF:
      return call([](Vec x) { return gelu_erf(x); }, [](Vec x) { return gelu_erf_derivative(x); });
    case MS_ACTIVATION_RELU:
      return call([](Vec x) { return relu(x); }, [](Vec x) { return relu_derivative(x); });
    case MS_ACTIVATION_SILU:
      return call([](Vec x) { return silu(x); }, [](Vec x) { return silu_derivative(x); });
    case MS_ACTIVATION_TANH:
      return call([](Vec x) { return tanh(x); }, [](Vec x) { return tanh_derivative(x); });
    default:
      return call([](Vec x) { return x; }, [](Vec) { return set1(1.0f); });
  }
}

static void glu_forward(int32_t activation, const float* gate, const float* up, int64_t n, float* out) {
  with_activation(activation, [&](auto f, auto) {
    over_vectors(n, [&](auto lanes, int64_t c) { lanes.put(out + c, f(lanes.get(gate + c)) * lanes.get(up + c)); });
  });
}

static void glu_backward(int32_t activation, const float* gate, const float* up, const float* d_out, int64_t n, float* d_gate,
                         float* d_up) {
  with_activation(activation, [&](auto f, auto derivative) {
    over_vectors(n, [&](auto lanes, int64_t c) {
      const Vec g = lanes.get(gate + c), u = lanes.get(up + c), d = lanes.get(d_out + c);
      lanes.put(d_gate + c, d * u * derivative(g));
      lanes.put(d_up + c, d * f(g));
    });
  });
}

static const GluKernels glu_kernels = {.forward = glu_forward, .backward = glu_backward};

}  // namespace mendset::cpu::MENDSET_ISA
