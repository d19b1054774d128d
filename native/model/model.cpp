#include "model/model.h"

#include <cmath>
#include <cstring>

#include "core/random.h"
#include "model/family.h"

namespace mendset {

namespace {

constexpr int64_t kAlignment = 16;  // elements: 64 bytes

int64_t round_up(int64_t n) { return (n + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

std::vector<const LinearMap*> block_linears(const BlockMap& block) {
  std::vector<const LinearMap*> list;
  for (size_t i = 0; i < static_cast<size_t>(block.qkv_count); ++i) list.push_back(&block.qkv[i]);
  for (const LinearMap* map : {&block.attention_out, &block.mlp_in, &block.mlp_up, &block.mlp_out}) {
    if (map->weight >= 0) list.push_back(map);
  }
  return list;
}

void Model::lay_out(const std::string& prefix) {
  const Architecture& a = architecture_;
  const Family& names = *a.family;
  auto open_group = [&] { groups_.push_back({tensors_.size(), tensors_.size(), elements_, elements_}); };
  auto add = [&](std::string name, std::vector<int64_t> shape, int32_t block) {
    int64_t count = 1;
    for (const int64_t dimension : shape) count *= dimension;
    tensors_.push_back({std::move(name), std::move(shape), count, block});
    offsets_.push_back(elements_);
    elements_ += round_up(count);
    groups_.back().last = tensors_.size();
    groups_.back().end = elements_;
    return static_cast<int>(tensors_.size()) - 1;
  };
  auto norm_of = [&](const std::string& name, int64_t width, int32_t block) {
    NormMap map;
    map.gain = add(name + ".weight", {width}, block);
    map.bias = a.norm_kind == MS_NORM_LAYER ? add(name + ".bias", {width}, block) : -1;
    return map;
  };
  auto norm = [&](const std::string& name, int32_t block) { return norm_of(name, a.width, block); };
  auto linear = [&](const std::string& name, int64_t in, int64_t out, bool bias, int32_t block) {
    LinearMap map;
    map.in = in;
    map.out = out;
    map.layout = a.layout;
    map.weight = add(name + ".weight",
                     a.layout == MS_LAYOUT_IN_OUT ? std::vector<int64_t>{in, out} : std::vector<int64_t>{out, in}, block);
    if (bias) map.bias = add(name + ".bias", {out}, block);
    return map;
  };

  open_group();
  map_.token_embedding = add(prefix + names.token_embedding + ".weight", {a.vocab, a.width}, -1);
  if (a.learned_positions)
    map_.position_embedding = add(prefix + names.position_embedding + ".weight", {a.context + a.position_offset, a.width}, -1);
  if (a.token_types > 0) {
    map_.token_type_embedding = add(prefix + names.token_type_embedding + ".weight", {a.token_types, a.width}, -1);
    map_.embedding_norm = norm(prefix + names.embedding_norm, -1);
  }
  for (int32_t b = 0; b < a.layers; ++b) {
    open_group();
    const std::string block = prefix + names.block + std::to_string(b) + ".";
    BlockMap map;
    map.norm1 = norm(block + names.norm1, b);
    map.qkv_count = a.qkv == QkvStorage::separate ? 3 : 1;
    for (size_t i = 0; i < static_cast<size_t>(map.qkv_count); ++i) {
      const int64_t part = i == 0 ? a.q_width() : a.kv_width(), joined = a.q_width() + 2 * a.kv_width();
      map.qkv[i] = linear(block + names.qkv[i], a.width, map.qkv_count == 3 ? part : joined, a.qkv_bias, b);
    }
    if (a.qk_norm) {
      map.q_norm = norm_of(block + names.q_norm, a.head_dim, b);
      map.k_norm = norm_of(block + names.k_norm, a.head_dim, b);
    }
    map.attention_out = linear(block + names.attention_out, a.q_width(), a.width, a.out_bias, b);
    map.norm2 = norm(block + names.norm2, b);
    map.mlp_in = linear(block + names.mlp_in, a.width, a.inner, a.mlp_bias, b);
    if (a.gated_mlp) map.mlp_up = linear(block + names.mlp_up, a.width, a.inner, a.mlp_bias, b);
    map.mlp_out = linear(block + names.mlp_out, a.inner, a.width, a.mlp_bias, b);
    map_.blocks.push_back(map);
  }
  open_group();
  if (a.head == ModelHead::classifier) {
    map_.pooler = linear((names.pooler_has_prefix ? prefix : "") + names.pooler, a.width, a.width, true, -1);
    map_.classifier = linear(names.classifier, a.width, a.labels, true, -1);
  }
  if (a.head != ModelHead::language_model) return;
  map_.final_norm = norm(prefix + names.final_norm, -1);
  map_.head = {map_.token_embedding, -1, a.width, a.vocab, MS_LAYOUT_OUT_IN};
  if (!a.tied_head) map_.head.weight = add(std::string(names.head) + ".weight", {a.vocab, a.width}, -1);
}

std::shared_ptr<Model> Model::create(const std::shared_ptr<Backend>& backend, Architecture architecture, Json config,
                                     const std::string& prefix) {
  auto model = std::make_shared<Model>();
  model->backend_ = backend;
  model->architecture_ = std::move(architecture);
  model->config_ = std::move(config);
  model->lay_out(prefix);
  model->types_.assign(model->tensors_.size(), MS_TYPE_F32);
  model->narrow_offsets_.assign(model->tensors_.size(), 0);
  model->memory_.resize(model->groups_.size());
  return model;
}

int Model::find(const std::string& name) const {
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (tensors_[i].name == name) return static_cast<int>(i);
  }
  return -1;
}

bool Model::is_reordered(int tensor) const {
  const int32_t block = tensors_[static_cast<size_t>(tensor)].block;
  if (architecture_.qkv != QkvStorage::per_head || block < 0) return false;
  const LinearMap& qkv = map_.blocks[static_cast<size_t>(block)].qkv[0];
  return tensor == qkv.weight || tensor == qkv.bias;
}

template <typename T>
void Model::reorder_rows(int weight, T* values, int64_t count, bool to_backend) const {
  if (!is_reordered(weight)) return;
  const size_t heads = static_cast<size_t>(architecture_.heads);
  const size_t run = static_cast<size_t>(count) / (3 * heads);  // elements of one head's q, k or v rows
  std::vector<T> old(values, values + count);
  for (size_t h = 0; h < heads; ++h) {
    for (size_t part = 0; part < 3; ++part) {
      const size_t stored = (h * 3 + part) * run, held = (part * heads + h) * run;
      std::memcpy(values + (to_backend ? held : stored), old.data() + (to_backend ? stored : held), run * sizeof(T));
    }
  }
}
template void Model::reorder_rows(int, float*, int64_t, bool) const;
template void Model::reorder_rows(int, uint16_t*, int64_t, bool) const;

std::unique_ptr<Arena> Model::borrow_arena() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return idle_arena_ != nullptr ? std::move(idle_arena_) : std::make_unique<Arena>(backend_);
}

int64_t Model::idle_arena_bytes() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return idle_arena_ != nullptr ? static_cast<int64_t>(idle_arena_->capacity()) : 0;
}

void Model::give_back_arena(std::unique_ptr<Arena> arena) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (idle_arena_ == nullptr || idle_arena_->capacity() < arena->capacity()) idle_arena_ = std::move(arena);
}

