// Optimiser state and gradient memory of one model under training.
#pragma once

#include <memory>
#include <vector>

#include "model/language_model.h"
#include "model/model.h"
#include "model/schedule.h"

namespace mendset {

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

  // The groups that a slice trains: [first, last). block -1 = all.
  std::pair<size_t, size_t> groups_of(int32_t block) const {
    const size_t b = static_cast<size_t>(block) + 1;
    return block < 0 ? std::pair<size_t, size_t>{0, states_.size()} : std::pair<size_t, size_t>{b, b + 1};
  }
  // Gradient memory for all tensors or for one block (blocks are alike), zeroed when new; the padding between tensors stays zero.
  Status gradients(int32_t block, float** base);
  Status allocate_state(size_t group);
  void reset_states() { states_ = std::vector<OptimizerState>(states_.size()); }
  int64_t bytes() const;

  bool poisoned = false;  // an update began and did not end
  Buffer snapshot;

 private:
  std::shared_ptr<Model> model_, reference_;
  OptimizerOptions options_;
  std::vector<OptimizerState> states_;
  Buffer gradients_all_, gradients_block_;
};

// One sentence about the first thing wrong in a request, before any work.
Status check_request(const Trainer& trainer, const StepRequest& request);

// Appends the update of groups [first, last) from gradients at gradient + (element - origin).
void build_update(Builder& builder, const Trainer& trainer, size_t first, size_t last, const float* gradient, int64_t origin,
                  float lr, float grad_scale);

}  // namespace mendset
