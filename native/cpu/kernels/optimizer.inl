// RMSprop and AdamW.
namespace mendset::cpu::MENDSET_ISA {

static void optimizer_rmsprop(const ms_rmsprop_args& a, int64_t begin, int64_t end) {
  const Vec scale = set1(a.grad_scale), alpha = set1(a.alpha), epsilon = set1(a.epsilon), lr = set1(a.lr);
  const Vec rest = set1(static_cast<float>(1 - static_cast<double>(a.alpha)));
  float* const w = a.w + begin;
  float* const v = a.v + begin;
  const float* const g = a.g + begin;
  over_vectors(end - begin, [&](auto lanes, int64_t i) {
    const Vec gradient = scale * lanes.get(g + i);
    const Vec mean = fma(alpha, lanes.get(v + i), rest * gradient * gradient);
    lanes.put(v + i, mean);
    lanes.put(w + i, lanes.get(w + i) - lr * gradient / (sqrt(mean) + epsilon));
  });
}

static void optimizer_adamw(const ms_adamw_args& a, int64_t begin, int64_t end) {
  const double beta1 = a.beta1, beta2 = a.beta2, lr = a.lr;
  const double correction1 = 1 - std::pow(beta1, static_cast<double>(a.step));
  const double correction2 = 1 - std::pow(beta2, static_cast<double>(a.step));
  const Vec scale = set1(a.grad_scale), decay1 = set1(a.beta1), decay2 = set1(a.beta2), epsilon = set1(a.epsilon);
  const Vec rest1 = set1(static_cast<float>(1 - beta1)), rest2 = set1(static_cast<float>(1 - beta2));
  const Vec keep = set1(static_cast<float>(1 - lr * static_cast<double>(a.weight_decay)));
  const Vec rate = set1(static_cast<float>(lr / correction1)), root = set1(static_cast<float>(1 / std::sqrt(correction2)));
  float* const w = a.w + begin;
  float* const m = a.m + begin;
  float* const v = a.v + begin;
  const float* const g = a.g + begin;
  over_vectors(end - begin, [&](auto lanes, int64_t i) {
    const Vec gradient = scale * lanes.get(g + i);
    const Vec first = fma(decay1, lanes.get(m + i), rest1 * gradient);
    const Vec second = fma(decay2, lanes.get(v + i), rest2 * gradient * gradient);
    lanes.put(m + i, first);
    lanes.put(v + i, second);
    lanes.put(w + i, keep * lanes.get(w + i) - rate * first / fma(sqrt(second), root, epsilon));
  });
}

static const OptimizerKernels optimizer_kernels = {.rmsprop = optimizer_rmsprop, .adamw = optimizer_adamw};

}  // namespace mendset::cpu::MENDSET_ISA
