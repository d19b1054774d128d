// Optimiser state as a safetensors file: "second.<tensor>" and, for AdamW, "first.<tensor>", as stored in the checkpoint's
// layout; metadata: the optimiser's name and every tensor's update counter. With adapters also "value.<tensor>" and, when there
// is a snapshot, "snapshot.<tensor>": exactly the numbers held, so B as scale * B in the backend's order of rows.
#include "model/json.h"
#include "model/safetensors.h"
#include "model/trainer.h"

namespace mendset {

namespace {

const char* kind_name(const OptimizerOptions& options) {
  return options.kind == OptimizerOptions::Kind::adamw ? "adamw" : "rmsprop";
}

// Numbers of one tensor inside a buffer.
struct Part {
  std::string name;
  int tensor;
  const Buffer* buffer;
  size_t offset;  // bytes
  // The model's own moments change between the file's order and the one held; an adapter's are stored as they are held.
  void to_stored(const Trainer& trainer, float* values) const {
    if (trainer.adapter() == nullptr) trainer.model()->to_stored_order(tensor, values);
  }
  void to_held(const Trainer& trainer, float* values) const {
    if (trainer.adapter() == nullptr) trainer.model()->to_backend_order(tensor, values);
  }
};

std::vector<Part> moments(const Trainer& trainer) {
  std::vector<Part> list;
  for (size_t g = 0; g < trainer.groups().size(); ++g) {
    const OptimizerState& state = trainer.states()[g];
    if (state.steps == 0) continue;
    for (size_t t = trainer.groups()[g].first; t < trainer.groups()[g].last; ++t) {
      const int tensor = static_cast<int>(t);
      const size_t offset = static_cast<size_t>(trainer.offset(tensor) - trainer.groups()[g].begin) * sizeof(float);
      list.push_back({"second." + trainer.tensors()[t].name, tensor, &state.second, offset});
      if (trainer.options().kind == OptimizerOptions::Kind::adamw)
        list.push_back({"first." + trainer.tensors()[t].name, tensor, &state.first, offset});
    }
  }
  return list;
}

// The adapter's tensors inside one buffer; none without an adapter.
std::vector<Part> adapter_parts(const Trainer& trainer, const std::string& prefix, const Buffer& buffer) {
  std::vector<Part> list;
  for (size_t t = 0; trainer.adapter() != nullptr && t < trainer.tensors().size(); ++t) {
    const int tensor = static_cast<int>(t);
    list.push_back(
        {prefix + trainer.tensors()[t].name, tensor, &buffer, static_cast<size_t>(trainer.offset(tensor)) * sizeof(float)});
  }
  return list;
}

void append(std::vector<Part>* list, std::vector<Part> more) {
  for (Part& part : more) list->push_back(std::move(part));
}

// Reads the counters into `steps`, one per group; tensors without a counter were never updated.
Status read_steps(const Trainer& trainer, const SafetensorsFile& file, std::vector<int64_t>* steps) {
  const auto text = file.metadata().find("steps");
  Json json;
  if (text == file.metadata().end() || !Json::parse(text->second, &json).ok() || !json.is_object()) {
    return failure(Code::corrupt, "%s has no update counters; is it an optimiser state?", file.path().c_str());
  }
  const std::vector<TensorGroup>& groups = trainer.groups();
  steps->assign(groups.size(), 0);
  size_t known = 0;
  for (size_t g = 0; g < groups.size(); ++g) {
    for (size_t t = groups[g].first; t < groups[g].last; ++t) {
      int64_t count = 0;
      const Json* value = json.find(trainer.tensors()[t].name);
      if (value != nullptr && (!value->as_integer(&count) || count < 1)) count = -1;
      if (value != nullptr) ++known;
      if (count < 0 || (t > groups[g].first && count != (*steps)[g])) {
        return failure(Code::corrupt, "%s: the update counter of %s is wrong or differs from its block's.", file.path().c_str(),
                       trainer.tensors()[t].name.c_str());
      }
      (*steps)[g] = count;
    }
  }
  if (known != json.members().size())
    return failure(Code::corrupt, "%s belongs to another model: it counts updates of unknown tensors.", file.path().c_str());
  return {};
}

Status check_part(const Trainer& trainer, const SafetensorsFile& file, const std::string& name, size_t tensor) {
  const StoredTensor* stored = file.find(name);
  if (stored != nullptr && stored->shape == trainer.tensors()[tensor].shape && stored->dtype == "F32") return {};
  return failure(Code::corrupt, "%s: %s is missing or has another shape or type.", file.path().c_str(), name.c_str());
}

}  // namespace

Status save_trainer_state(const Trainer& trainer, const std::string& path) {
  if (trainer.poisoned)
    return failure(Code::invalid_argument, "The optimiser state is half updated; restore the weights before saving it.");
  std::vector<Part> list = moments(trainer);
  if (trainer.adapter() != nullptr) {
    append(&list, adapter_parts(trainer, "value.", trainer.adapter()->buffer()));
    if (trainer.has_snapshot()) append(&list, adapter_parts(trainer, "snapshot.", trainer.adapter_snapshot));
  }
  std::vector<TensorToWrite> declared;
  for (const Part& part : list) declared.push_back({part.name, "F32", trainer.tensors()[static_cast<size_t>(part.tensor)].shape});
  Json steps = Json::object();
  for (size_t g = 0; g < trainer.groups().size(); ++g) {
    for (size_t t = trainer.groups()[g].first; trainer.states()[g].steps > 0 && t < trainer.groups()[g].last; ++t) {
      steps.set(trainer.tensors()[t].name, Json::integer(trainer.states()[g].steps));
    }
  }
  SafetensorsWriter writer;
  MS_TRY(SafetensorsWriter::create(path, declared, {{"optimizer", kind_name(trainer.options())}, {"steps", steps.write(0)}},
                                   &writer));
  std::vector<float> values;
  for (const Part& part : list) {
    values.resize(static_cast<size_t>(trainer.tensors()[static_cast<size_t>(part.tensor)].count));
    MS_TRY(part.buffer->download(values.data(), values.size() * sizeof(float), part.offset));
    part.to_stored(trainer, values.data());
    MS_TRY(writer.append(values.data()));
  }
  return writer.finish();
}

Status load_trainer_state(Trainer& trainer, const std::string& path) {
  std::shared_ptr<SafetensorsFile> file;
  MS_TRY(SafetensorsFile::open(path, &file));
  const auto kind = file->metadata().find("optimizer");
  if (kind == file->metadata().end() || kind->second != kind_name(trainer.options())) {
    return failure(Code::invalid_argument, "%s holds the state of %s, but the trainer uses %s.", path.c_str(),
                   kind == file->metadata().end() ? "no optimiser" : kind->second.c_str(), kind_name(trainer.options()));
  }
  std::vector<int64_t> steps;
  MS_TRY(read_steps(trainer, *file, &steps));
  const char* const prefixes[] = {"second.", "first."};
  const size_t kinds = trainer.options().kind == OptimizerOptions::Kind::adamw ? 2 : 1;
  for (size_t g = 0; g < steps.size(); ++g) {
    for (size_t t = trainer.groups()[g].first; steps[g] > 0 && t < trainer.groups()[g].last; ++t) {
      for (size_t k = 0; k < kinds; ++k) MS_TRY(check_part(trainer, *file, prefixes[k] + trainer.tensors()[t].name, t));
    }
  }
  bool has_snapshot = false;
  if (trainer.adapter() != nullptr) {
    has_snapshot = file->find("snapshot." + trainer.tensors().front().name) != nullptr;
    for (size_t t = 0; t < trainer.tensors().size(); ++t) {
      MS_TRY(check_part(trainer, *file, "value." + trainer.tensors()[t].name, t));
      if (has_snapshot) MS_TRY(check_part(trainer, *file, "snapshot." + trainer.tensors()[t].name, t));
    }
  }
  trainer.reset_states();
  for (size_t g = 0; g < steps.size(); ++g) {
    if (steps[g] == 0) continue;
    MS_TRY(trainer.allocate_state(g));
    trainer.states()[g].steps = steps[g];
  }
  std::vector<Part> list = moments(trainer);
  if (trainer.adapter() != nullptr) append(&list, adapter_parts(trainer, "value.", trainer.adapter()->buffer()));
  if (has_snapshot) {
    if (!trainer.has_snapshot()) MS_TRY(snapshot_weights(trainer));
    append(&list, adapter_parts(trainer, "snapshot.", trainer.adapter_snapshot));
  }
  std::vector<float> values;
  for (const Part& part : list) {
    const StoredTensor& stored = *file->find(part.name);
    values.resize(static_cast<size_t>(stored.count));
    MS_TRY(file->read(stored, values.data()));
    part.to_held(trainer, values.data());
    MS_TRY(part.buffer->upload(values.data(), values.size() * sizeof(float), part.offset));
  }
  return {};
}

}  // namespace mendset
