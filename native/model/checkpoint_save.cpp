// Saving a checkpoint folder that Hugging Face transformers loads: weights first, config.json, the index of shards last.
#include <algorithm>
#include <cstdio>

#include "model/json.h"
#include "model/language_model.h"
#include "model/model.h"
#include "model/safetensors.h"

namespace mendset {

namespace {

// Elements that are written at a time: bounds what saving holds beside the model, and how long an abort waits.
constexpr int64_t kPiece = int64_t{1} << 22;

class SaveModelTask : public Task {
 public:
  SaveModelTask(std::shared_ptr<Model> model, std::string directory, std::string dtype, int64_t shard_bytes)
      : model_(std::move(model)), directory_(std::move(directory)), dtype_(std::move(dtype)) {
    // Tensors fill shards in order; a tensor larger than a shard gets one of its own.
    int64_t used = 0;
    for (size_t t = 0; t < model_->tensors().size(); ++t) {
      const int64_t bytes = bytes_of(t);
      if (first_.empty() || (shard_bytes > 0 && used + bytes > shard_bytes && used > 0)) {
        first_.push_back(shard_of_.size());
        used = 0;
      }
      used += bytes;
      shard_of_.push_back(first_.size() - 1);
    }
  }

  Status step(Deadline deadline) override {
    do {
      if (next_ < model_->tensors().size()) {
        MS_TRY(write_piece());
      } else {
        MS_TRY(write_last());
        ++next_;
      }
    } while (!progress().finished && !deadline.passed());
    return {};
  }

  Progress progress() const override {
    const size_t total = model_->tensors().size() + 1;
    return {static_cast<double>(next_), static_cast<double>(total), next_ == total};
  }

 private:
  std::string dtype_of(size_t tensor) const {
    if (dtype_ == "held") return type_name(model_->type(static_cast<int>(tensor)));
    if (dtype_ != "source") return dtype_;
    return model_->stored_dtypes.empty() ? model_->stored_dtype : model_->stored_dtypes[tensor];
  }
  int64_t bytes_of(size_t tensor) const {
    return model_->tensors()[tensor].count * static_cast<int64_t>(element_bytes(dtype_of(tensor)));
  }

  std::string shard_name(size_t shard) const {
    if (first_.size() == 1) return "model.safetensors";
    char name[64];
    std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", shard + 1, first_.size());
    return name;
  }

  // Tensors whose rows are put into another order are written whole.
  Status write_piece() {
    const size_t shard = shard_of_[next_];
    if (next_ == first_[shard] && done_ == 0) {
      std::vector<TensorToWrite> declared;
      for (size_t i = next_; i < shard_of_.size() && shard_of_[i] == shard; ++i) {
        const TensorInfo& info = model_->tensors()[i];
        declared.push_back({info.name, dtype_of(i), info.shape});
      }
      MS_TRY(SafetensorsWriter::create(directory_ + "/" + shard_name(shard), declared, {}, &writer_));
    }
    const TensorInfo& info = model_->tensors()[next_];
    const int tensor = static_cast<int>(next_);
    const int64_t count = model_->is_reordered(tensor) ? info.count : std::min(kPiece, info.count - done_);
    values_.resize(static_cast<size_t>(count));
    MS_TRY(model_->read(tensor, done_, count, values_.data()));
    model_->to_stored_order(tensor, values_.data());
    MS_TRY(writer_.append(values_.data(), static_cast<size_t>(count)));
    done_ += count;
    if (done_ < info.count) return {};
    done_ = 0;
    ++next_;
    return next_ == shard_of_.size() || shard_of_[next_] != shard ? writer_.finish() : Status();
  }

  Status write_last() {
    MS_TRY(write_text_file(directory_ + "/config.json",
                           config_to_save(model_->config(), model_->architecture(),
                                          dtype_ == "held" || dtype_ == "source" ? model_->stored_dtype : dtype_)
                                   .write(2) +
                               "\n"));
    const std::string index = directory_ + "/model.safetensors.index.json";
    if (first_.size() == 1) return remove_file(index);  // an older save's index would name shards that are no longer meant
    Json map = Json::object();
    int64_t parameters = 0, bytes = 0;
    for (size_t i = 0; i < shard_of_.size(); ++i) {
      map.set(model_->tensors()[i].name, Json::string(shard_name(shard_of_[i])));
      parameters += model_->tensors()[i].count;
      bytes += bytes_of(i);
    }
    Json metadata = Json::object();
    metadata.set("total_parameters", Json::integer(parameters));
    metadata.set("total_size", Json::integer(bytes));
    Json json = Json::object();
    json.set("metadata", std::move(metadata));
    json.set("weight_map", std::move(map));
    MS_TRY(write_text_file(index, json.write(2) + "\n"));
    return remove_file(directory_ + "/model.safetensors");  // would be preferred to the index
  }

  std::shared_ptr<Model> model_;
  std::string directory_, dtype_;
  std::vector<size_t> shard_of_, first_;  // shard of each tensor, first tensor of each shard
  SafetensorsWriter writer_;
  std::vector<float> values_;
  size_t next_ = 0;   // tensor
  int64_t done_ = 0;  // elements of it
};

}  // namespace

Status save_model_task(const std::shared_ptr<Model>& model, const std::string& directory, const std::string& dtype,
                       int64_t shard_bytes, std::unique_ptr<Task>* task) {
  MS_TRY(check_language_model(model->architecture()));
  if (dtype != "F32" && dtype != "F16" && dtype != "BF16" && dtype != "held" && dtype != "source")
    return failure(Code::invalid_argument,
                   "Weights are saved as F32, F16, BF16, as they are held or as in their source, got \"%.40s\".", dtype.c_str());
  if (shard_bytes < 0)
    return failure(Code::invalid_argument, "shard_bytes must be 0 (one file) or more, got %lld.",
                   static_cast<long long>(shard_bytes));
  *task = std::make_unique<SaveModelTask>(model, directory, dtype, shard_bytes);
  return {};
}

}  // namespace mendset
