// Statistics, losses and gradients of rows of logits.
#include <vector>

#include "plain/losses.h"
#include "plain/plain_operations.h"

namespace mendset {

int32_t plain_token_loss(ms_context*, const ms_token_loss_args* a) {
  for (int64_t t = 0; t < a->rows; ++t) {
    float* z = a->logits + t * a->vocab;
    const float* reference = a->reference ? a->reference + t * a->vocab : nullptr;
    const int32_t y = a->targets[t];
    const bool forward = a->kl_direction == MS_KL_FORWARD;
    if (a->log_prob) a->log_prob[t] = y < 0 ? 0 : loss_log_prob(z, a->vocab, y);
    if (a->el2n) a->el2n[t] = y < 0 ? 0 : loss_el2n(z, a->vocab, y);
    if (a->margin) a->margin[t] = y < 0 ? 0 : loss_margin(z, a->vocab, y);
    if (a->kl) {
      a->kl[t] = 0;
      if (reference) a->kl[t] = forward ? loss_kl_forward(z, reference, a->vocab) : loss_kl_reverse(z, reference, a->vocab);
    }
    if (a->argmax) {
      int32_t best = 0;
      for (int32_t j = 1; j < a->vocab; ++j) {
        if (z[j] > z[best]) best = j;
      }
      a->argmax[t] = best;
    }
    if (!a->write_gradient) continue;
    std::vector<double> gradient(static_cast<size_t>(a->vocab));
    if (a->ce_weight && y >= 0) loss_ce_gradient(z, a->vocab, y, a->ce_weight[t], gradient.data());
    if (a->kl_weight && reference) {
      if (forward) {
        loss_kl_forward_gradient(z, reference, a->vocab, a->kl_weight[t], gradient.data());
      } else {
        loss_kl_reverse_gradient(z, reference, a->vocab, a->kl_weight[t], gradient.data());
      }
    }
    for (int64_t j = 0; j < a->vocab; ++j) z[j] = static_cast<float>(gradient[static_cast<size_t>(j)]);
  }
  return MS_OK;
}

}  // namespace mendset
