// What a training step will hold, from the plans of its passes; and the cut of its batch that a memory budget allows.
#include <algorithm>
#include <numeric>

#include "model/step_passes.h"
#include "model/trainer.h"

namespace mendset {

namespace {

// Kept free of a budget for the backend's scratch: its need depends on threads and instruction set, the cut must not.
constexpr int64_t kScratchAllowance = int64_t{32} << 20;

int64_t group_bytes(const Trainer& trainer, size_t group) {
  const TensorGroup& range = trainer.groups()[group];
  return (range.end - range.begin) * static_cast<int64_t>(sizeof(float));
}

// The blocks to plan for: the lowest where the step will choose them, which keeps the most activations.
std::vector<int32_t> planned_blocks(const StepRequest& request) {
  if (request.slice == Slice::all) return {};
  if (request.slice == Slice::blocks) return request.blocks;
  std::vector<int32_t> lowest(static_cast<size_t>(request.slice_count));
  std::iota(lowest.begin(), lowest.end(), 0);
  return lowest;
}

int64_t gradient_bytes(const Trainer& trainer, const StepPasses& passes, const StepRequest& request) {
  int64_t bytes = 0;
  if (!passes.backward()) return bytes;
  for (const size_t g : trainer.groups_of(planned_blocks(request))) bytes += group_bytes(trainer, g);
  return bytes;
}

// Everything but what the passes need.
MemoryForecast held(const Trainer& trainer, bool snapshot, const StepPasses& passes, const StepRequest& request) {
  const Model& model = *trainer.model();
  const int64_t moments = trainer.options().kind == OptimizerOptions::Kind::adamw ? 2 : 1;
  MemoryForecast out;
  const bool adapts = trainer.adapter() != nullptr;
  const int64_t adapter = adapts ? trainer.elements() * static_cast<int64_t>(sizeof(float)) : 0;
  out.weights = out.weights_most = model.bytes() + adapter;
  out.snapshot = out.snapshot_most = snapshot ? adapter : 0;
  // beside an adapter the model's own weights are the reference
  out.reference = trainer.reference() == nullptr || trainer.reference() == &model ? 0 : trainer.reference()->bytes();
  const std::vector<size_t> planned = trainer.groups_of(planned_blocks(request));
  const bool chooses = request.slice == Slice::most_sensitive || request.slice == Slice::least_sensitive;
  int64_t to_count = chooses ? request.slice_count : 0, to_widen = to_count, being_widened = 0;
  for (size_t g = 0; g < model.groups().size(); ++g) {
    const int64_t bytes = moments * group_bytes(trainer, g);
    const bool before = trainer.states()[g].steps > 0;
    const bool now = passes.updates() && std::find(planned.begin(), planned.end(), g) != planned.end();
    const bool may = passes.updates() && (now || (chooses && model.block_of_group(g) >= 0));
    // Of blocks that the step may choose, as many as it chooses are new to it.
    if (before || (now && !chooses)) out.optimizer += bytes;
    if (before || may) out.optimizer_most += bytes;
    if (may && !before && to_count > 0) {
      out.optimizer += bytes;
      --to_count;
    }
    if (adapts) continue;
    // What is held in 16 bits becomes fp32 at its first update; until then snapshots share it.
    const int64_t narrow = model.group_bytes(g, true), wide = model.group_bytes(g, false);
    const bool widens = model.is_narrow(g) && (chooses ? may && to_widen > 0 : now);
    if (widens) {
      out.weights += wide - narrow;
      being_widened = std::max(being_widened, narrow);
      if (chooses) --to_widen;
    }
    if (model.is_narrow(g) && may) out.weights_most += wide - narrow;
    if (snapshot && (!model.is_narrow(g) || widens)) out.snapshot += wide;
    if (snapshot && (!model.is_narrow(g) || may)) out.snapshot_most += wide;
  }
  out.weights += being_widened;  // one group is there twice for a moment
  out.gradients = gradient_bytes(trainer, passes, request);
  return out;
}

PlannedMemory planned_step(const Trainer& trainer, StepPasses& passes, const StepRequest& request) {
  const Backend& backend = *trainer.model()->backend();
  PlannedMemory all = passes.plan_sensitivity(backend);
  all.cover(passes.plan_loss(backend, planned_blocks(request)));
  if (passes.updates()) {
    Schedule update;
    Arena arena(nullptr);
    Builder builder(arena, update);
    ms_rmsprop_args rmsprop{};
    ms_adamw_args adamw{};
    rmsprop.count = adamw.count = gradient_bytes(trainer, passes, request) / static_cast<int64_t>(sizeof(float));
    trainer.options().kind == OptimizerOptions::Kind::rmsprop ? builder.add(rmsprop) : builder.add(adamw);
    all.flops += update.flops();
  }
  return all;
}

Status cut_within(const Trainer& trainer, bool snapshot, const StepRequest& request, StepPasses* passes) {
  passes->cut(request.micro_batch_tokens, request.checkpoint);
  if (request.memory_budget <= 0) return {};
  const int64_t kept = held(trainer, snapshot, *passes, request).peak() + kScratchAllowance;
  int64_t least = 0;
  for (const bool checkpointed : {false, true}) {
    if (request.checkpoint && !checkpointed) continue;
    int64_t tokens = request.micro_batch_tokens;
    for (;;) {
      passes->cut(tokens, checkpointed);
      const int64_t need = kept + planned_step(trainer, *passes, request).bytes;
      if (need <= request.memory_budget) return {};
      least = least == 0 ? need : std::min(least, need);
      const int64_t next = passes->next_cut();
      if (next == 0) break;
      // Halves until few samples are left in a pass, so that the search stays short.
      tokens = std::min(next, std::max<int64_t>(next / 2, 1) + next / 4);
    }
  }
  return failure(
      Code::invalid_argument,
      "The step needs at least %lld MiB even one sample at a time with checkpointed activations, but the memory budget "
      "is %lld MiB; raise it, shorten the samples, or train one block.",
      static_cast<long long>((least + (1 << 20) - 1) >> 20), static_cast<long long>(request.memory_budget >> 20));
}

Status forecast(const Trainer& trainer, bool snapshot, const StepRequest& request, MemoryForecast* out) {
  MS_TRY(check_request(trainer, request));
  StepResult ignored;
  StepPasses passes(trainer, request, &ignored);
  MS_TRY(cut_within(trainer, snapshot, request, &passes));
  *out = held(trainer, snapshot, passes, request);
  const PlannedMemory planned = planned_step(trainer, passes, request);
  out->work = planned.bytes;
  out->scratch = planned.scratch_bytes;
  out->flops = planned.flops;
  out->micro_batches = passes.has_loss() ? static_cast<int64_t>(passes.loss_parts()) : 0;
  out->checkpointed = passes.checkpointed();
  return {};
}

}  // namespace

Status choose_cut(const Trainer& trainer, const StepRequest& request, StepPasses* passes) {
  return cut_within(trainer, trainer.has_snapshot(), request, passes);
}

Status forecast_step(const Trainer& trainer, const StepRequest& request, MemoryForecast* out) {
  return forecast(trainer, trainer.has_snapshot(), request, out);
}

Status forecast_step(const std::shared_ptr<Model>& model, const std::shared_ptr<Model>& reference,
                     const OptimizerOptions& options, const AdapterOptions* adapter, bool snapshot, const StepRequest& request,
                     MemoryForecast* out) {
  std::shared_ptr<Trainer> trainer;
  MS_TRY(create_trainer(model, reference, options, adapter, &trainer));
  return forecast(*trainer, snapshot, request, out);
}

}  // namespace mendset
