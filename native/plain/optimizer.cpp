// Optimiser updates: fp32 state, fp64 arithmetic.
#include <cmath>

#include "plain/plain_operations.h"

namespace mendset {

int32_t plain_rmsprop(ms_context*, const ms_rmsprop_args* a) {
  const double alpha = a->alpha;
  for (int64_t i = 0; i < a->count; ++i) {
    const double g = static_cast<double>(a->grad_scale) * a->g[i];
    const double v = alpha * a->v[i] + (1 - alpha) * g * g;
    a->v[i] = static_cast<float>(v);
    a->w[i] = static_cast<float>(a->w[i] - a->lr * g / (std::sqrt(v) + a->epsilon));
  }
  return MS_OK;
}

int32_t plain_adamw(ms_context*, const ms_adamw_args* a) {
  const double beta1 = a->beta1, beta2 = a->beta2, lr = a->lr;
  const double correction1 = 1 - std::pow(beta1, static_cast<double>(a->step));
  const double correction2 = 1 - std::pow(beta2, static_cast<double>(a->step));
  for (int64_t i = 0; i < a->count; ++i) {
    const double g = static_cast<double>(a->grad_scale) * a->g[i];
    const double m = beta1 * a->m[i] + (1 - beta1) * g;
    const double v = beta2 * a->v[i] + (1 - beta2) * g * g;
    a->m[i] = static_cast<float>(m);
    a->v[i] = static_cast<float>(v);
    const double decayed = a->w[i] * (1 - lr * a->weight_decay);
    a->w[i] = static_cast<float>(decayed - lr * (m / correction1) / (std::sqrt(v / correction2) + a->epsilon));
  }
  return MS_OK;
}

}  // namespace mendset
