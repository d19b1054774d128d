// The passes of one training step: how its batches are cut, and the operations of each part. The step runs them; the forecast of
// its memory only plans them.
#pragma once

#include <utility>
#include <vector>

#include "model/language_model.h"
#include "model/loss_pass.h"
#include "model/model.h"
#include "model/trainer.h"

namespace mendset {

class StepPasses {
 public:
  // The trainer, the request's arrays and `result` must outlive the passes.
  StepPasses(const Trainer& trainer, const StepRequest& request, StepResult* result);

  // Micro-batches are taken in the batch's order, first the repair samples (DPO: pairs), then the KL samples, each as long as it
  // holds at most `most_tokens` tokens (0: no limit) or one sample. Gradients are added up in that order; each token's weight in
  // the loss is that of the whole batch.
  void cut(int64_t most_tokens, bool checkpointed);
  size_t loss_parts() const { return micro_batches_.size(); }
  size_t sensitivity_parts() const { return sensitivity_ranges_.size(); }
  // Largest number of tokens by which `cut` makes one more micro-batch; 0 when each holds one sample.
  int64_t next_cut() const;
  bool checkpointed() const { return checkpointed_; }

  bool has_loss() const { return request_.loss != StepRequest::Loss::none || request_.weight_kl > 0; }
  bool updates() const { return request_.update && has_loss(); }
  bool backward() const { return (request_.update || request_.gradient_norm) && has_loss(); }

  // Appends a part's operations; called in ascending order of parts, and again for the same part while its plan does not fit.
  void build_sensitivity(Builder& builder, size_t part);
  void build_loss(Builder& builder, size_t part, const std::vector<int32_t>& blocks);
  // After the plan of a part is made / after its operations ran.
  void planned() { sink_ = building_; }
  Status finish_sensitivity(size_t part);
  Status finish_loss(size_t part);

  // What all parts need together; to be called before the first part is built.
  PlannedMemory plan_sensitivity(const Backend& backend);
  PlannedMemory plan_loss(const Backend& backend, const std::vector<int32_t>& blocks);

  // The gradient of a group after the last part.
  const float* gradient(size_t group) const { return sink_.group(group); }

 private:
  struct MicroBatch {
    int64_t first, last, normal_first, normal_last;
  };
  int64_t repair_tokens(int64_t sample) const;
  double sample_log_prob(size_t sample) const;
  void weigh_sample(size_t sample, double weight);
  Status weigh_pairs(const MicroBatch& batch);
  Status weigh_rejected(const MicroBatch& batch);
  int64_t repair_samples() const;
  void prepare_sensitivity(size_t part);
  void prepare_loss(size_t part);
  Status choose_blocks();

  const Trainer& trainer_;
  const Model& model_;
  const StepRequest& request_;
  StepResult* result_;
  std::vector<MicroBatch> micro_batches_;
  bool checkpointed_ = false;
  int64_t repair_tokens_ = 0, kl_tokens_ = 0, sensitivity_tokens_ = 0;  // scored
  std::vector<std::pair<int64_t, int64_t>> sensitivity_ranges_;
  LossPass pass_;
  std::vector<double> squares_;  // per tensor, or per group when the sensitivity batch has several parts
  std::vector<int32_t> span_;
  GradientSink sink_, building_;
  double gradient_squares_[2] = {0, 0};  // of the weights, or of A and of scale * B
};

}  // namespace mendset
