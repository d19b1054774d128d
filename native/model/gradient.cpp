// Loss and full gradient of one batch on the host, for tests and debugging.
#include <cmath>

#include "model/language_model.h"
#include "model/loss_pass.h"

namespace mendset {

namespace {

class GradientTask : public Task {
 public:
  GradientTask(std::shared_ptr<Model> model, const PackedBatch& batch, double* loss, std::span<float* const> gradients)
      : model_(std::move(model)), arena_(model_), loss_(loss), gradients_(gradients.begin(), gradients.end()) {
    pass_.model = model_.get();
    pass_.add_ce(batch, 0, batch.samples(), 0);
    pass_.ce_weights.assign(pass_.ce_weights.size(), 1 / static_cast<float>(pass_.losses()));
  }

  Status step(Deadline deadline) override {
    if (schedule_.entries().empty()) MS_TRY(build());
    MS_TRY(schedule_.run(*model_->backend(), deadline, &next_));
    if (next_ < schedule_.entries().size()) return {};
    double sum = 0;
    for (const double log_prob : pass_.log_prob) sum -= log_prob;
    *loss_ = sum / static_cast<double>(pass_.losses());
    for (size_t i = 0; i < gradients_.size(); ++i) {
      if (gradients_[i] != nullptr) model_->to_stored_order(static_cast<int>(i), gradients_[i]);
    }
    finished_ = true;
    return {};
  }

  Progress progress() const override {
    return {static_cast<double>(next_), static_cast<double>(schedule_.entries().empty() ? 1 : schedule_.entries().size()),
            finished_};
  }

 private:
  Status build() {
    return plan(*arena_, schedule_, [&](Builder& builder) {
      GradientSink sink = GradientSink::gradients(*model_, GradientSink::Wanted::everything());
      build_loss_pass(builder, pass_, &sink);
      for (size_t i = 0; i < gradients_.size(); ++i) {
        if (gradients_[i] != nullptr)
          builder.download(gradients_[i], sink.gradient(static_cast<int>(i)), model_->tensors()[i].count);
      }
    });
  }

  std::shared_ptr<Model> model_;
  ArenaLease arena_;
  LossPass pass_;
  double* loss_;
  std::vector<float*> gradients_;
  Schedule schedule_;
  size_t next_ = 0;
  bool finished_ = false;
};

}  // namespace

Status gradient_task(const std::shared_ptr<Model>& model, const PackedBatch& batch, double* loss,
                     std::span<float* const> gradients, std::unique_ptr<Task>* task) {
  MS_TRY(check_batch(batch, model->architecture(), "The batch"));
  if (gradients.size() != model->tensors().size()) {
    return failure(Code::invalid_argument, "Expected one gradient array per tensor (%zu), got %zu.", model->tensors().size(),
                   gradients.size());
  }
  int64_t scored = 0;
  for (int64_t s = 0; s < batch.samples(); ++s) scored += scored_tokens(batch, s);
  if (scored == 0)
    return failure(Code::invalid_argument, "The batch has no scored token: every sample has one token or an empty mask.");
  *task = std::make_unique<GradientTask>(model, batch, loss, gradients);
  return {};
}

}  // namespace mendset
