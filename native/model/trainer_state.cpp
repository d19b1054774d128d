// Optimiser state as a safetensors file: "second.<tensor>" and, for AdamW, "first.<tensor>", as stored in the checkpoint's
// layout; metadata: the optimiser's name and every tensor's update counter.
#include "model/json.h"
#include "model/safetensors.h"
#include "model/trainer.h"

namespace mendset {

namespace {

const char* kind_name(const OptimizerOptions& options) {
  return options.kind == OptimizerOptions::Kind::adamw ? "adamw" : "rmsprop";
}

// Moments of one tensor inside its group's buffer.
struct Moment {
  std::string name;
  int tensor;
  const Buffer* buffer;
  size_t offset;  // bytes
};

std::vector<Moment> moments(const Trainer& trainer) {
  std::vector<Moment> list;
  const Model& model = *trainer.model();
  for (size_t g = 0; g < model.groups().size(); ++g) {
    const OptimizerState& state = trainer.states()[g];
    if (state.steps == 0) continue;
    for (size_t t = model.groups()[g].first; t < model.groups()[g].last; ++t) {
      const int tensor = static_cast<int>(t);
      const size_t offset = static_cast<size_t>(model.offset(tensor) - model.groups()[g].begin) * sizeof(float);
      list.push_back({"second." + model.tensors()[t].name, tensor, &state.second, offset});
      if (trainer.options().kind == OptimizerOptions::Kind::adamw)
        list.push_back({"first." + model.tensors()[t].name, tensor, &state.first, offset});
    }
  }
  return list;
}

// Reads the counters into `steps`, one per group; tensors without a counter were never updated.
Status read_steps(const Model& model, const SafetensorsFile& file, std::vector<int64_t>* steps) {
  const auto text = file.metadata().find("steps");
  Json json;
  if (text == file.metadata().end() || !Json::parse(text->second, &json).ok() || !json.is_object()) {
    return failure(Code::corrupt, "%s has no update counters; is it an optimiser state?", file.path().c_str());
  }
  steps->assign(model.groups().size(), 0);
  size_t known = 0;
  for (size_t g = 0; g < model.groups().size(); ++g) {
    for (size_t t = model.groups()[g].first; t < model.groups()[g].last; ++t) {
      int64_t count = 0;
      const Json* value = json.find(model.tensors()[t].name);
      if (value != nullptr && (!value->as_integer(&count) || count < 1)) count = -1;
      if (value != nullptr) ++known;
      if (count < 0 || (t > model.groups()[g].first && count != (*steps)[g])) {
        return failure(Code::corrupt, "%s: the update counter of %s is wrong or differs from its block's.", file.path().c_str(),
                       model.tensors()[t].name.c_str());
      }
      (*steps)[g] = count;
    }
  }
  if (known != json.members().size())
    return failure(Code::corrupt, "%s belongs to another model: it counts updates of unknown tensors.", file.path().c_str());
  return {};
}

}  // namespace

Status save_trainer_state(const Trainer& trainer, const std::string& path) {
  if (trainer.poisoned)
    return failure(Code::invalid_argument, "The optimiser state is half updated; restore the weights before saving it.");
  const Model& model = *trainer.model();
  const std::vector<Moment> list = moments(trainer);
  std::vector<TensorToWrite> declared;
  for (const Moment& moment : list)
    declared.push_back({moment.name, "F32", model.tensors()[static_cast<size_t>(moment.tensor)].shape});
  Json steps = Json::object();
  for (size_t g = 0; g < model.groups().size(); ++g) {
    for (size_t t = model.groups()[g].first; trainer.states()[g].steps > 0 && t < model.groups()[g].last; ++t) {
      steps.set(model.tensors()[t].name, Json::integer(trainer.states()[g].steps));
    }
  }
  SafetensorsWriter writer;
  MS_TRY(SafetensorsWriter::create(path, declared, {{"optimizer", kind_name(trainer.options())}, {"steps", steps.write(0)}},
                                   &writer));
  std::vector<float> values;
  for (const Moment& moment : list) {
    values.resize(static_cast<size_t>(model.tensors()[static_cast<size_t>(moment.tensor)].count));
    MS_TRY(moment.buffer->download(values.data(), values.size() * sizeof(float), moment.offset));
    model.to_stored_order(moment.tensor, values.data());
    MS_TRY(writer.append(values.data()));
  }
  return writer.finish();
}

Status load_trainer_state(Trainer& trainer, const std::string& path) {
  const Model& model = *trainer.model();
  std::shared_ptr<SafetensorsFile> file;
  MS_TRY(SafetensorsFile::open(path, &file));
  const auto kind = file->metadata().find("optimizer");
  if (kind == file->metadata().end() || kind->second != kind_name(trainer.options())) {
    return failure(Code::invalid_argument, "%s holds the state of %s, but the trainer uses %s.", path.c_str(),
                   kind == file->metadata().end() ? "no optimiser" : kind->second.c_str(), kind_name(trainer.options()));
  }
  std::vector<int64_t> steps;
  MS_TRY(read_steps(model, *file, &steps));
  const char* const prefixes[] = {"second.", "first."};
  const size_t kinds = trainer.options().kind == OptimizerOptions::Kind::adamw ? 2 : 1;
  for (size_t g = 0; g < steps.size(); ++g) {
    for (size_t t = model.groups()[g].first; steps[g] > 0 && t < model.groups()[g].last; ++t) {
      for (size_t k = 0; k < kinds; ++k) {
        const StoredTensor* stored = file->find(prefixes[k] + model.tensors()[t].name);
        if (stored == nullptr || stored->shape != model.tensors()[t].shape || stored->dtype != "F32") {
          return failure(Code::corrupt, "%s: %s%s is missing or has another shape or type.", path.c_str(), prefixes[k],
                         model.tensors()[t].name.c_str());
        }
      }
    }
  }
  trainer.reset_states();
  std::vector<float> values;
  for (size_t g = 0; g < steps.size(); ++g) {
    if (steps[g] == 0) continue;
    MS_TRY(trainer.allocate_state(g));
    trainer.states()[g].steps = steps[g];
  }
  for (const Moment& moment : moments(trainer)) {
    const StoredTensor& stored = *file->find(moment.name);
    values.resize(static_cast<size_t>(stored.count));
    MS_TRY(file->read(stored, values.data()));
    model.to_backend_order(moment.tensor, values.data());
    MS_TRY(moment.buffer->upload(values.data(), values.size() * sizeof(float), moment.offset));
  }
  return {};
}

}  // namespace mendset
