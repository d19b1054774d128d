// The public face of the model engine towards the addon: load, save, score, gradient norms, train, generate.
// Every long call is a Task; outputs are caller-owned host arrays that stay valid until the task is destroyed.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "core/status.h"
#include "core/task.h"

namespace mendset {

// Sequences packed without padding (host memory, borrowed until the task is destroyed).
struct PackedBatch {
  std::span<const int32_t> ids;        // [tokens]
  std::span<const int32_t> offsets;    // [samples + 1], offsets[0] = 0, strictly ascending
  std::span<const uint8_t> mask;       // [tokens]: 1 = this token is a scored target (predicted from its predecessor); empty = all
                                       // tokens but each sample's first. mask of a first token is ignored.
  std::span<const int32_t> positions;  // [tokens] or empty = 0, 1, 2 .. per sample
  int64_t samples() const { return static_cast<int64_t>(offsets.size()) - 1; }
  int64_t tokens() const { return static_cast<int64_t>(ids.size()); }
};

struct TensorInfo {
  std::string name;            // as stored in the checkpoint
  std::vector<int64_t> shape;  // as stored
  int64_t count;
  int32_t block;               // block index, -1 for embeddings, final norm and head
};

class Model;  // weights on a backend + architecture; shared by tasks

struct ModelSummary {
  std::string family;  // "gpt2", ...
  int64_t layers, width, heads, vocab, context, parameters, bytes;
  int64_t eos;  // -1 when the config has none
  bool tied_head;
  std::string stored_dtype;  // "F32" | "F16" | "BF16": what the file holds; arithmetic is always fp32
  std::string held_dtype;    // the same of the weights in memory that nothing has trained yet
  int64_t labels;  // of a sequence classifier, else 0
};

// `directory` holds config.json and model.safetensors or model.safetensors.index.json + shards.
// *out is set when the task has finished. as_stored: weights of linear maps and the token embedding stay in 16 bits where the file has
// them so, and are widened where they are read: results have the same bits. A block is held in fp32 from its first update on.
Status load_model_task(const std::shared_ptr<Backend>& backend, const std::string& directory, bool as_stored, std::shared_ptr<Model>* out, std::unique_ptr<Task>* task);
// A model with freshly drawn weights for `config_json` (GPT-2's rule: N(0, 0.02), residual projections scaled by 1/sqrt(2L)).
Status create_model(const std::shared_ptr<Backend>& backend, const std::string& config_json, uint64_t seed, std::shared_ptr<Model>* out);
// Writes model.safetensors (or shards of at most shard_bytes with an index) and config.json into `directory`, which exists: each file
// beside its final name, synced, renamed; the index last. dtype: "F32", "F16", "BF16", or "held": every tensor as it is in memory, exactly.
Status save_model_task(const std::shared_ptr<Model>& model, const std::string& directory, const std::string& dtype, int64_t shard_bytes, std::unique_ptr<Task>* task);
// Architecture and tensor layout without weights: for forecasts only. as_stored: by the element type that the config names, or that a
// checkpoint's files have.
Status layout_model(const std::shared_ptr<Backend>& backend, const std::string& config_json, bool as_stored, std::shared_ptr<Model>* out);
Status layout_checkpoint(const std::shared_ptr<Backend>& backend, const std::string& directory, bool as_stored, std::shared_ptr<Model>* out);
// A second copy of the weights (reference models).
Status copy_model(const std::shared_ptr<Model>& model, std::shared_ptr<Model>* out);
// The weights of another model of the same tensors on the same backend, each block held as it is there.
Status take_weights(Model& model, Model& from);
ModelSummary summarize(const Model& model);
const Backend& model_backend(const Model& model);
// Work memory that waits for the model's next task.
int64_t idle_work_bytes(const Model& model);
const std::vector<TensorInfo>& tensors(const Model& model);
// Copies one tensor to host fp32 (count elements), as stored in the checkpoint.
Status read_tensor(const Model& model, const std::string& name, std::span<float> out);
Status write_tensor(Model& model, const std::string& name, std::span<const float> values);

// What work on a model holds at its peak, in bytes, known before it starts.
struct MemoryForecast {
  int64_t weights = 0;    // of the model; those in 16 bits that the step updates, in fp32
  int64_t weights_most = 0;   // once steps like this one have chosen every block
  int64_t reference = 0;  // weights of the reference model
  int64_t optimizer = 0;  // state of the tensors that the step updates and of those updated before
  int64_t optimizer_most = 0;  // once steps like this one have chosen every block
  int64_t snapshot = 0;   // the copy of the weights that snapshot_weights keeps: of those in fp32, the others are shared
  int64_t snapshot_most = 0;
  int64_t work = 0;       // activations, gradients, logits: the arena
  int64_t gradients = 0;  // the part of `work` that lasts until the update
  int64_t cache = 0;      // keys and values of generation
  int64_t scratch = 0;    // packed operands inside one operation; depends on threads and instruction set
  double flops = 0;
  int64_t micro_batches = 0;  // of a step, with checkpointed: as StepResult
  bool checkpointed = false;
  int64_t peak() const { return weights + reference + optimizer + snapshot + work + cache + scratch; }
};

// Null pointers: not wanted. Aligned with `ids`; tokens that are not scored targets hold 0 (argmax: -1).
struct TokenOutputs {
  double* log_prob = nullptr;   // [tokens] log p(ids[t] | before)
  double* el2n = nullptr;       // [tokens]
  double* margin = nullptr;     // [tokens]
  int32_t* argmax = nullptr;    // [tokens] most likely token at this place
};
struct ScoreOutputs : TokenOutputs {
  float* hidden = nullptr;      // [tokens, width] after the final norm
  float* embedding = nullptr;   // [samples, width] mean-pooled hidden
  bool normalize_embedding = true;
  float* logits = nullptr;      // [tokens, vocab]: logits produced *at* token t (for the next one); for small inputs
};
Status score_task(const std::shared_ptr<Model>& model, const PackedBatch& batch, const ScoreOutputs& outputs, std::unique_ptr<Task>* task);

// Only which outputs are asked for matters: the pointers are not followed. The outputs themselves are the caller's memory.
Status forecast_score(const std::shared_ptr<Model>& model, const PackedBatch& batch, const ScoreOutputs& outputs, MemoryForecast* out);

// Exact per-sample squared gradient norms of (1/Z) sum_t mask CE_t, per stored tensor. squares: [samples, tensors(model).size()].
// Z = number of scored tokens (token_mean) or 1. block: -1 = all tensors, otherwise only that block's (others stay 0).
// `scores` come from the same pass, on plain and cpu with the bits of score_task's.
Status gradient_norm_task(const std::shared_ptr<Model>& model, const PackedBatch& batch, bool token_mean, int block, double* squares,
                          const TokenOutputs& scores, std::unique_ptr<Task>* task);

// Of the norms alone: scores add at most 28 bytes for each scored token of a pass.
Status forecast_gradient_norms(const std::shared_ptr<Model>& model, const PackedBatch& batch, int block, MemoryForecast* out);

// For tests and debugging: loss and full gradient of the batch's token-mean CE into the tensor order of tensors(model).
Status gradient_task(const std::shared_ptr<Model>& model, const PackedBatch& batch, double* loss, std::span<float* const> gradients, std::unique_ptr<Task>* task);

struct OptimizerOptions {
  enum class Kind { rmsprop, adamw } kind = Kind::rmsprop;
  float alpha = 0.99f, beta1 = 0.9f, beta2 = 0.999f, epsilon = 1e-8f, weight_decay = 0.01f;
};

// Low-rank adapters beside the linear maps of the blocks, trained in place of the weights.
struct AdapterOptions {
  int64_t rank = 8;
  float alpha = 16;                  // the adapter's product is scaled by alpha / rank
  uint64_t seed = 0;
  std::vector<std::string> targets;  // names of linear maps, as PEFT's target_modules; empty = all of the blocks'
};

enum class Slice { all, blocks, most_sensitive, least_sensitive };

// loss = weight_repair * (CE | DPO | NPO) + weight_kl * KL. CE: mean over all scored tokens of the batch, or batch mean of per-sample sums.
// NPO (arXiv 2404.05868): mean over samples of 2 / beta softplus(beta (log p - log p of the reference)), on `rejected` alone.
struct StepRequest {
  enum class Loss { none, ce, dpo, npo } loss = Loss::ce;
  float weight_repair = 1, weight_kl = 0;
  bool sequence_sum = false;
  PackedBatch chosen;                          // CE rows, or the chosen side of DPO
  PackedBatch rejected;                        // the rejected side of DPO (as many samples as chosen), or NPO's rows
  std::span<const double> reference_chosen;    // [samples] summed reference log-probs (DPO)
  std::span<const double> reference_rejected;
  float beta = 0.1f;
  PackedBatch normal;                          // KL rows; every token that has a successor counts (mask selects the successor)
  std::span<const float> reference_hidden;     // [normal.tokens, width]: the reference's final hidden states
  int kl_direction = MS_KL_FORWARD;
  Slice slice = Slice::all;
  std::vector<int32_t> blocks;                 // Slice::blocks: ascending
  int64_t slice_count = 1;                     // most/least_sensitive: how many blocks
  PackedBatch sensitivity;                     // the batch whose gradient chooses the block (most/least_sensitive)
  bool keep_gradients = false;                 // copies the gradients before the update, for read_gradient
  bool update = true;                          // false: weights untouched; losses only, in a forward pass
  bool gradient_norm = false;                  // without update: the gradient and its norm too
  float lr = 0, clip_norm = 0;                 // clip_norm 0 = off
  // Gradient accumulation: samples are taken in the batch's order (repair samples or DPO pairs, then KL samples) into passes of at
  // most so many tokens, or of one longer sample; 0 = the whole batch in one pass. Losses keep their bits, gradients are sums in
  // that order and differ from the whole batch's by rounding.
  int64_t micro_batch_tokens = 0;
  // Activations of a block are computed again from its input in the backward pass: same bits, less memory, a third more work.
  bool checkpoint = false;
  // 0 = none. Else the step chooses: the largest micro-batch (of at most micro_batch_tokens) with which everything that the engine
  // holds for this model stays within so many bytes, without checkpointing or, where one sample's pass would not fit, with it. The
  // choice depends on the model, the request and the budget alone, so it is the same on every machine.
  int64_t memory_budget = 0;
};

struct StepResult {
  double loss = 0, loss_repair = 0, loss_kl = 0, gradient_norm = 0;
  int64_t scored_tokens = 0, tokens = 0;
  std::vector<int32_t> blocks;                 // those that the step trains, ascending; empty = all
  std::vector<double> sensitivities;           // [layers] when a sensitivity batch was given
  std::vector<double> pair_margins;            // DPO: z of each pair; NPO: beta times each log-ratio
  double flops = 0;
  int64_t micro_batches = 0;                   // passes that the losses took
  bool checkpointed = false;
};

// Holds optimiser state and work buffers for one model. `reference` supplies the frozen head for KL (same vocabulary; null without KL;
// the model itself: a copy of its head as it is now).
class Trainer;
// adapter: null = the model's own weights are trained. With adapters the model is untouched until merge_adapter.
Status create_trainer(const std::shared_ptr<Model>& model, const std::shared_ptr<Model>& reference, const OptimizerOptions& options, const AdapterOptions* adapter,
                      std::shared_ptr<Trainer>* out);
// *result is complete when the task has finished; a task that is dropped half-way leaves weights as they were before the step
// unless it was dropped inside the optimiser phase: then `trainer_poisoned` is true and the model must be restored.
Status step_task(const std::shared_ptr<Trainer>& trainer, const StepRequest& request, StepResult* result, std::unique_ptr<Task>* task);
// The model may be a layout without weights (layout_model); the request's arrays are read for their lengths, masks and ids only.
// Where the block is not known before (Slice::most_sensitive) the lowest is assumed, which needs the most.
Status forecast_step(const std::shared_ptr<Model>& model, const std::shared_ptr<Model>& reference, const OptimizerOptions& options,
                     const AdapterOptions* adapter, bool snapshot, const StepRequest& request, MemoryForecast* out);
Status forecast_step(const Trainer& trainer, const StepRequest& request, MemoryForecast* out);
bool trainer_poisoned(const Trainer& trainer);
int64_t trainer_bytes(const Trainer& trainer);
// What the trainer trains: the model's tensors, or the adapter's under PEFT's names.
const std::vector<TensorInfo>& trained_tensors(const Trainer& trainer);
// A trained tensor's gradient of the last step with keep_gradients, before clipping, as stored in a file. Fails for tensors that the
// step did not train.
Status read_gradient(const Trainer& trainer, const std::string& name, std::span<float> out);
// The adapter as PEFT's adapter_model.safetensors, and back (same rank and targets). Fail for trainers without one.
Status save_adapter(const Trainer& trainer, const std::string& path);
Status load_adapter(Trainer& trainer, const std::string& path);
// Adds the adapter's product to the model's weights and ends the trainer's use: every later step fails.
Status merge_adapter(Trainer& trainer);
// Optimiser state as a safetensors file (written beside, synced, renamed); restoring it into an equal model continues bit for bit.
// With adapters the file also holds them and their snapshot, so that it is the whole state.
Status save_trainer_state(const Trainer& trainer, const std::string& path);
Status load_trainer_state(Trainer& trainer, const std::string& path);
// In-memory copy of the weights, and back (best checkpoint during a repair).
Status snapshot_weights(Trainer& trainer);
Status restore_weights(Trainer& trainer);

struct GenerateOptions {
  int64_t max_new_tokens = 20;
  bool greedy = true;
  float temperature = 1, top_p = 1;
  int32_t top_k = 0;
  int64_t eos = -1;        // stop token, -1 = never; not part of the output
  uint64_t seed = 0;       // stream(seed, 8, sub): see domain specification
  std::span<const uint32_t> subs;  // [samples]: 1024 * prompt + sample, so that batching cannot change a text
};
// out_ids: [samples, max_new_tokens] (unused places -1); out_lengths: [samples]; stopped: [samples] 1 = ended by eos.
Status generate_task(const std::shared_ptr<Model>& model, const PackedBatch& prompts, const GenerateOptions& options, int32_t* out_ids, int32_t* out_lengths, uint8_t* stopped, std::unique_ptr<Task>* task);
Status forecast_generate(const std::shared_ptr<Model>& model, const PackedBatch& prompts, const GenerateOptions& options, MemoryForecast* out);

}  // namespace mendset
