// Optimiser state of one model under training.
#pragma once

#include <memory>
#include <vector>

#include "model/language_model.h"
#include "model/model.h"
#include "model/schedule.h"

namespace mendset {

class StepPasses;

// State of one tensor group, allocated at its first update. All tensors of a group are always updated together, so one counter is
// the bias-correction counter of each of them.
struct OptimizerState {
  Buffer second;      // v
  Buffer first;       // m (AdamW)
  int64_t steps = 0;  // updates so far
};

class Trainer {
 public:
  Trainer(std::shared_ptr<Model> model, std::shared_ptr<Model> reference, const OptimizerOptions& options)
      : model_(std::move(model)), reference_(std::move(reference)), options_(options), states_(model_->groups().size()) {}

  const std::shared_ptr<Model>& model() const { return model_; }
  const Model* reference() const { return reference_.get(); }
  const OptimizerOptions& options() const { return options_; }
  std::vector<OptimizerState>& states() { return states_; }
  const std::vector<OptimizerState>& states() const { return states_; }

  Status allocate_state(size_t group);
  void reset_states() { states_ = std::vector<OptimizerState>(states_.size()); }
  int64_t bytes() const;

  bool poisoned = false;  // an update began and did not end
  Buffer snapshot;

 private:
  std::shared_ptr<Model> model_, reference_;
  OptimizerOptions options_;
  std::vector<OptimizerState> states_;
};

// One sentence about the first thing wrong in a request, before any work.
Status check_request(const Trainer& trainer, const StepRequest& request);

// Cuts the batch as the request says, or as its memory budget allows.
Status choose_cut(const Trainer& trainer, const StepRequest& request, StepPasses* passes);

// Appends the update of one group from its gradient.
void build_update(Builder& builder, const Trainer& trainer, size_t group, const float* gradient, float lr, float grad_scale);

}  // namespace mendset
