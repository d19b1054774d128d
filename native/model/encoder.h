// Encoders (BERT, RoBERTa, MiniLM): sentence embeddings and sequence classification.
#pragma once

#include "model/language_model.h"

namespace mendset {

// As load_model_task. with_classifier: the dense layer and the label scores are loaded too, and must be there.
Status load_encoder_task(const std::shared_ptr<Backend>& backend, const std::string& directory, bool with_classifier,
                         std::shared_ptr<Model>* out, std::unique_ptr<Task>* task);

enum class Pooling { mean, first, last };  // over a sample's tokens

// Null pointers: not wanted.
struct EncoderOutputs {
  float* hidden = nullptr;  // [tokens, width]
  float* pooled = nullptr;  // [samples, width]
  Pooling pooling = Pooling::mean;
  bool normalize = false;   // pooled rows are divided by max(their length, 1e-12)
  float* logits = nullptr;  // [samples, labels]: of a classifier, before sigmoid or softmax
};
// `batch` holds ids with the special tokens that the model expects; token type 0 throughout; no mask, no positions.
Status encode_task(const std::shared_ptr<Model>& model, const PackedBatch& batch, const EncoderOutputs& outputs,
                   std::unique_ptr<Task>* task);

}  // namespace mendset
