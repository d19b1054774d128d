// Optimiser state of one model under training.
#pragma once

#include <memory>
#include <vector>

#include "model/adapter.h"
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
  Trainer(std::shared_ptr<Model> model, std::shared_ptr<Model> reference, const OptimizerOptions& options,
          std::shared_ptr<Adapter> adapter)
      : model_(std::move(model)),
        reference_(std::move(reference)),
        adapter_(std::move(adapter)),
        options_(options),
        states_(model_->groups().size()) {}

  // What the optimiser changes: the model's weights, or the adapter.
  const Adapter* adapter() const { return adapter_.get(); }
  const std::vector<TensorInfo>& tensors() const { return adapter_ ? adapter_->tensors() : model_->tensors(); }
  const std::vector<TensorGroup>& groups() const { return adapter_ ? adapter_->groups() : model_->groups(); }
  int64_t offset(int tensor) const { return adapter_ ? adapter_->offset(tensor) : model_->offset(tensor); }
  // [begin, end) of a group; the model's must be held in fp32.
  float* parameters(size_t group) const { return adapter_ ? adapter_->data() + groups()[group].begin : model_->group_data(group); }
  int64_t elements() const { return adapter_ ? adapter_->elements() : model_->elements(); }
  // The groups that a slice trains, ascending; no blocks = all. Groups without tensors are left out.
  std::vector<size_t> groups_of(const std::vector<int32_t>& blocks) const;
  // Rewrites one tensor's values on the host from the order held to that of a file.
  void to_stored(int tensor, float* values) const {
    adapter_ ? adapter_->to_stored(*model_, tensor, values) : model_->to_stored_order(tensor, values);
  }

  const std::shared_ptr<Model>& model() const { return model_; }
  const Model* reference() const { return reference_.get(); }
  const std::shared_ptr<Model>& shared_reference() const { return reference_; }
  const OptimizerOptions& options() const { return options_; }
  std::vector<OptimizerState>& states() { return states_; }
  const std::vector<OptimizerState>& states() const { return states_; }

  Status allocate_state(size_t group);
  void reset_states() { states_ = std::vector<OptimizerState>(states_.size()); }
  int64_t bytes() const;

  bool poisoned = false;  // an update began and did not end
  bool merged = false;    // the adapter is part of the weights now
  Buffer adapter_snapshot;
  std::vector<GroupMemory> weights_snapshot;  // empty when there is none
  bool has_snapshot() const { return adapter_ ? adapter_snapshot.data() != nullptr : !weights_snapshot.empty(); }
  Buffer gradients;  // by the tensors' offsets, of the last step that kept them
  std::vector<int32_t> gradient_blocks;

 private:
  std::shared_ptr<Model> model_, reference_;
  std::shared_ptr<Adapter> adapter_;
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
