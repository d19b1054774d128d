// One pass over a batch: forward, losses (CE with a weight per row, KL against a reference), and if wanted the backward.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "model/backward.h"
#include "model/model.h"
#include "model/packed_rows.h"

namespace mendset {

// Host side of a pass. It must stay in place while a schedule built from it exists.
struct LossPass {
  const Model* model = nullptr;
  const Adapter* adapter = nullptr;  // beside the model's weights; the sink must know the same one
  PackedRows rows;
  bool checkpointed = false;      // activations are computed again in the backward pass
  int64_t kl_begin = 0;           // loss rows before it carry CE, from it on KL
  std::vector<float> ce_weights;  // [kl_begin]: factor of each row's CE in the loss
  // DPO: the weights follow from log_prob. Called between a first sweep over the logits and a second; fills ce_weights.
  std::function<Status()> weigh;

  const Model* reference = nullptr;  // supplies the head of the KL's reference
  std::span<const float> reference_hidden;
  std::vector<int32_t> reference_rows;  // [losses - kl_begin]: rows of reference_hidden, ascending
  std::vector<float> kl_weights;        // [losses - kl_begin]
  int32_t kl_direction = MS_KL_FORWARD;

  std::vector<double> log_prob;  // [kl_begin], filled by the pass
  std::vector<double> kl;        // [losses - kl_begin], filled by the pass

  // Appends the samples [first, last), whose scored tokens carry CE with `weight` each. All CE samples come before the KL
  // samples.
  void add_ce(const PackedBatch& batch, int64_t first_sample, int64_t last_sample, float weight);
  // hidden: of the whole batch.
  void add_kl(const PackedBatch& batch, int64_t first_sample, int64_t last_sample, std::span<const float> hidden, float weight);
  int64_t losses() const { return rows.losses(); }
};

// sink null: losses only, no activations kept.
void build_loss_pass(Builder& builder, LossPass& pass, GradientSink* sink);

}  // namespace mendset
