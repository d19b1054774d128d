// Loading a Hugging Face checkpoint folder: every name and shape is compared with the architecture before weight memory is taken,
// then one tensor per chunk of the task.
#include <algorithm>
#include <bit>
#include <cstring>
#include <set>

#include "model/encoder.h"
#include "model/family.h"
#include "model/language_model.h"
#include "model/model.h"
#include "model/safetensors.h"

namespace mendset {

namespace {

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

// Names that old checkpoints store and nothing needs: causal masks and rotary tables.
std::set<std::string> old_buffers(const Architecture& a, const std::string& prefix) {
  std::set<std::string> names;
  for (int64_t b = 0; b < a.layers; ++b) {
    for (const char* name : a.family->old_buffers) {
      if (*name != '\0') names.insert(prefix + a.family->block + std::to_string(b) + "." + name);
    }
  }
  return names;
}

// Tensors of heads that this model is not used with.
bool is_unused(const Architecture& a, const std::string& prefix, std::string_view name) {
  if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
  for (const std::string_view beginning : a.family->unused) {
    if (!beginning.empty() && name.starts_with(beginning)) return true;
  }
  return a.head == ModelHead::none && name.starts_with("classifier.");
}

bool all_finite(const std::vector<float>& values) {
  bool finite = true;
  for (const float value : values) finite &= (std::bit_cast<uint32_t>(value) & 0x7F800000u) != 0x7F800000u;
  return finite;
}
bool all_finite(const std::vector<uint16_t>& values, int32_t type) {
  const uint32_t exponent = type == MS_TYPE_BF16 ? 0x7F80 : 0x7C00;
  bool finite = true;
  for (const uint16_t value : values) finite &= (value & exponent) != exponent;
  return finite;
}

// Elements that are read at a time: bounds what loading holds beside the model, and how long an abort waits.
constexpr int64_t kPiece = int64_t{1} << 22;

class LoadModelTask : public Task {
 public:
  LoadModelTask(std::shared_ptr<Model> model, CheckpointFiles files, std::shared_ptr<Model>* out)
      : model_(std::move(model)), files_(std::move(files)), out_(out) {
    for (const TensorInfo& info : model_->tensors()) total_ += info.count;
  }

  Status step(Deadline deadline) override {
    if (done_ == 0) MS_TRY(model_->allocate());
    do {
      MS_TRY(load_piece());
    } while (next_ < model_->tensors().size() && !deadline.passed());
    if (next_ == model_->tensors().size()) {
      *out_ = std::move(model_);
      files_ = CheckpointFiles();
      finished_ = true;
    }
    return {};
  }

  Progress progress() const override { return {static_cast<double>(done_), static_cast<double>(total_), finished_}; }

 private:
  // Tensors whose rows are put into another order are read whole.
  Status load_piece() {
    const TensorInfo& info = model_->tensors()[next_];
    const CheckpointFiles::Place place = files_.places().at(info.name);
    const int tensor = static_cast<int>(next_);
    const int64_t count = model_->is_reordered(tensor) ? info.count : std::min(kPiece, info.count - first_);
    const StoredTensor piece = SafetensorsFile::part(*place.tensor, first_, count);
    const int32_t type = model_->type(tensor);
    const bool wide = type == MS_TYPE_F32;
    if (wide) {
      values_.resize(static_cast<size_t>(count));
      MS_TRY(place.file->read(piece, values_.data()));
    } else {
      const std::string_view bytes = place.file->bytes(piece);
      narrow_.resize(static_cast<size_t>(count));
      std::memcpy(narrow_.data(), bytes.data(), bytes.size());
    }
    if (!(wide ? all_finite(values_) : all_finite(narrow_, type))) {
      return failure(Code::corrupt, "Tensor %s of %s holds values that are not finite.", info.name.c_str(),
                     place.file->path().c_str());
    }
    place.file->release(piece);
    wide ? model_->to_backend_order(tensor, values_.data()) : model_->to_backend_order(tensor, narrow_.data());
    MS_TRY(model_->write(tensor, first_, count, wide ? static_cast<const void*>(values_.data()) : narrow_.data()));
    first_ += count;
    done_ += count;
    if (first_ == info.count) {
      first_ = 0;
      ++next_;
    }
    return {};
  }