Status layout_model(const std::shared_ptr<Backend>& backend, const std::string& config_json, bool as_stored,
                    std::shared_ptr<Model>* out) {
  Json config;
  MS_TRY(Json::parse(config_json, &config));
  Architecture architecture;
  MS_TRY(parse_architecture(config, ModelHead::language_model, &architecture));
  const Json* dtype = config.find("dtype") != nullptr ? config.find("dtype") : config.find("torch_dtype");
  const std::string stored = as_stored && dtype != nullptr && dtype->is_string() ? dtype->as_string() : "";
  const int32_t type = stored == "bfloat16" ? MS_TYPE_BF16 : stored == "float16" ? MS_TYPE_F16 : MS_TYPE_F32;
  *out = Model::create(backend, architecture, std::move(config), architecture.family->prefix);
  return (*out)->hold_narrow(std::vector<int32_t>((*out)->tensors().size(), type));
}

Status create_model(const std::shared_ptr<Backend>& backend, const std::string& config_json, uint64_t seed,
                    std::shared_ptr<Model>* out) {
  std::shared_ptr<Model> model;
  MS_TRY(layout_model(backend, config_json, false, &model));
  const Architecture& architecture = model->architecture();
  MS_TRY(model->allocate());
  const float residual_scale = 1 / std::sqrt(2 * static_cast<float>(architecture.layers));
  std::vector<float> values;
  for (size_t i = 0; i < model->tensors().size(); ++i) {
    const TensorInfo& info = model->tensors()[i];
    const int tensor = static_cast<int>(i);
    float scale = info.shape.size() == 2 ? architecture.initializer_range : 0, mean = 0;
    if (info.block >= 0) {
      const BlockMap& block = model->map().blocks[static_cast<size_t>(info.block)];
      if (tensor == block.attention_out.weight || tensor == block.mlp_out.weight) scale *= residual_scale;
      for (const NormMap& norm : {block.norm1, block.norm2, block.q_norm, block.k_norm}) {
        if (tensor == norm.gain) mean = 1;
      }
    } else if (tensor == model->map().final_norm.gain) {
      mean = 1;
    }
    RandomStream stream(seed, static_cast<uint32_t>(StreamId::weights), static_cast<uint32_t>(i));
    values.resize(static_cast<size_t>(info.count));
    for (float& value : values) value = scale == 0 ? mean : static_cast<float>(stream.normal()) * scale;
    MS_TRY(write_tensor(*model, info.name, values));
  }
  *out = model;
  return {};
}

