#include "model/adapter.h"

#include <algorithm>
#include <cmath>

#include "core/random.h"
#include "model/family.h"

namespace mendset {

namespace {

constexpr int64_t kAlignment = 16;           // elements: 64 bytes
constexpr uint32_t kFirstStream = 1u << 16;  // beyond the streams of a fresh model's own tensors

std::string module_name(const Model& model, int weight) {
  std::string name = model.tensors()[static_cast<size_t>(weight)].name;
  name.resize(name.size() - std::string(".weight").size());
  const std::string prefix = model.architecture().family->prefix;
  return name.starts_with(prefix) ? name : prefix + name;  // old GPT-2 checkpoints have none
}

bool is_target(const std::string& module, const std::vector<std::string>& targets) {
  return targets.empty() || std::any_of(targets.begin(), targets.end(), [&](const std::string& target) {
           return module == target || module.ends_with("." + target);
         });
}

}  // namespace

Status Adapter::create(const Model& model, const AdapterOptions& options, std::shared_ptr<Adapter>* out) {
  if (options.rank < 1 || options.rank > model.architecture().width) {
    return failure(Code::invalid_argument, "The rank of an adapter must lie between 1 and the model's width of %lld, got %lld.",
                   static_cast<long long>(model.architecture().width), static_cast<long long>(options.rank));
  }
  if (!std::isfinite(options.alpha) || options.alpha <= 0)
    return failure(Code::invalid_argument, "alpha of an adapter must be positive, got %g.", static_cast<double>(options.alpha));
  auto adapter = std::make_shared<Adapter>();
  adapter->rank_ = options.rank;
  adapter->scale_ = options.alpha / static_cast<float>(options.rank);
  adapter->map_of_weight_.assign(model.tensors().size(), -1);
  std::vector<bool> matched(options.targets.size(), false);
  std::string known;
  const auto add = [&](const std::string& name, std::vector<int64_t> shape, int32_t block) {
    const int64_t count = shape[0] * shape[1];
    adapter->tensors_.push_back({name, std::move(shape), count, block});
    adapter->offsets_.push_back(adapter->elements_);
    adapter->elements_ += (count + kAlignment - 1) / kAlignment * kAlignment;
    return static_cast<int>(adapter->tensors_.size()) - 1;
  };
  const auto open_group = [&] {
    const size_t tensor = adapter->tensors_.size();
    adapter->groups_.push_back({tensor, tensor, adapter->elements_, adapter->elements_});
  };
  open_group();
  for (size_t b = 0; b < model.map().blocks.size(); ++b) {
    open_group();
    for (const LinearMap* linear : block_linears(model.map().blocks[b])) {
      const std::string module = module_name(model, linear->weight);
      if (b == 0) known += (known.empty() ? "" : ", ") + module.substr(module.rfind('.') + 1);
      for (size_t t = 0; t < matched.size(); ++t) matched[t] = matched[t] || is_target(module, {options.targets[t]});
      if (!is_target(module, options.targets)) continue;
      const int32_t block = static_cast<int32_t>(b);
      const std::string name = "base_model.model." + module;
      LowRankMap map;
      map.in = linear->in;
      map.out = linear->out;
      map.a = add(name + ".lora_A.weight", {options.rank, linear->in}, block);
      map.b = add(name + ".lora_B.weight", {linear->out, options.rank}, block);
      adapter->map_of_weight_[static_cast<size_t>(linear->weight)] = static_cast<int>(adapter->maps_.size());
      adapter->maps_.push_back(map);
      adapter->weights_.push_back(linear->weight);
    }
    adapter->groups_.back().last = adapter->tensors_.size();
    adapter->groups_.back().end = adapter->elements_;
  }
  open_group();
  for (size_t t = 0; t < matched.size(); ++t) {
    if (!matched[t]) {
      return failure(Code::invalid_argument, "No linear map of the model's blocks is called %.100s; they are called %s.",
                     options.targets[t].c_str(), known.c_str());
    }
  }
  MS_TRY(Buffer::allocate(model.backend(), static_cast<size_t>(adapter->elements_) * sizeof(float), &adapter->buffer_));
  std::vector<float> values;
  for (size_t t = 0; t < adapter->tensors_.size(); t += 2) {
    const TensorInfo& info = adapter->tensors_[t];
    RandomStream stream(options.seed, static_cast<uint32_t>(StreamId::weights), kFirstStream + static_cast<uint32_t>(t));
    const double bound = 1 / std::sqrt(static_cast<double>(info.shape[1]));
    values.resize(static_cast<size_t>(info.count));
    for (float& value : values) value = static_cast<float>((2 * stream.uniform() - 1) * bound);
    MS_TRY(adapter->buffer_.upload(values.data(), values.size() * sizeof(float),
                                   static_cast<size_t>(adapter->offsets_[t]) * sizeof(float)));
  }
  *out = std::move(adapter);
  return {};
}

const LowRankMap* Adapter::find(int weight) const {
  const int map = map_of_weight_[static_cast<size_t>(weight)];
  return map < 0 ? nullptr : &maps_[static_cast<size_t>(map)];
}

void Adapter::to_stored(const Model& model, int tensor, float* values) const {
  if (!is_b(tensor)) return;
  const int64_t count = tensors_[static_cast<size_t>(tensor)].count;
  model.reorder_rows(weights_[static_cast<size_t>(tensor) / 2], values, count, false);
  for (int64_t i = 0; i < count; ++i) values[i] /= scale_;
}

void Adapter::to_held(const Model& model, int tensor, float* values) const {
  if (!is_b(tensor)) return;
  const int64_t count = tensors_[static_cast<size_t>(tensor)].count;
  model.reorder_rows(weights_[static_cast<size_t>(tensor) / 2], values, count, true);
  for (int64_t i = 0; i < count; ++i) values[i] *= scale_;
}

Status Adapter::merge(Model& model) const {
  const ms_backend& table = model.backend()->table();
  std::vector<float> b, transposed;
  Buffer right;  // [rank, out]
  for (size_t i = 0; i < maps_.size(); ++i) {
    const LowRankMap& map = maps_[i];
    const TensorInfo& info = tensors_[static_cast<size_t>(map.b)];
    b.resize(static_cast<size_t>(info.count));
    transposed.resize(b.size());
    MS_TRY(buffer_.download(b.data(), b.size() * sizeof(float), static_cast<size_t>(offset(map.b)) * sizeof(float)));
    for (int64_t o = 0; o < map.out; ++o) {
      for (int64_t r = 0; r < rank_; ++r) {
        transposed[static_cast<size_t>(r * map.out + o)] = b[static_cast<size_t>(o * rank_ + r)];
      }
    }
    if (right.bytes() < b.size() * sizeof(float)) MS_TRY(Buffer::allocate(model.backend(), b.size() * sizeof(float), &right));
    MS_TRY(right.upload(transposed.data(), transposed.size() * sizeof(float)));
    const LinearMap* linear = nullptr;
    const int32_t block = model.tensors()[static_cast<size_t>(weights_[i])].block;
    for (const LinearMap* candidate : block_linears(model.map().blocks[static_cast<size_t>(block)])) {
      if (candidate->weight == weights_[i]) linear = candidate;
    }
    MS_TRY(model.widen(model.group_of(weights_[i]), 0));
    // A^T (scale B)^T is a weight gradient of `rank` rows.
    const ms_linear_backward_weight_args args{rank_,
                                              map.in,
                                              map.out,
                                              weight(map.a),
                                              map.in,
                                              MS_ACTIVATION_NONE,
                                              right.as<float>(),
                                              map.out,
                                              model.weight(linear->weight),
                                              linear->layout,
                                              nullptr,
                                              1.0f};
    MS_TRY(model.backend()->check(table.linear_backward_weight(model.backend()->context(), &args), "linear_backward_weight"));
    MS_TRY(model.backend()->check(table.synchronize(model.backend()->context()), "synchronize"));
  }
  return {};
}

float* build_low_rank_hidden(Builder& builder, const Adapter& adapter, const LowRankMap& map, int64_t rows, const float* x,
                             int32_t activation, int32_t block) {
  float* hidden = builder.take<float>(rows * adapter.rank());
  builder.add(ms_linear_forward_args{rows, map.in, adapter.rank(), x, map.in, activation, adapter.weight(map.a), MS_LAYOUT_OUT_IN,
                                     nullptr, nullptr, hidden, adapter.rank(), MS_TYPE_F32},
              block);
  return hidden;
}

void build_low_rank_forward(Builder& builder, const Adapter& adapter, const LowRankMap& map, int64_t rows, const float* x,
                            int32_t activation, float* y, int64_t ld_y, int32_t block) {
  const float* hidden = build_low_rank_hidden(builder, adapter, map, rows, x, activation, block);
  builder.add(ms_linear_forward_args{rows, adapter.rank(), map.out, hidden, adapter.rank(), MS_ACTIVATION_NONE,
                                     adapter.weight(map.b), MS_LAYOUT_OUT_IN, nullptr, y, y, ld_y, MS_TYPE_F32},
              block);
  builder.give(hidden);
}

namespace {

// d_h = d_y (scale B), [rows, rank]; the caller gives it back.
float* build_hidden_gradient(Builder& builder, const Adapter& adapter, const LowRankMap& map, int64_t rows, const float* d_y,
                             int64_t ld_y, int32_t block) {
  float* d_hidden = builder.take<float>(rows * adapter.rank());
  builder.add(ms_linear_backward_input_args{rows, adapter.rank(), map.out, d_y, ld_y, adapter.weight(map.b), MS_LAYOUT_OUT_IN,
                                            nullptr, MS_ACTIVATION_NONE, d_hidden, adapter.rank(), 0.0f, MS_TYPE_F32},
              block);
  return d_hidden;
}

}  // namespace

void build_low_rank_input(Builder& builder, const Adapter& adapter, const LowRankMap& map, int64_t rows, const float* d_y,
                          int64_t ld_y, const float* x, int32_t activation, float* d_x, int32_t block) {
  const float* d_hidden = build_hidden_gradient(builder, adapter, map, rows, d_y, ld_y, block);
  builder.add(ms_linear_backward_input_args{rows, map.in, adapter.rank(), d_hidden, adapter.rank(), adapter.weight(map.a),
                                            MS_LAYOUT_OUT_IN, x, activation, d_x, map.in, 1.0f, MS_TYPE_F32},
              block);
  builder.give(d_hidden);
}

void build_low_rank_weights(Builder& builder, const Adapter& adapter, const LowRankMap& map, int64_t rows, const float* x,
                            int32_t activation, const float* d_y, int64_t ld_y, float* d_a, float* d_b, float beta,
                            int32_t block) {
  const float* hidden = build_low_rank_hidden(builder, adapter, map, rows, x, activation, block);
  builder.add(ms_linear_backward_weight_args{rows, adapter.rank(), map.out, hidden, adapter.rank(), MS_ACTIVATION_NONE, d_y, ld_y,
                                             d_b, MS_LAYOUT_OUT_IN, nullptr, beta},
              block);
  builder.give(hidden);
  const float* d_hidden = build_hidden_gradient(builder, adapter, map, rows, d_y, ld_y, block);
  builder.add(ms_linear_backward_weight_args{rows, map.in, adapter.rank(), x, map.in, activation, d_hidden, adapter.rank(), d_a,
                                             MS_LAYOUT_OUT_IN, nullptr, beta},
              block);
  builder.give(d_hidden);
}

}  // namespace mendset
