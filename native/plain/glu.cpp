// The gated linear unit of an MLP and its gradient.
#include "plain/activation.h"
#include "plain/plain_operations.h"

namespace mendset {

int32_t plain_glu_forward(ms_context*, const ms_glu_forward_args* a) {
  for (int64_t t = 0; t < a->rows; ++t) {
    const float* gate = a->x + t * 2 * a->width;
    for (int64_t c = 0; c < a->width; ++c)
      a->out[t * a->width + c] = static_cast<float>(activation(a->activation, gate[c]) * gate[a->width + c]);
  }
  return MS_OK;
}

int32_t plain_glu_backward(ms_context*, const ms_glu_backward_args* a) {
  for (int64_t t = 0; t < a->rows; ++t) {
    for (int64_t c = 0; c < a->width; ++c) {
      const int64_t at = t * 2 * a->width + c;
      const double gate = a->x[at], up = a->x[at + a->width], d_out = a->d_out[t * a->width + c];
      a->d_x[at] = static_cast<float>(d_out * up * activation_derivative(a->activation, gate));
      a->d_x[at + a->width] = static_cast<float>(d_out * activation(a->activation, gate));
    }
  }
  return MS_OK;
}

}  // namespace mendset
