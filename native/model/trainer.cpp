#include "model/trainer.h"

#include <algorithm>

namespace mendset {

namespace {

// Elements per update operation: about a millisecond, so that a step can end inside the embedding's update.
constexpr int64_t kUpdatePiece = int64_t{1} << 21;

}  // namespace

std::vector<size_t> Trainer::groups_of(const std::vector<int32_t>& blocks) const {
  std::vector<size_t> list;
  for (size_t g = 0; g < groups().size(); ++g) {
    const int32_t block = model_->block_of_group(g);
    const bool chosen = blocks.empty() || std::find(blocks.begin(), blocks.end(), block) != blocks.end();
    if (chosen && groups()[g].begin < groups()[g].end) list.push_back(g);
  }
  return list;
}

Status Trainer::allocate_state(size_t group) {
  OptimizerState& state = states_[group];
  const TensorGroup& range = groups()[group];
  const size_t bytes = static_cast<size_t>(range.end - range.begin) * sizeof(float);
  if (state.second.data() == nullptr) MS_TRY(Buffer::allocate(model_->backend(), bytes, &state.second));
  if (options_.kind == OptimizerOptions::Kind::adamw && state.first.data() == nullptr) {
    MS_TRY(Buffer::allocate(model_->backend(), bytes, &state.first));
  }
  return {};
}

int64_t Trainer::bytes() const {
  size_t bytes = adapter_snapshot.bytes() + gradients.bytes() + (adapter_ != nullptr ? adapter_->buffer().bytes() : 0);
  for (size_t g = 0; g < weights_snapshot.size(); ++g) {
    if (!weights_snapshot[g].narrow) bytes += static_cast<size_t>(model_->group_bytes(g, false));
  }
  for (const OptimizerState& state : states_) bytes += state.second.bytes() + state.first.bytes();
  return static_cast<int64_t>(bytes);
}

namespace {

// Updates elements [begin, end) of a group. `factor`: they are held multiplied by it, their gradients divided.
void build_range_update(Builder& builder, const Trainer& trainer, size_t group, int64_t begin, int64_t end, const float* gradient,
                        float lr, float grad_scale, float factor) {
  const OptimizerOptions& o = trainer.options();
  const OptimizerState& state = trainer.states()[group];
  const int32_t block = trainer.model()->block_of_group(group);
  for (int64_t at = begin; at < end; at += kUpdatePiece) {
    const int64_t count = std::min(kUpdatePiece, end - at), inside = at - trainer.groups()[group].begin;
    float* w = trainer.parameters(group) + inside;
    const float* g = gradient + (at - begin);
    float* v = state.second.as<float>() + inside;
    if (o.kind == OptimizerOptions::Kind::rmsprop) {
      builder.add(ms_rmsprop_args{count, w, g, v, factor * lr, o.alpha, o.epsilon, factor * grad_scale}, block);
    } else {
      builder.add(ms_adamw_args{count, w, g, state.first.as<float>() + inside, v, factor * lr, o.beta1, o.beta2, o.epsilon,
                                o.weight_decay / factor, factor * grad_scale, state.steps + 1},
                  block);
    }
  }
}

}  // namespace

void build_update(Builder& builder, const Trainer& trainer, size_t group, const float* gradient, float lr, float grad_scale) {
  const TensorGroup& range = trainer.groups()[group];
  if (trainer.adapter() == nullptr) {
    build_range_update(builder, trainer, group, range.begin, range.end, gradient, lr, grad_scale, 1);
    return;
  }
  for (size_t t = range.first; t < range.last; ++t) {
    const int tensor = static_cast<int>(t);
    const int64_t begin = trainer.offset(tensor);
    build_range_update(builder, trainer, group, begin, begin + trainer.tensors()[t].count, gradient + (begin - range.begin), lr,
                       grad_scale, trainer.adapter()->is_b(tensor) ? trainer.adapter()->scale() : 1);
  }
}

Status create_trainer(const std::shared_ptr<Model>& model, const std::shared_ptr<Model>& reference,
                      const OptimizerOptions& options, const AdapterOptions* adapter_options, std::shared_ptr<Trainer>* out) {
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
  std::shared_ptr<Adapter> adapter;
  if (adapter_options != nullptr) MS_TRY(Adapter::create(*model, *adapter_options, &adapter));
  std::shared_ptr<Model> frozen = reference;
  // steps with an adapter leave the model's own weights alone
  if (reference == model && adapter == nullptr) MS_TRY(model->copy_head(&frozen));
  *out = std::make_shared<Trainer>(model, std::move(frozen), options, std::move(adapter));
  return {};
}

bool trainer_poisoned(const Trainer& trainer) { return trainer.poisoned; }

int64_t trainer_bytes(const Trainer& trainer) { return trainer.bytes(); }

const std::vector<TensorInfo>& trained_tensors(const Trainer& trainer) { return trainer.tensors(); }

Status read_gradient(const Trainer& trainer, const std::string& name, std::span<float> out) {
  const std::vector<int32_t>& blocks = trainer.gradient_blocks;
  for (size_t t = 0; t < trainer.tensors().size(); ++t) {
    const TensorInfo& info = trainer.tensors()[t];
    if (info.name != name) continue;
    const int tensor = static_cast<int>(t);
    if (static_cast<size_t>(info.count) != out.size()) {
      return failure(Code::invalid_argument, "Tensor %s has %lld elements, got an array of %zu.", name.c_str(),
                     static_cast<long long>(info.count), out.size());
    }
    const bool formed = blocks.empty() || std::find(blocks.begin(), blocks.end(), info.block) != blocks.end();
    if (trainer.gradients.data() == nullptr || !formed)
      return failure(Code::invalid_argument, "No step has kept a gradient of %s; ask for it with keep_gradients.", name.c_str());
    MS_TRY(trainer.gradients.download(out.data(), out.size_bytes(), static_cast<size_t>(trainer.offset(tensor)) * sizeof(float)));
    trainer.to_stored(tensor, out.data());
    const Adapter* adapter = trainer.adapter();
    // d B = scale d (scale B): `to_stored` divided as if these were values of B
    if (adapter != nullptr && adapter->is_b(tensor)) {
      for (float& value : out) value *= adapter->scale() * adapter->scale();
    }
    return {};
  }
  return failure(Code::not_found, "The trainer trains no tensor %.200s.", name.c_str());
}

Status snapshot_weights(Trainer& trainer) {
  if (trainer.poisoned)
    return failure(Code::invalid_argument, "The weights are half updated; restore them before taking a snapshot.");
  if (trainer.adapter() == nullptr) return trainer.model()->keep(&trainer.weights_snapshot);
  const Backend& backend = *trainer.model()->backend();
  const Buffer& values = trainer.adapter()->buffer();
  if (!trainer.has_snapshot()) MS_TRY(Buffer::allocate(trainer.model()->backend(), values.bytes(), &trainer.adapter_snapshot));
  return backend.check(backend.table().copy(backend.context(), trainer.adapter_snapshot.data(), values.data(), values.bytes()),
                       "copy");
}

Status restore_weights(Trainer& trainer) {
  if (!trainer.has_snapshot()) return failure(Code::invalid_argument, "There is no snapshot to restore; take one first.");
  if (trainer.adapter() == nullptr) {
    MS_TRY(trainer.model()->put_back(trainer.weights_snapshot));
  } else {
    const Backend& backend = *trainer.model()->backend();
    const Buffer& values = trainer.adapter()->buffer();
    MS_TRY(backend.check(backend.table().copy(backend.context(), values.data(), trainer.adapter_snapshot.data(), values.bytes()),
                         "copy"));
  }
  trainer.poisoned = false;
  return {};
}

}  // namespace mendset
