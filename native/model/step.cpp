// One training step: an optional sensitivity pass that chooses a block, losses and gradients, then the update.
#include <cmath>

#include "model/language_model.h"
#include "model/loss_pass.h"
#include "model/trainer.h"

namespace mendset {

namespace {

class StepTask : public Task {
 public:
  StepTask(std::shared_ptr<Trainer> trainer, const StepRequest& request, StepResult* result)
      : trainer_(std::move(trainer)), model_(trainer_->model()), arena_(model_), request_(request), result_(result) {
    *result = StepResult();
    prepare_loss();
    if (!request.sensitivity.offsets.empty()) {
      ranges_ = split_samples(request.sensitivity, model_->architecture().width < 512 ? 8192 : 2048);
      for (int64_t s = 0; s < request.sensitivity.samples(); ++s) sensitivity_tokens_ += scored_tokens(request.sensitivity, s);
      result_->tokens += request.sensitivity.tokens();
      phases_.assign(ranges_.size(), Phase::sensitivity);
    }
    if (pass_.losses() > 0) phases_.push_back(Phase::loss);
    if (updates()) phases_.push_back(Phase::update);
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
  enum class Phase { sensitivity, loss, update };

  bool updates() const { return request_.update && pass_.losses() > 0; }

  void prepare_loss() {
    pass_.model = model_.get();
    pass_.reference = trainer_->reference();
    pass_.kl_direction = request_.kl_direction;
    const StepRequest& r = request_;
    if (r.loss != StepRequest::Loss::none) {
      pass_.add_ce(r.chosen, 0, r.chosen.samples(), 0);
      result_->tokens += r.chosen.tokens();
    }
    if (r.loss == StepRequest::Loss::dpo) {
      pass_.add_ce(r.rejected, 0, r.rejected.samples(), 0);
      result_->tokens += r.rejected.tokens();
      pass_.weigh = [this] { return weigh_pairs(); };
    }
    result_->scored_tokens = pass_.kl_begin;
    if (r.loss == StepRequest::Loss::ce) {
      const double divisor = static_cast<double>(r.sequence_sum ? r.chosen.samples() : pass_.kl_begin);
      pass_.ce_weights.assign(pass_.ce_weights.size(), static_cast<float>(static_cast<double>(r.weight_repair) / divisor));
    }
    if (r.weight_kl <= 0) return;
    pass_.add_kl(r.normal, r.reference_hidden, 0);
    pass_.kl_weights.assign(pass_.kl_weights.size(),
                            static_cast<float>(static_cast<double>(r.weight_kl) / static_cast<double>(pass_.kl_weights.size())));
    result_->tokens += r.normal.tokens();
    if (r.loss == StepRequest::Loss::none) result_->scored_tokens = pass_.losses();
  }

  // z = beta [(log p_chosen - log p_rejected) - (reference's)]; every chosen row gets c = beta sigmoid(-z) / pairs, every
  // rejected row -c.
  Status weigh_pairs() {
    const size_t pairs = static_cast<size_t>(request_.chosen.samples());
    const auto sum = [&](size_t sample) {
      double total = 0;
      for (int32_t i = pass_.rows.loss_offsets[sample]; i < pass_.rows.loss_offsets[sample + 1]; ++i)
        total += pass_.log_prob[static_cast<size_t>(i)];
      return total;
    };
    const auto weigh = [&](size_t sample, double weight) {
      for (int32_t i = pass_.rows.loss_offsets[sample]; i < pass_.rows.loss_offsets[sample + 1]; ++i) {
        pass_.ce_weights[static_cast<size_t>(i)] = static_cast<float>(weight);
      }
    };
    const double beta = static_cast<double>(request_.beta);
    double loss = 0;
    result_->pair_margins.assign(pairs, 0);
    for (size_t p = 0; p < pairs; ++p) {
      const double z = beta * ((sum(p) - sum(pairs + p)) - (request_.reference_chosen[p] - request_.reference_rejected[p]));
      if (!std::isfinite(z))
        return failure(Code::non_finite,
                       "The log-probabilities of pair %zu are not finite; lower the learning rate or check the weights.", p);
      result_->pair_margins[p] = z;
      // softplus(-z) and sigmoid(-z) without overflow on either side
      const double e = std::exp(-std::abs(z));
      loss += (z < 0 ? -z : 0) + std::log1p(e);
      const double sigmoid = z >= 0 ? e / (1 + e) : 1 / (1 + e);
      const double c = static_cast<double>(request_.weight_repair) * beta * sigmoid / static_cast<double>(pairs);
      weigh(p, c);
      weigh(pairs + p, -c);
    }
    result_->loss_repair = loss / static_cast<double>(pairs);
    return {};
  }

  Status build() {
    next_ = 0;
    MS_TRY(build_phase());
    built_ = true;
    return {};
  }

  Status build_phase() {
    switch (phases_[phase_]) {
      case Phase::sensitivity: {
        const auto [first, last] = ranges_[phase_];
        sensitivity_ = LossPass();
        sensitivity_.model = model_.get();
        sensitivity_.add_ce(request_.sensitivity, first, last, 1 / static_cast<float>(sensitivity_tokens_));
        squares_.assign(ranges_.size() == 1 ? model_->tensors().size() : model_->groups().size(), 0);
        span_ = {0, static_cast<int32_t>(sensitivity_.rows.rows())};
        float* base = nullptr;
        if (ranges_.size() > 1) MS_TRY(trainer_->gradients(-1, &base));
        return plan(*arena_, schedule_, [&](Builder& builder) {
          ranges_.size() == 1 ? build_sensitivity(builder) : build_sensitivity_part(builder, base);
        });
      }
      case Phase::loss: {
        if (request_.slice == Slice::block) result_->block = request_.block;
        float* base = nullptr;
        if (updates()) MS_TRY(trainer_->gradients(result_->block, &base));
        return plan(*arena_, schedule_, [&](Builder& builder) { build_loss(builder, base); });
      }
      case Phase::update:
        return build_update_phase();
    }
    return {};
  }

  void build_sensitivity(Builder& builder) {
    const int64_t count = static_cast<int64_t>(squares_.size());
    double* squares = builder.take<double>(count);
    builder.zero(reinterpret_cast<float*>(squares), 2 * count);  // all bits zero is 0.0 in fp64 too
    // The whole batch counts as one sample: the norm of the batch's gradient, cross terms between samples included.
    const SampleSpans whole{1, span_[1], builder.upload(span_)};
    GradientSink sink = GradientSink::sample_norms(*model_, GradientSink::kBlocksOnly, squares, whole);
    build_loss_pass(builder, sensitivity_, &sink);
    builder.download(squares_.data(), squares, count);
  }

  // A batch too large for one pass: the norm is of the summed gradient, so block gradients are summed over the parts first.
  void build_sensitivity_part(Builder& builder, float* base) {
    if (phase_ == 0) builder.zero(base, model_->elements());
    if (sensitivity_.losses() > 0) {
      GradientSink sink = GradientSink::gradients(*model_, GradientSink::kBlocksOnly, base, 0, true);
      build_loss_pass(builder, sensitivity_, &sink);
    }
    if (phase_ + 1 < ranges_.size()) return;
    const int64_t count = static_cast<int64_t>(squares_.size());
    double* squares = builder.take<double>(count);
    builder.zero(reinterpret_cast<float*>(squares), 2 * count);
    for (size_t g = 1; g + 1 < squares_.size(); ++g) {
      const TensorGroup& group = model_->groups()[g];
      builder.add(ms_sum_squares_args{group.end - group.begin, base + group.begin, squares + g}, static_cast<int32_t>(g) - 1);
    }
    builder.download(squares_.data(), squares, count);
  }

  void build_loss(Builder& builder, float* base) {
    if (base == nullptr) return build_loss_pass(builder, pass_, nullptr);
    GradientSink sink = GradientSink::gradients(*model_, result_->block, base, origin());
    build_loss_pass(builder, pass_, &sink);
    const auto [first, last] = trainer_->groups_of(result_->block);
    double* sum = builder.take<double>(1);
    builder.zero(reinterpret_cast<float*>(sum), 2);
    builder.add(ms_sum_squares_args{model_->groups()[last - 1].end - origin(), base, sum});
    builder.download(&gradient_square_, sum, 1);
  }

  int64_t origin() const { return model_->groups()[trainer_->groups_of(result_->block).first].begin; }

  Status build_update_phase() {
    const auto [first, last] = trainer_->groups_of(result_->block);
    for (size_t g = first; g < last; ++g) MS_TRY(trainer_->allocate_state(g));
    float* base = nullptr;
    MS_TRY(trainer_->gradients(result_->block, &base));
    const float clip = request_.clip_norm;
    const double scale = clip > 0 ? std::fmin(1.0, static_cast<double>(clip) / (result_->gradient_norm + 1e-6)) : 1.0;
    schedule_.clear();
    Builder builder(*arena_, schedule_);
    build_update(builder, *trainer_, first, last, base, origin(), request_.lr, static_cast<float>(scale));
    trainer_->poisoned = true;
    return {};
  }

  Status finish_phase() {
    switch (phases_[phase_]) {
      case Phase::sensitivity:
        return choose_block();
      case Phase::loss:
        return finish_loss();
      case Phase::update: {
        const auto [first, last] = trainer_->groups_of(result_->block);
        for (size_t g = first; g < last; ++g) ++trainer_->states()[g].steps;
        trainer_->poisoned = false;
        return {};
      }
    }
    return {};
  }

  Status choose_block() {
    if (phase_ + 1 < ranges_.size()) return {};
    const size_t layers = static_cast<size_t>(model_->architecture().layers);
    result_->sensitivities.assign(layers, 0);
    const bool per_tensor = ranges_.size() == 1;  // else per group
    for (size_t i = 0; i < squares_.size(); ++i) {
      const int32_t block = per_tensor ? model_->tensors()[i].block : i + 1 < squares_.size() ? static_cast<int32_t>(i) - 1 : -1;
      if (block >= 0) result_->sensitivities[static_cast<size_t>(block)] += squares_[i];
    }
    size_t most = 0, least = 0;
    for (size_t b = 0; b < layers; ++b) {
      double& s = result_->sensitivities[b];
      s = std::sqrt(s);
      if (!std::isfinite(s))
        return failure(Code::non_finite,
                       "The sensitivity of block %zu is not finite; lower the learning rate or check the weights.", b);
      if (s > result_->sensitivities[most]) most = b;
      if (s < result_->sensitivities[least]) least = b;
    }
    if (request_.slice == Slice::most_sensitive) result_->block = static_cast<int32_t>(most);
    if (request_.slice == Slice::least_sensitive) result_->block = static_cast<int32_t>(least);
    return {};
  }

  Status finish_loss() {
    StepResult& r = *result_;
    if (request_.loss == StepRequest::Loss::ce) {
      for (const double log_prob : pass_.log_prob) r.loss_repair -= log_prob;
      r.loss_repair /= static_cast<double>(request_.sequence_sum ? request_.chosen.samples() : pass_.kl_begin);
    }
    if (!pass_.kl.empty()) {
      for (const double kl : pass_.kl) r.loss_kl += kl;
      r.loss_kl /= static_cast<double>(pass_.kl.size());
    }
    r.loss = static_cast<double>(request_.weight_repair) * r.loss_repair + static_cast<double>(request_.weight_kl) * r.loss_kl;
    if (!std::isfinite(r.loss))
      return failure(Code::non_finite, "The loss is not finite; the weights were not changed. Lower the learning rate.");
    if (!updates()) return {};
    r.gradient_norm = std::sqrt(gradient_square_);
    if (!std::isfinite(r.gradient_norm)) {
      return failure(Code::non_finite, "The gradient norm is not finite; the weights were not changed. Lower the learning rate.");
    }
    return {};
  }

  std::shared_ptr<Trainer> trainer_;
  std::shared_ptr<Model> model_;
  ArenaLease arena_;
  StepRequest request_;
  StepResult* result_;
  LossPass pass_, sensitivity_;
  std::vector<std::pair<int64_t, int64_t>> ranges_;  // parts of the sensitivity batch, one phase each
  int64_t sensitivity_tokens_ = 0;
  std::vector<double> squares_;
  std::vector<int32_t> span_;
  double gradient_square_ = 0;
  std::vector<Phase> phases_;
  size_t phase_ = 0, next_ = 0;
  bool built_ = false;
  Schedule schedule_;
};

}  // namespace

Status step_task(const std::shared_ptr<Trainer>& trainer, const StepRequest& request, StepResult* result,
                 std::unique_ptr<Task>* task) {
  MS_TRY(check_request(*trainer, request));
  *task = std::make_unique<StepTask>(trainer, request, result);
  return {};
}

}  // namespace mendset