  std::shared_ptr<Model> model_;
  CheckpointFiles files_;
  std::shared_ptr<Model>* out_;
  std::vector<float> values_;
  std::vector<uint16_t> narrow_;
  size_t next_ = 0;               // tensor
  int64_t first_ = 0;             // element of it
  int64_t done_ = 0, total_ = 0;  // elements
  bool finished_ = false;
};

// A tied head may be stored all the same; then it must be the embedding.
Status check_tied_head(const Model& model, const CheckpointFiles& files, const std::string& head) {
  const std::string& embedding = model.tensors()[0].name;
  const CheckpointFiles::Place a = files.places().at(embedding), b = files.places().at(head);
  const bool same = a.tensor->shape == b.tensor->shape && a.tensor->dtype == b.tensor->dtype &&
                    a.file->bytes(*a.tensor) == b.file->bytes(*b.tensor);
  if (same) return {};
  return failure(Code::corrupt,
                 "%s differs from %s although config.json ties them; set tie_word_embeddings to false if the head is separate.",
                 head.c_str(), embedding.c_str());
}

Status check_tensors(const Model& model, const CheckpointFiles& files, const std::string& prefix) {
  const Architecture& a = model.architecture();
  std::set<std::string> known = old_buffers(a, prefix);
  for (const TensorInfo& info : model.tensors()) {
    known.insert(info.name);
    const auto place = files.places().find(info.name);
    if (place == files.places().end()) {
      return failure(Code::corrupt, "The checkpoint has no tensor %s, which a %s model needs.", info.name.c_str(),
                     a.family->name);
    }
    const StoredTensor& stored = *place->second.tensor;
    if (stored.shape != info.shape) {
      return failure(Code::corrupt, "Tensor %s has the shape %s, but config.json asks for %s.", info.name.c_str(),
                     shape_text(stored.shape).c_str(), shape_text(info.shape).c_str());
    }
    if (stored.dtype != "F32" && stored.dtype != "F16" && stored.dtype != "BF16") {
      return failure(Code::unsupported, "Tensor %s has the element type %s; weights are read from F32, F16 and BF16.",
                     info.name.c_str(), stored.dtype.c_str());
    }
  }
  const std::string head = std::string(a.family->head) + ".weight";
  if (a.head == ModelHead::language_model && a.tied_head && files.places().count(head) != 0) {
    MS_TRY(check_tied_head(model, files, head));
    known.insert(head);
  }
  for (const auto& [name, place] : files.places()) {
    if (known.count(name) == 0 && !is_unused(a, prefix, name)) {
      return failure(Code::unsupported,
                     "The checkpoint has the tensor %.200s, which a plain %s model does not have: it is a variant of the "
                     "architecture that is not supported.",
                     name.c_str(), a.family->name);
    }
  }
  return {};
}

// The model that a folder's files fill, checked against them.
Status lay_out(const std::shared_ptr<Backend>& backend, const std::string& directory, ModelHead head, bool as_stored,
               CheckpointFiles* out_files, std::shared_ptr<Model>* out) {
  std::string text;
  MS_TRY(read_text_file(directory + "/config.json", &text));
  Json config;
  if (const Status status = Json::parse(text, &config); !status.ok()) {
    return failure(Code::corrupt, "%s/config.json: %s", directory.c_str(), status.message().c_str());
  }
  Architecture architecture;
  MS_TRY(parse_architecture(config, head, &architecture));
  CheckpointFiles& files = *out_files;
  MS_TRY(CheckpointFiles::open(directory, &files));
  if (architecture.family->encoder) {  // names from before PyTorch's
    files.rename_endings("LayerNorm.gamma", "LayerNorm.weight");
    files.rename_endings("LayerNorm.beta", "LayerNorm.bias");
  }
  std::string prefix = architecture.family->prefix;
  const bool prefixed = std::any_of(files.places().begin(), files.places().end(),
                                    [&](const auto& place) { return place.first.starts_with(prefix); });
  if (!prefixed) prefix.clear();
  std::shared_ptr<Model> model = Model::create(backend, std::move(architecture), std::move(config), prefix);
  MS_TRY(check_tensors(*model, files, prefix));
  model->stored_dtype = files.places().at(model->tensors()[0].name).tensor->dtype;
  for (const TensorInfo& info : model->tensors()) model->stored_dtypes.push_back(files.places().at(info.name).tensor->dtype);
  if (as_stored) {
    std::vector<int32_t> types;
    for (const std::string& dtype : model->stored_dtypes) {
      types.push_back(dtype == "BF16" ? MS_TYPE_BF16 : dtype == "F16" ? MS_TYPE_F16 : MS_TYPE_F32);
    }
    MS_TRY(model->hold_narrow(types));
  }
  *out = std::move(model);
  return {};
}

Status load_task(const std::shared_ptr<Backend>& backend, const std::string& directory, ModelHead head, bool as_stored,
                 std::shared_ptr<Model>* out, std::unique_ptr<Task>* task) {
  CheckpointFiles files;
  std::shared_ptr<Model> model;
  MS_TRY(lay_out(backend, directory, head, as_stored, &files, &model));
  *task = std::make_unique<LoadModelTask>(std::move(model), std::move(files), out);
  return {};
}

}  // namespace

Status load_model_task(const std::shared_ptr<Backend>& backend, const std::string& directory, bool as_stored,
                       std::shared_ptr<Model>* out, std::unique_ptr<Task>* task) {
  return load_task(backend, directory, ModelHead::language_model, as_stored, out, task);
}

Status layout_checkpoint(const std::shared_ptr<Backend>& backend, const std::string& directory, bool as_stored,
                         std::shared_ptr<Model>* out) {
  CheckpointFiles files;
  return lay_out(backend, directory, ModelHead::language_model, as_stored, &files, out);
}

Status load_encoder_task(const std::shared_ptr<Backend>& backend, const std::string& directory, bool with_classifier,
                         std::shared_ptr<Model>* out, std::unique_ptr<Task>* task) {
  return load_task(backend, directory, with_classifier ? ModelHead::classifier : ModelHead::none, false, out, task);
}

}  // namespace mendset
