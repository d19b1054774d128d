// The backward pass as a list of operations, and what it leaves behind: gradients, or per-sample gradient norms.
#pragma once

#include <vector>

#include "model/adapter.h"
#include "model/forward.h"
#include "model/model.h"
#include "model/packed_rows.h"
#include "model/schedule.h"

namespace mendset {

// Ranges of rows that count as one sample each; one span over all rows gives the norm of the whole batch's gradient.
struct SampleSpans {
  int64_t samples = 0, max_length = 0;
  const int32_t* offsets = nullptr;  // [samples + 1] on the backend
};

// Decides per tensor what the backward pass forms.
class GradientSink {
 public:
  // Which tensors: everything, those of all blocks, or those of `blocks`.
  struct Wanted {
    bool outside = true;          // embeddings, final norm, head
    std::vector<int32_t> blocks;  // ascending; empty = all
    static Wanted everything() { return {}; }
    static Wanted every_block() { return {false, {}}; }
    static Wanted of(int32_t block) { return block < 0 ? everything() : Wanted{false, {block}}; }
  };

  // Gradients, each overwritten at its first use and added to afterwards. A group's memory is taken when the backward pass first
  // writes to it, so that it may lie where activations were that are used up by then.
  static GradientSink gradients(const Model& model, Wanted wanted);
  // Squared norms at squares[sample * tensors + t], added to what is there.
  static GradientSink sample_norms(const Model& model, Wanted wanted, double* squares, SampleSpans spans);

  // Input gradients pass the adapter too, and the gradients formed are the adapter's, by its groups.
  void adapt(const Adapter* adapter) {
    adapter_ = adapter;
    trains_adapter_ = adapter != nullptr;
  }
  // Input gradients pass the adapter, but gradients and norms stay the weights' own.
  void adapt_inputs(const Adapter* adapter) { adapter_ = adapter; }
  const Adapter* adapter() const { return adapter_; }

  bool wants(int32_t block) const;  // -1: embeddings, final norm, head
  int32_t lowest_block() const { return wanted_.outside || wanted_.blocks.empty() ? 0 : wanted_.blocks.front(); }
  bool forms_gradients() const { return squares_ == nullptr; }
  // Takes the memory of every wanted group anew: what a pass does first when several passes add into the same gradients, so that
  // they lie at the same place in each.
  void hold(Builder& builder);
  // Where the gradient of a group lies (its padding is zero); null when it is not wanted or not formed yet.
  float* group(size_t index) const { return groups_[index]; }
  float* gradient(int tensor) const { return tensor < 0 ? nullptr : place(tensor); }
  double* squares(int tensor) const { return tensor < 0 ? nullptr : squares_ + tensor; }
  int64_t stride() const { return static_cast<int64_t>(model_->tensors().size()); }

  // d_y [rows, out] is the gradient at the output of y = f(x) W + b.
  void linear(Builder& builder, const LinearMap& map, int64_t rows, const float* x, int32_t activation, const float* d_y,
              int64_t ld_y, int32_t block);
  // Backward through a norm, with its own parameters if wanted. d_x may be null, and may be d_residual or d_y. `spans`: those of
  // these rows where they differ from the pass's.
  void norm(Builder& builder, const NormMap& map, int64_t rows, const float* x, const float* mean, const float* rstd,
            const float* d_y, const float* d_residual, float* d_x, int32_t block, const SampleSpans* spans = nullptr);
  // Backward through the norm of every head of queries or keys: x, d_y and d_x are columns of rows that lie ld apart.
  void head_norm(Builder& builder, const NormMap& map, int64_t rows, int64_t heads, int64_t ld, const float* x, const float* rstd,
                 const float* d_y, float* d_x, int32_t block);
  // Gradient at the sum of token and position embeddings (gradients only).
  void embedding(Builder& builder, const DeviceRows& rows, const float* d_out);

 private:
  // Marks a tensor as written; true when it already was.
  bool mark(int tensor);
  void take(Builder& builder, size_t group);
  // Its group's memory, taken if there is none yet.
  float* gradient(Builder& builder, int tensor);
  float* place(int tensor) const {
    const size_t group = model_->group_of(tensor);
    return groups_[group] + (model_->offset(tensor) - model_->groups()[group].begin);
  }

  const Model* model_ = nullptr;
  const Adapter* adapter_ = nullptr;
  bool trains_adapter_ = false;
  Wanted wanted_;
  std::vector<float*> groups_;  // per tensor group
  double* squares_ = nullptr;
  SampleSpans spans_;
  std::vector<bool> written_;
};

// d_x = beta d_x + gradient of the input of a linear map.
void build_linear_input(Builder& builder, const Model& model, const LinearMap& map, int64_t rows, const float* d_y, int64_t ld_y,
                        const float* x, int32_t activation, float* d_x, float beta, int32_t block,
                        const Adapter* adapter = nullptr);

// From d_out [rows, width], the gradient at the last block's output, down to sink.lowest_block(). On return d_out holds the
// gradient at the embedding sum if the sink wants it. Gives activations back as they are used up.
void build_backward(Builder& builder, const Model& model, const DeviceRows& rows, const ForwardPass& pass, float* d_out,
                    GradientSink& sink);

}  // namespace mendset
