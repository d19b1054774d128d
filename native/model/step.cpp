// One training step: an optional sensitivity pass that chooses a block, losses and gradients, then the update.
#include <cmath>

#include "model/language_model.h"
#include "model/step_passes.h"
#include "model/trainer.h"

namespace mendset {

namespace {

class StepTask : public Task {
 public:
  StepTask(std::shared_ptr<Trainer> trainer, const StepRequest& request, StepResult* result)
      : trainer_(std::move(trainer)),
        model_(trainer_->model()),
        arena_(model_),
        reference_(trainer_->shared_reference()),
        request_(request),
        result_(result),
        passes_(*trainer_, request_, result) {}

  // Cuts the batch; refuses a budget that even single samples exceed.
  Status prepare() {
    MS_TRY(choose_cut(*trainer_, request_, &passes_));
    for (size_t part = 0; part < passes_.sensitivity_parts(); ++part) phases_.push_back({Kind::sensitivity, part});
    for (size_t part = 0; passes_.has_loss() && part < passes_.loss_parts(); ++part) phases_.push_back({Kind::loss, part});
    if (passes_.updates()) phases_.push_back({Kind::update, 0});
    result_->micro_batches = passes_.has_loss() ? static_cast<int64_t>(passes_.loss_parts()) : 0;
    result_->checkpointed = passes_.checkpointed();
    return {};
  }

  Status step(Deadline deadline) override {
    do {
      if (!built_) MS_TRY(build());
      MS_TRY(schedule_.run(*model_->backend(), deadline, &next_));
      if (next_ < schedule_.entries().size()) return {};
      result_->flops += schedule_.flops();
      MS_TRY(finish_phase());
      ++phase_;
      built_ = false;
    } while (phase_ < phases_.size() && !deadline.passed());
    return {};
  }

  Progress progress() const override {
    const double part = built_ ? static_cast<double>(next_) / static_cast<double>(schedule_.entries().size()) : 0;
    return {static_cast<double>(phase_) + part, static_cast<double>(phases_.size()), phase_ == phases_.size()};
  }

 private:
  enum class Kind { sensitivity, loss, update };
  struct Phase {
    Kind kind;
    size_t part;
  };

  Status build() {
    const auto [kind, part] = phases_[phase_];
    next_ = 0;
    // Gradients outlive a pass when there are several: then the arena must not grow between them.
    if (kind == Kind::sensitivity) {
      if (part == 0 && passes_.sensitivity_parts() > 1)
        MS_TRY((*arena_).reserve(static_cast<size_t>(passes_.plan_sensitivity(*model_->backend()).bytes)));
      MS_TRY(plan(*arena_, schedule_, [&](Builder& builder) { passes_.build_sensitivity(builder, phases_[phase_].part); }));
      passes_.planned();
    } else if (kind == Kind::loss) {
      if (request_.slice == Slice::blocks) result_->blocks = request_.blocks;
      if (part == 0 && passes_.loss_parts() > 1)
        MS_TRY((*arena_).reserve(static_cast<size_t>(passes_.plan_loss(*model_->backend(), result_->blocks).bytes)));
      MS_TRY(plan(*arena_, schedule_,
                  [&](Builder& builder) { passes_.build_loss(builder, phases_[phase_].part, result_->blocks); }));
      passes_.planned();
    } else {
      MS_TRY(build_update_phase());
    }
    built_ = true;
    return {};
  }

  Status build_update_phase() {
    const std::vector<size_t> groups = trainer_->groups_of(result_->blocks);
    for (const size_t g : groups) {
      MS_TRY(trainer_->allocate_state(g));
      if (trainer_->adapter() == nullptr) MS_TRY(model_->widen(g, 1));  // the lease is ours
    }
    if (request_.keep_gradients) MS_TRY(keep_gradients(groups));
    const float clip = request_.clip_norm;
    const double scale = clip > 0 ? std::fmin(1.0, static_cast<double>(clip) / (result_->gradient_norm + 1e-6)) : 1.0;
    schedule_.clear();
    Builder builder(*arena_, schedule_);
    for (const size_t g : groups)
      build_update(builder, *trainer_, g, passes_.gradient(g), request_.lr, static_cast<float>(scale));
    trainer_->poisoned = true;
    return {};
  }

  Status keep_gradients(const std::vector<size_t>& groups) {
    const Backend& backend = *model_->backend();
    if (trainer_->gradients.data() == nullptr) {
      const size_t bytes = static_cast<size_t>(trainer_->elements()) * sizeof(float);
      MS_TRY(Buffer::allocate(model_->backend(), bytes, &trainer_->gradients));
    }
    for (const size_t g : groups) {
      const TensorGroup& range = trainer_->groups()[g];
      MS_TRY(
          backend.check(backend.table().copy(backend.context(), trainer_->gradients.as<float>() + range.begin,
                                             passes_.gradient(g), static_cast<size_t>(range.end - range.begin) * sizeof(float)),
                        "copy"));
    }
    trainer_->gradient_blocks = result_->blocks;
    return {};
  }

  Status finish_phase() {
    const auto [kind, part] = phases_[phase_];
    if (kind == Kind::sensitivity) return passes_.finish_sensitivity(part);
    if (kind == Kind::loss) return passes_.finish_loss(part);
    for (const size_t g : trainer_->groups_of(result_->blocks)) ++trainer_->states()[g].steps;
    trainer_->poisoned = false;
    return {};
  }

  std::shared_ptr<Trainer> trainer_;
  std::shared_ptr<Model> model_;
  ArenaLease arena_;
  WeightsLease reference_;
  StepRequest request_;
  StepResult* result_;
  StepPasses passes_;
  std::vector<Phase> phases_;
  size_t phase_ = 0, next_ = 0;
  bool built_ = false;
  Schedule schedule_;
};

}  // namespace

Status step_task(const std::shared_ptr<Trainer>& trainer, const StepRequest& request, StepResult* result,
                 std::unique_ptr<Task>* task) {
  MS_TRY(check_request(*trainer, request));
  *result = StepResult();
  auto step = std::make_unique<StepTask>(trainer, request, result);
  MS_TRY(step->prepare());
  *task = std::move(step);
  return {};
}

}  // namespace mendset
