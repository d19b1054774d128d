// Everything that can be wrong in a step's request, found before any work.
#include <cmath>

#include "model/packed_rows.h"
#include "model/trainer.h"

namespace mendset {

namespace {

Status check_scored(const PackedBatch& batch, const Architecture& architecture, const char* name, bool every_sample) {
  MS_TRY(check_batch(batch, architecture, name));
  int64_t total = 0;
  for (int64_t s = 0; s < batch.samples(); ++s) {
    const int64_t scored = scored_tokens(batch, s);
    if (every_sample && scored == 0) {
      return failure(Code::invalid_argument, "%s: sample %lld has no scored token; DPO and NPO need one in each.", name,
                     static_cast<long long>(s));
    }
    total += scored;
  }
  if (total == 0)
    return failure(Code::invalid_argument, "%s has no scored token: every sample has one token or an empty mask.", name);
  return {};
}

}  // namespace

Status check_request(const Trainer& trainer, const StepRequest& r) {
  if (trainer.poisoned)
    return failure(Code::invalid_argument,
                   "An update of this model was dropped half-way; restore the weights before the next step.");
  const Architecture& a = trainer.model()->architecture();
  const bool trains = r.loss != StepRequest::Loss::none || r.weight_kl > 0;
  if (!std::isfinite(r.weight_repair) || r.weight_repair < 0 || !std::isfinite(r.weight_kl) || r.weight_kl < 0) {
    return failure(Code::invalid_argument, "The weights of the losses must be finite and not negative, got %g and %g.",
                   static_cast<double>(r.weight_repair), static_cast<double>(r.weight_kl));
  }
  if (!trains && r.sensitivity.offsets.empty())
    return failure(Code::invalid_argument, "The step has neither a loss nor a sensitivity batch.");
  if (trainer.merged)
    return failure(Code::invalid_argument, "The adapter has been merged into the weights; make a new trainer for further steps.");
  if (r.loss == StepRequest::Loss::npo) {
    MS_TRY(check_scored(r.rejected, a, "The rejected batch", true));
    if (r.reference_rejected.size() != static_cast<size_t>(r.rejected.samples())) {
      return failure(Code::invalid_argument, "NPO needs a reference log-probability for each of %lld rejected samples, got %zu.",
                     static_cast<long long>(r.rejected.samples()), r.reference_rejected.size());
    }
  }
  if (r.loss == StepRequest::Loss::ce) MS_TRY(check_scored(r.chosen, a, "The repair batch", false));
  if (r.loss == StepRequest::Loss::dpo) {
    MS_TRY(check_scored(r.chosen, a, "The chosen batch", true));
    MS_TRY(check_scored(r.rejected, a, "The rejected batch", true));
    const size_t pairs = static_cast<size_t>(r.chosen.samples());
    if (r.rejected.samples() != r.chosen.samples() || r.reference_chosen.size() != pairs ||
        r.reference_rejected.size() != pairs) {
      return failure(
          Code::invalid_argument,
          "DPO needs as many rejected samples and reference log-probabilities as chosen samples (%zu), got %lld, %zu and %zu.",
          pairs, static_cast<long long>(r.rejected.samples()), r.reference_chosen.size(), r.reference_rejected.size());
    }
  }
  if ((r.loss == StepRequest::Loss::dpo || r.loss == StepRequest::Loss::npo) && (!std::isfinite(r.beta) || r.beta <= 0))
    return failure(Code::invalid_argument, "beta must be positive, got %g.", static_cast<double>(r.beta));
  if (r.weight_kl > 0) {
    MS_TRY(check_scored(r.normal, a, "The normal batch", false));
    if (trainer.reference() == nullptr)
      return failure(Code::invalid_argument, "KL needs a reference model; the trainer was made without one.");
    const size_t expected = r.normal.ids.size() * static_cast<size_t>(a.width);
    if (r.reference_hidden.size() != expected) {
      return failure(Code::invalid_argument,
                     "KL needs the reference's hidden states of every normal token (%zu numbers), got %zu.", expected,
                     r.reference_hidden.size());
    }
    if (r.kl_direction != MS_KL_FORWARD && r.kl_direction != MS_KL_REVERSE) {
      return failure(Code::invalid_argument, "The KL direction must be 0 (forward) or 1 (reverse), got %d.", r.kl_direction);
    }
  }
  if (!r.sensitivity.offsets.empty()) MS_TRY(check_scored(r.sensitivity, a, "The sensitivity batch", false));
  if ((r.slice == Slice::most_sensitive || r.slice == Slice::least_sensitive) && r.sensitivity.offsets.empty()) {
    return failure(Code::invalid_argument, "Choosing a block by sensitivity needs a sensitivity batch.");
  }
  if (r.slice == Slice::blocks) {
    if (r.blocks.empty()) return failure(Code::invalid_argument, "The slice names no block.");
    for (size_t i = 0; i < r.blocks.size(); ++i) {
      if (r.blocks[i] < 0 || r.blocks[i] >= a.layers || (i > 0 && r.blocks[i] <= r.blocks[i - 1])) {
        return failure(Code::invalid_argument, "The blocks of a slice must ascend and lie in 0 .. %lld, got %d.",
                       static_cast<long long>(a.layers - 1), r.blocks[i]);
      }
    }
  }
  if (r.slice_count < 1 || r.slice_count > a.layers) {
    return failure(Code::invalid_argument, "A slice holds between 1 and %lld blocks, got %lld.", static_cast<long long>(a.layers),
                   static_cast<long long>(r.slice_count));
  }
  if (!std::isfinite(r.lr) || r.lr < 0 || !std::isfinite(r.clip_norm) || r.clip_norm < 0) {
    return failure(Code::invalid_argument, "lr and clip_norm must be finite and not negative, got %g and %g.",
                   static_cast<double>(r.lr), static_cast<double>(r.clip_norm));
  }
  if (r.micro_batch_tokens < 0 || r.memory_budget < 0) {
    return failure(Code::invalid_argument, "The micro-batch and the memory budget must be 0 (off) or more, got %lld and %lld.",
                   static_cast<long long>(r.micro_batch_tokens), static_cast<long long>(r.memory_budget));
  }
  return {};
}

}  // namespace mendset
