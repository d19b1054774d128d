#include "model/trainer.h"

#include <algorithm>

namespace mendset {

namespace {

// Elements per update operation: about a millisecond, so that a step can end inside the embedding's update.
constexpr int64_t kUpdatePiece = int64_t{1} << 21;

}  // namespace

Status Trainer::allocate_state(size_t group) {
  OptimizerState& state = states_[group];
  const TensorGroup& range = model_->groups()[group];
  const size_t bytes = static_cast<size_t>(range.end - range.begin) * sizeof(float);
  if (state.second.data() == nullptr) MS_TRY(Buffer::allocate(model_->backend(), bytes, &state.second));
  if (options_.kind == OptimizerOptions::Kind::adamw && state.first.data() == nullptr) {
    MS_TRY(Buffer::allocate(model_->backend(), bytes, &state.first));
  }
  return {};
}

int64_t Trainer::bytes() const {
  size_t bytes = snapshot.bytes();
  for (const OptimizerState& state : states_) bytes += state.second.bytes() + state.first.bytes();
  return static_cast<int64_t>(bytes);
}

void build_update(Builder& builder, const Trainer& trainer, size_t group, const float* gradient, float lr, float grad_scale) {
  const OptimizerOptions& o = trainer.options();
  const TensorGroup& range = trainer.model()->groups()[group];
  const OptimizerState& state = trainer.states()[group];
  const int32_t block = trainer.model()->block_of_group(group);
  for (int64_t at = 0; at < range.end - range.begin; at += kUpdatePiece) {
    const int64_t count = std::min(kUpdatePiece, range.end - range.begin - at);
    float* w = trainer.model()->data() + range.begin + at;
    float* v = state.second.as<float>() + at;
    if (o.kind == OptimizerOptions::Kind::rmsprop) {
      builder.add(ms_rmsprop_args{count, w, gradient + at, v, lr, o.alpha, o.epsilon, grad_scale}, block);
    } else {
      builder.add(ms_adamw_args{count, w, gradient + at, state.first.as<float>() + at, v, lr, o.beta1, o.beta2, o.epsilon,
                                o.weight_decay, grad_scale, state.steps + 1},
                  block);
    }
  }
}

Status create_trainer(const std::shared_ptr<Model>& model, const std::shared_ptr<Model>& reference,
                      const OptimizerOptions& options, std::shared_ptr<Trainer>* out) {
  MS_TRY(check_language_model(model->architecture()));
  if (reference != nullptr) {
    const Architecture &a = model->architecture(), &r = reference->architecture();
    if (r.vocab != a.vocab || r.width != a.width) {
      return failure(Code::invalid_argument,
                     "The reference model must have the model's vocabulary and width (%lld, %lld), got (%lld, %lld).",
                     static_cast<long long>(a.vocab), static_cast<long long>(a.width), static_cast<long long>(r.vocab),
                     static_cast<long long>(r.width));
    }
    if (reference->backend() != model->backend())
      return failure(Code::invalid_argument, "The model and its reference must live on the same backend.");
  }
  const auto within = [](float value) { return value >= 0 && value < 1; };
  if (!within(options.alpha) || !within(options.beta1) || !within(options.beta2)) {
    return failure(Code::invalid_argument, "alpha, beta1 and beta2 must lie in [0, 1), got %g, %g and %g.",
                   static_cast<double>(options.alpha), static_cast<double>(options.beta1), static_cast<double>(options.beta2));
  }
  if (!(options.epsilon > 0) || !(options.weight_decay >= 0)) {
    return failure(Code::invalid_argument, "epsilon must be positive and weight_decay not negative, got %g and %g.",
                   static_cast<double>(options.epsilon), static_cast<double>(options.weight_decay));
  }
  std::shared_ptr<Model> frozen = reference;
  if (reference == model) MS_TRY(model->copy_head(&frozen));
  *out = std::make_shared<Trainer>(model, std::move(frozen), options);
  return {};
}

bool trainer_poisoned(const Trainer& trainer) { return trainer.poisoned; }

int64_t trainer_bytes(const Trainer& trainer) { return trainer.bytes(); }

Status snapshot_weights(Trainer& trainer) {
  const Model& model = *trainer.model();
  const size_t bytes = static_cast<size_t>(model.elements()) * sizeof(float);
  if (trainer.poisoned)
    return failure(Code::invalid_argument, "The weights are half updated; restore them before taking a snapshot.");
  if (trainer.snapshot.data() == nullptr) MS_TRY(Buffer::allocate(model.backend(), bytes, &trainer.snapshot));
  return model.backend()->check(
      model.backend()->table().copy(model.backend()->context(), trainer.snapshot.data(), model.data(), bytes), "copy");
}

Status restore_weights(Trainer& trainer) {
  const Model& model = *trainer.model();
  if (trainer.snapshot.data() == nullptr)
    return failure(Code::invalid_argument, "There is no snapshot to restore; take one first.");
  const size_t bytes = static_cast<size_t>(model.elements()) * sizeof(float);
  MS_TRY(model.backend()->check(
      model.backend()->table().copy(model.backend()->context(), model.data(), trainer.snapshot.data(), bytes), "copy"));
  trainer.poisoned = false;
  return {};
}

}  // namespace mendset
