// Per-token quantities of packed samples by forward passes that keep no activations.
#include <algorithm>

#include "model/forward.h"
#include "model/head.h"
#include "model/language_model.h"
#include "model/packed_rows.h"
#include "model/token_results.h"

namespace mendset {

namespace {

class ScoreTask : public Task {
 public:
  ScoreTask(std::shared_ptr<Model> model, const PackedBatch& batch, const ScoreOutputs& outputs)
      : model_(std::move(model)),
        arena_(model_),
        batch_(batch),
        outputs_(outputs),
        results_(outputs),
        ranges_(split_samples(batch, pass_tokens(*model_))) {}

  void clear_outputs() const { results_.clear(batch_.tokens()); }

  Status step(Deadline deadline) override {
    do {
      if (next_ == 0) MS_TRY(build());
      MS_TRY(schedule_.run(*model_->backend(), deadline, &next_));
      if (next_ < schedule_.entries().size()) return {};
      results_.store(rows_);
      next_ = 0;
      ++range_;
    } while (range_ < ranges_.size() && !deadline.passed());
    return {};
  }

  PlannedMemory planned() {
    PlannedMemory all;
    for (range_ = 0; range_ < ranges_.size(); ++range_) {
      prepare();
      all.cover(plan_memory(*model_->backend(), [&](Builder& builder) { build_pass(builder, ranges_[range_].first); }));
    }
    return all;
  }

  Progress progress() const override {
    const double part =
        schedule_.entries().empty() ? 0 : static_cast<double>(next_) / static_cast<double>(schedule_.entries().size());
    const double total = static_cast<double>(ranges_.size());
    return {std::min(static_cast<double>(range_) + part, total), total, range_ == ranges_.size()};
  }

 private:
  bool wants_every_row() const {
    return outputs_.hidden != nullptr || outputs_.embedding != nullptr || outputs_.logits != nullptr;
  }

  Status build() {
    prepare();
    return plan(*arena_, schedule_, [&](Builder& builder) { build_pass(builder, ranges_[range_].first); });
  }

  void prepare() {
    const auto [first, last] = ranges_[range_];
    rows_ = PackedRows();
    rows_.append(batch_, first, last, !wants_every_row());
  }

  void build_pass(Builder& builder, int64_t first) {
    if (rows_.rows() == 0) return;
    const Architecture& a = model_->architecture();
    const DeviceRows rows = upload_rows(builder, rows_);
    const ForwardPass pass = build_forward(builder, *model_, rows, a.layers, false);
    if (wants_every_row()) {
      float* hidden = builder.take<float>(rows.rows * a.width);
      build_norm(builder, *model_, model_->map().final_norm, rows.rows, pass.output, hidden, nullptr, nullptr, -1);
      build_whole_rows(builder, rows, hidden, first);
      builder.give(hidden);
    }
    if (!results_.wanted() || rows_.losses() == 0) return;
    const HeadRows head = build_head_rows(builder, *model_, rows_, pass.output, false);
    const int32_t* targets = builder.upload(rows_.targets);
    results_.take(builder, head.rows);
    const int64_t chunk = std::min(head_chunk_rows(*model_, false), head.rows);
    float* logits = builder.take<float>(chunk * a.vocab);
    for (int64_t row = 0; row < head.rows; row += chunk) {
      const int64_t count = std::min(chunk, head.rows - row);
      build_logits(builder, *model_, count, head.hidden + row * a.width, logits);
      ms_token_loss_args loss{};
      loss.rows = count;
      loss.vocab = a.vocab;
      loss.logits = logits;
      loss.targets = targets + row;
      results_.request(loss, row);
      builder.add(loss);
    }
    results_.download(builder);
  }

  void build_whole_rows(Builder& builder, const DeviceRows& rows, const float* hidden, int64_t first) {
    const Architecture& a = model_->architecture();
    const int64_t token = batch_.offsets[static_cast<size_t>(first)];
    if (outputs_.hidden != nullptr) builder.download(outputs_.hidden + token * a.width, hidden, rows.rows * a.width);
    if (outputs_.embedding != nullptr) {
      float* pooled = builder.take<float>(rows.samples * a.width);
      builder.add(ms_mean_pool_args{rows.samples, a.width, rows.offsets, hidden, outputs_.normalize_embedding ? 1 : 0, pooled});
      builder.download(outputs_.embedding + first * a.width, pooled, rows.samples * a.width);
      builder.give(pooled);
    }
    if (outputs_.logits == nullptr) return;
    const int64_t chunk = std::min(head_chunk_rows(*model_, false), rows.rows);
    float* logits = builder.take<float>(chunk * a.vocab);
    for (int64_t row = 0; row < rows.rows; row += chunk) {
      const int64_t count = std::min(chunk, rows.rows - row);
      build_logits(builder, *model_, count, hidden + row * a.width, logits);
      builder.download(outputs_.logits + (token + row) * a.vocab, logits, count * a.vocab);
    }
    builder.give(logits);
  }

  std::shared_ptr<Model> model_;
  ArenaLease arena_;
  PackedBatch batch_;
  ScoreOutputs outputs_;
  TokenResults results_;
  std::vector<std::pair<int64_t, int64_t>> ranges_;
  size_t range_ = 0, next_ = 0;
  PackedRows rows_;
  Schedule schedule_;
};

}  // namespace

Status score_task(const std::shared_ptr<Model>& model, const PackedBatch& batch, const ScoreOutputs& outputs,
                  std::unique_ptr<Task>* task) {
  MS_TRY(check_batch(batch, model->architecture(), "The batch"));
  auto score = std::make_unique<ScoreTask>(model, batch, outputs);
  score->clear_outputs();
  *task = std::move(score);
  return {};
}

Status forecast_score(const std::shared_ptr<Model>& model, const PackedBatch& batch, const ScoreOutputs& outputs,
                      MemoryForecast* out) {
  MS_TRY(check_batch(batch, model->architecture(), "The batch"));
  *out = forecast_of(*model, ScoreTask(model, batch, outputs).planned());
  return {};
}

}  // namespace mendset
