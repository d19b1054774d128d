#include "model/loss_pass.h"

#include <algorithm>

#include "model/head.h"

namespace mendset {

void LossPass::add_ce(const PackedBatch& batch, int64_t first_sample, int64_t last_sample, float weight) {
  rows.append(batch, first_sample, last_sample, true);
  kl_begin = rows.losses();
  ce_weights.resize(static_cast<size_t>(kl_begin), weight);
  log_prob.resize(static_cast<size_t>(kl_begin));
}

void LossPass::add_kl(const PackedBatch& batch, int64_t first_sample, int64_t last_sample, std::span<const float> hidden,
                      float weight) {
  rows.append(batch, first_sample, last_sample, true);
  reference_hidden = hidden;
  const size_t count = static_cast<size_t>(rows.losses() - kl_begin);
  for (size_t i = 0; i < count; ++i) reference_rows.push_back(rows.loss_tokens[static_cast<size_t>(kl_begin) + i] - 1);
  kl_weights.assign(count, weight);
  kl.resize(count);
}

namespace {

class LossPassBuilder {
 public:
  LossPassBuilder(Builder& builder, LossPass& pass, GradientSink* sink)
      : builder_(builder), pass_(pass), model_(*pass.model), a_(model_.architecture()), sink_(sink) {}

  void build() {
    const DeviceRows rows = upload_rows(builder_, pass_.rows);
    const int64_t first_stored = sink_ != nullptr ? sink_->lowest_block() : a_.layers;
    const ForwardPass forward = build_forward(builder_, model_, rows, first_stored, pass_.checkpointed, nullptr, pass_.adapter);
    head_ = build_head_rows(builder_, model_, pass_.rows, forward.output, sink_ != nullptr);
    if (sink_ != nullptr) d_hidden_ = builder_.take<float>(head_.rows * a_.width);
    targets_ = builder_.upload(pass_.rows.targets);
    chunk_ = std::min(head_chunk_rows(model_, sink_ != nullptr && sink_->wants(-1)), head_.rows);
    logits_ = builder_.take<float>(chunk_ * a_.vocab);
    if (pass_.kl_begin > 0) build_ce();
    if (pass_.kl_begin < head_.rows) build_kl();
    builder_.give(logits_);
    builder_.give(head_.hidden);
    if (sink_ == nullptr) return;

    sink_->norm(builder_, model_.map().final_norm, head_.rows, head_.input, head_.mean, head_.rstd, d_hidden_, nullptr, d_hidden_,
                -1);
    builder_.give(head_.input);
    float* d_out = d_hidden_;
    if (head_.index != nullptr) {
      d_out = builder_.take<float>(rows.rows * a_.width);
      builder_.zero(d_out, rows.rows * a_.width);
      builder_.add(ms_scatter_rows_args{head_.rows, a_.width, head_.index, d_hidden_, d_out});
      builder_.give(d_hidden_);
    }
    build_backward(builder_, model_, rows, forward, d_out, *sink_);
    if (sink_->wants(-1) && sink_->forms_gradients()) sink_->embedding(builder_, rows, d_out);
  }

 private:
  void build_ce() {
    const int64_t count = pass_.kl_begin;
    double* log_prob = builder_.take<double>(count);
    float* weights = builder_.take<float>(count);
    const auto upload_weights = [&] {
      builder_.add(Upload{weights, pass_.ce_weights.data(), pass_.ce_weights.size() * sizeof(float)});
    };
    if (pass_.weigh == nullptr) {
      upload_weights();
      sweep(log_prob, weights, true, sink_ != nullptr);
      builder_.download(pass_.log_prob.data(), log_prob, count);
      return;
    }
    sweep(log_prob, nullptr, true, false);
    builder_.download(pass_.log_prob.data(), log_prob, count);
    builder_.add(HostStep{pass_.weigh});
    if (sink_ == nullptr) return;
    upload_weights();
    sweep(nullptr, weights, count > chunk_, true);  // one chunk: its logits are still there
  }

