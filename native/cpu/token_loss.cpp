// Losses and their gradients from logits, a few rows a task.
#include <algorithm>

#include "cpu/cpu_operations.h"
#include "cpu/kernels.h"
#include "cpu/partition.h"

namespace mendset {

using namespace cpu;

int32_t cpu_token_loss(ms_context* handle, const ms_token_loss_args* args) {
  Context& context = context_of(handle);
  const ms_token_loss_args& a = *args;
  MS_EXPECT(context, a.rows >= 0 && a.vocab >= 1);
  constexpr int64_t kElementsPerTask = 16384;
  const int64_t rows_per_task = std::max<int64_t>(1, kElementsPerTask / a.vocab);
  const int64_t stride = a.reference ? (2 * a.vocab + 15) / 16 * 16 : 0;
  float* const scratch =
      reinterpret_cast<float*>(context.workspace.reserve(static_cast<size_t>(stride * context.pool.threads()) * sizeof(float)));
  if (!scratch) return context.fail(MS_OUT_OF_MEMORY, "no room for the probabilities of a row");
  run_tasks(context, blocks_of(a.rows, rows_per_task), a.rows * a.vocab * 4, [&](int64_t task, int worker) {
    const int64_t end = std::min(a.rows, (task + 1) * rows_per_task);
    for (int64_t t = task * rows_per_task; t < end; ++t) {
      float* const z = a.logits + t * a.vocab;
      if (a.argmax)
        a.argmax[t] = context.kernels.token_loss.first_equal(z, a.vocab, context.kernels.token_loss.largest(z, a.vocab));
      TokenLossRow row{.vocab = a.vocab,
                       .logits = z,
                       .reference = a.reference ? a.reference + t * a.vocab : nullptr,
                       .target = a.targets[t],
                       .ce_weight = a.ce_weight ? a.ce_weight[t] : 0.0f,
                       .kl_weight = a.kl_weight ? a.kl_weight[t] : 0.0f,
                       .reverse = a.kl_direction == MS_KL_REVERSE,
                       .write_gradient = a.write_gradient != 0,
                       .want_el2n = a.el2n != nullptr,
                       .scratch = scratch + worker * stride,
                       .log_prob = 0,
                       .el2n = 0,
                       .margin = 0,
                       .kl = 0};
      context.kernels.token_loss.row(row);
      if (a.log_prob) a.log_prob[t] = row.log_prob;
      if (a.el2n) a.el2n[t] = row.el2n;
      if (a.margin) a.margin[t] = row.margin;
      if (a.kl) a.kl[t] = row.kl;
    }
  });
  return MS_OK;
}

}  // namespace mendset