MemoryForecast forecast_of(const Model& model, const PlannedMemory& planned) {
  MemoryForecast out;
  out.weights = out.weights_most = model.bytes();
  out.work = planned.bytes;
  out.scratch = planned.scratch_bytes;
  out.flops = planned.flops;
  return out;
}

Status take_weights(Model& model, Model& from) { return model.take(from); }

Status copy_model(const std::shared_ptr<Model>& model, std::shared_ptr<Model>* out) { return model->copy(out); }

const Backend& model_backend(const Model& model) { return *model.backend(); }

int64_t idle_work_bytes(const Model& model) { return model.idle_arena_bytes(); }

const char* type_name(int32_t type) { return type == MS_TYPE_F32 ? "F32" : type == MS_TYPE_BF16 ? "BF16" : "F16"; }

ModelSummary summarize(const Model& model) {
  const Architecture& a = model.architecture();
  ModelSummary summary{a.family->name,
                       a.layers,
                       a.width,
                       a.heads,
                       a.vocab,
                       a.context,
                       0,
                       model.bytes(),
                       a.eos,
                       a.tied_head,
                       model.stored_dtype,
                       type_name(model.stored_type()),
                       a.head == ModelHead::classifier ? a.labels : 0};
  for (const TensorInfo& tensor : model.tensors()) summary.parameters += tensor.count;
  return summary;
}

const std::vector<TensorInfo>& tensors(const Model& model) { return model.tensors(); }

namespace {

Status find_tensor(const Model& model, const std::string& name, size_t given, int* out) {
  *out = model.find(name);
  if (*out < 0) return failure(Code::not_found, "The model has no tensor %.200s.", name.c_str());
  const int64_t count = model.tensors()[static_cast<size_t>(*out)].count;
  if (static_cast<size_t>(count) != given) {
    return failure(Code::invalid_argument, "Tensor %s has %lld elements, got an array of %zu.", name.c_str(),
                   static_cast<long long>(count), given);
  }
  return {};
}

}  // namespace

Status read_tensor(const Model& model, const std::string& name, std::span<float> out) {
  int tensor;
  MS_TRY(find_tensor(model, name, out.size(), &tensor));
  MS_TRY(model.read(tensor, out.data()));
  model.to_stored_order(tensor, out.data());
  return {};
}

Status write_tensor(Model& model, const std::string& name, std::span<const float> values) {
  int tensor;
  MS_TRY(find_tensor(model, name, values.size(), &tensor));
  const float* from = values.data();
  std::vector<float> reordered;
  if (model.is_reordered(tensor)) {
    reordered.assign(values.begin(), values.end());
    model.to_backend_order(tensor, reordered.data());
    from = reordered.data();
  }
  MS_TRY(model.widen(model.group_of(tensor), 0));
  return model.write(tensor, from);
}

}  // namespace mendset