  void sweep(double* log_prob, const float* weights, bool make_logits, bool gradient) {
    for (int64_t row = 0; row < pass_.kl_begin; row += chunk_) {
      const int64_t count = std::min(chunk_, pass_.kl_begin - row);
      if (make_logits) build_logits(builder_, model_, count, head_.hidden + row * a_.width, logits_);
      ms_token_loss_args loss{};
      loss.rows = count;
      loss.vocab = a_.vocab;
      loss.logits = logits_;
      loss.targets = targets_ + row;
      loss.ce_weight = weights != nullptr ? weights + row : nullptr;
      loss.write_gradient = gradient ? 1 : 0;
      loss.log_prob = log_prob != nullptr ? log_prob + row : nullptr;
      builder_.add(loss);
      if (gradient) build_head_gradient(row, count);
    }
  }

  void build_kl() {
    const int64_t begin = pass_.kl_begin, rows = head_.rows - begin, width = pass_.reference->architecture().width;
    float* reference_hidden = builder_.take<float>(rows * width);
    // Neighbouring rows travel together: one copy per sample unless its mask has holes.
    for (int64_t i = 0; i < rows;) {
      const int64_t first = pass_.reference_rows[static_cast<size_t>(i)];
      int64_t run = 1;
      while (i + run < rows && pass_.reference_rows[static_cast<size_t>(i + run)] == first + run) ++run;
      builder_.add(Upload{reference_hidden + i * width, pass_.reference_hidden.data() + first * width,
                          static_cast<size_t>(run * width) * sizeof(float)});
      i += run;
    }
    const float* weights = builder_.upload(pass_.kl_weights);
    double* kl = builder_.take<double>(rows);
    float* reference_logits = builder_.take<float>(std::min(chunk_, rows) * a_.vocab);
    for (int64_t row = 0; row < rows; row += chunk_) {
      const int64_t count = std::min(chunk_, rows - row);
      build_logits(builder_, model_, count, head_.hidden + (begin + row) * a_.width, logits_);
      build_logits(builder_, *pass_.reference, count, reference_hidden + row * width, reference_logits);
      ms_token_loss_args loss{};
      loss.rows = count;
      loss.vocab = a_.vocab;
      loss.logits = logits_;
      loss.targets = targets_ + begin + row;
      loss.reference = reference_logits;
      loss.kl_weight = weights + row;
      loss.kl_direction = pass_.kl_direction;
      loss.write_gradient = sink_ != nullptr ? 1 : 0;
      loss.kl = kl + row;
      builder_.add(loss);
      if (sink_ != nullptr) build_head_gradient(begin + row, count);
    }
    builder_.download(pass_.kl.data(), kl, rows);
    builder_.give(reference_logits);
    builder_.give(reference_hidden);
  }

  // The chunk's logits hold their gradient.
  void build_head_gradient(int64_t row, int64_t count) {
    const LinearMap& head = model_.map().head;
    sink_->linear(builder_, head, count, head_.hidden + row * a_.width, MS_ACTIVATION_NONE, logits_, a_.vocab, -1);
    build_linear_input(builder_, model_, head, count, logits_, a_.vocab, nullptr, MS_ACTIVATION_NONE, d_hidden_ + row * a_.width,
                       0, -1);
  }

  Builder& builder_;
  LossPass& pass_;
  const Model& model_;
  const Architecture& a_;
  GradientSink* sink_;
  HeadRows head_;
  float *d_hidden_ = nullptr, *logits_ = nullptr;
  const int32_t* targets_ = nullptr;
  int64_t chunk_ = 0;
};

}  // namespace

void build_loss_pass(Builder& builder, LossPass& pass, GradientSink* sink) { LossPassBuilder(builder, pass, sink).build(); }

}  // namespace mendset
