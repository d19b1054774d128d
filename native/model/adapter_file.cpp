// An adapter as PEFT's adapter_model.safetensors.
#include "model/safetensors.h"
#include "model/trainer.h"

namespace mendset {

namespace {

Status require_adapter(const Trainer& trainer) {
  if (trainer.adapter() != nullptr) return {};
  return failure(Code::invalid_argument, "The trainer trains the model's own weights; it has no adapter.");
}

}  // namespace

Status save_adapter(const Trainer& trainer, const std::string& path) {
  MS_TRY(require_adapter(trainer));
  if (trainer.poisoned) return failure(Code::invalid_argument, "The adapter is half updated; restore it before saving it.");
  const Adapter& adapter = *trainer.adapter();
  std::vector<TensorToWrite> declared;
  for (const TensorInfo& info : adapter.tensors()) declared.push_back({info.name, "F32", info.shape});
  SafetensorsWriter writer;
  MS_TRY(SafetensorsWriter::create(path, declared, {{"format", "pt"}}, &writer));
  std::vector<float> values;
  for (size_t t = 0; t < adapter.tensors().size(); ++t) {
    const int tensor = static_cast<int>(t);
    values.resize(static_cast<size_t>(adapter.tensors()[t].count));
    MS_TRY(adapter.buffer().download(values.data(), values.size() * sizeof(float),
                                     static_cast<size_t>(adapter.offset(tensor)) * sizeof(float)));
    adapter.to_stored(*trainer.model(), tensor, values.data());
    MS_TRY(writer.append(values.data()));
  }
  return writer.finish();
}

Status load_adapter(Trainer& trainer, const std::string& path) {
  MS_TRY(require_adapter(trainer));
  const Adapter& adapter = *trainer.adapter();
  std::shared_ptr<SafetensorsFile> file;
  MS_TRY(SafetensorsFile::open(path, &file));
  for (const TensorInfo& info : adapter.tensors()) {
    const StoredTensor* stored = file->find(info.name);
    if (stored == nullptr || stored->shape != info.shape)
      return failure(Code::corrupt, "%s: %s is missing or has another shape than this model and rank need.", path.c_str(),
                     info.name.c_str());
  }
  if (file->tensors().size() != adapter.tensors().size()) {
    return failure(Code::unsupported,
                   "%s holds %zu tensors, but its targets have %zu: it adapts more than linear maps of blocks.", path.c_str(),
                   file->tensors().size(), adapter.tensors().size());
  }
  std::vector<float> values;
  for (size_t t = 0; t < adapter.tensors().size(); ++t) {
    const int tensor = static_cast<int>(t);
    values.resize(static_cast<size_t>(adapter.tensors()[t].count));
    MS_TRY(file->read(*file->find(adapter.tensors()[t].name), values.data()));
    adapter.to_held(*trainer.model(), tensor, values.data());
    MS_TRY(adapter.buffer().upload(values.data(), values.size() * sizeof(float),
                                   static_cast<size_t>(adapter.offset(tensor)) * sizeof(float)));
  }
  return {};
}

Status merge_adapter(Trainer& trainer) {
  MS_TRY(require_adapter(trainer));
  if (trainer.merged) return failure(Code::invalid_argument, "The adapter is already part of the weights.");
  if (trainer.poisoned) return failure(Code::invalid_argument, "The adapter is half updated; restore it before merging it.");
  MS_TRY(trainer.adapter()->merge(*trainer.model()));
  trainer.merged = true;
  return {};
}

}  // namespace mendset
