#include "model/encoder.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "model/family.h"
#include "model/forward.h"
#include "model/model.h"
#include "model/packed_rows.h"

namespace mendset {

namespace {

constexpr int64_t kPassTokens = 4096;  // of one pass over many short texts

// The hidden states [rows, width] of the last block.
float* build_encoder(Builder& builder, const Model& model, const DeviceRows& rows) {
  const Architecture& a = model.architecture();
  const TensorMap& map = model.map();
  const int64_t n = rows.rows, d = a.width;
  const int32_t heads = static_cast<int32_t>(a.heads);
  float* x = builder.take<float>(n * d);
  float* sum = builder.take<float>(n * d);
  // The table of token types begins with type 0.
  builder.add(ms_embed_forward_args{n, d, rows.ids, rows.positions, model.matrix(map.token_embedding),
                                    model.weight(map.position_embedding), sum, model.weight(map.token_type_embedding),
                                    model.type(map.token_embedding)});
  build_norm(builder, model, map.embedding_norm, n, sum, x, nullptr, nullptr, -1);
  float* qkv = builder.take<float>(n * 3 * d);
  float* inner = builder.take<float>(n * a.inner);
  for (int32_t b = 0; b < a.layers; ++b) {
    const BlockMap& block = map.blocks[static_cast<size_t>(b)];
    for (size_t i = 0; i < 3; ++i) {
      build_linear(builder, model, block.qkv[i], n, x, MS_ACTIVATION_NONE, nullptr, qkv + static_cast<int64_t>(i) * d, 3 * d, b);
    }
    float* attended = builder.take<float>(n * d);
    builder.add(ms_attention_forward_args{n, rows.samples, rows.offsets, rows.max_length, heads, heads,
                                          static_cast<int32_t>(a.head_dim), 0, a.attention_scale, qkv, qkv + d, qkv + 2 * d,
                                          3 * d, attended, d, nullptr, 1},
                b, 8 * rows.pairs * static_cast<double>(d));
    build_linear(builder, model, block.attention_out, n, attended, MS_ACTIVATION_NONE, x, sum, d, b);
    builder.give(attended);
    build_norm(builder, model, block.norm1, n, sum, x, nullptr, nullptr, b);
    build_linear(builder, model, block.mlp_in, n, x, MS_ACTIVATION_NONE, nullptr, inner, a.inner, b);
    build_linear(builder, model, block.mlp_out, n, inner, a.activation, x, sum, d, b);
    build_norm(builder, model, block.norm2, n, sum, x, nullptr, nullptr, b);
  }
  for (const float* used : {sum, qkv, inner}) builder.give(used);
  return x;
}

class EncodeTask : public Task {
 public:
  EncodeTask(std::shared_ptr<Model> model, const PackedBatch& batch, const EncoderOutputs& outputs)
      : model_(std::move(model)), arena_(model_), batch_(batch), outputs_(outputs), ranges_(split_samples(batch, kPassTokens)) {}

  Status step(Deadline deadline) override {
    do {
      if (next_ == 0) MS_TRY(build());
      MS_TRY(schedule_.run(*model_->backend(), deadline, &next_));
      if (next_ < schedule_.entries().size()) return {};
      next_ = 0;
      ++range_;
    } while (range_ < ranges_.size() && !deadline.passed());
    return {};
  }

  Progress progress() const override {
    const double part = next_ == 0 ? 0 : static_cast<double>(next_) / static_cast<double>(schedule_.entries().size());
    return {static_cast<double>(range_) + part, static_cast<double>(ranges_.size()), range_ == ranges_.size()};
  }

 private:
  Status build() {
    const auto [first, last] = ranges_[range_];
    const Architecture& a = model_->architecture();
    rows_ = PackedRows();
    rows_.append(batch_, first, last, false);
    chosen_.clear();
    for (int64_t s = first; s < last; ++s) {
      const size_t sample = static_cast<size_t>(s - first);
      const int32_t begin = rows_.offsets[sample], end = rows_.offsets[sample + 1];
      chosen_.push_back(outputs_.pooling == Pooling::last ? end - 1 : begin);
      // Padding keeps the padding's own position and is not counted.
      int32_t position = static_cast<int32_t>(a.position_offset);
      for (int32_t t = begin; t < end; ++t) {
        const bool padding = a.padding >= 0 && rows_.ids[static_cast<size_t>(t)] == a.padding;
        rows_.positions[static_cast<size_t>(t)] = padding ? static_cast<int32_t>(a.padding) : position++;
      }
    }
    first_.assign(rows_.offsets.begin(), rows_.offsets.end() - 1);
    single_.resize(static_cast<size_t>(last - first) + 1);
    std::iota(single_.begin(), single_.end(), 0);
    return plan(*arena_, schedule_, [&](Builder& builder) { build_pass(builder, first); });
  }

  void build_pass(Builder& builder, int64_t first) {
    const Architecture& a = model_->architecture();
    const DeviceRows rows = upload_rows(builder, rows_);
    float* hidden = build_encoder(builder, *model_, rows);
    const int64_t samples = rows.samples, d = a.width;
    if (outputs_.hidden != nullptr)
      builder.download(outputs_.hidden + batch_.offsets[static_cast<size_t>(first)] * d, hidden, rows.rows * d);
    if (outputs_.pooled != nullptr) {
      float* pooled = builder.take<float>(samples * d);
      const float* pool_from = hidden;
      const int32_t* offsets = rows.offsets;
      if (outputs_.pooling != Pooling::mean) {
        float* tokens = builder.take<float>(samples * d);
        builder.add(ms_gather_rows_args{samples, d, builder.upload(chosen_), hidden, tokens});
        pool_from = tokens;
        offsets = builder.upload(single_);
      }
      builder.add(ms_mean_pool_args{samples, d, offsets, pool_from, outputs_.normalize ? 1 : 0, pooled});
      builder.download(outputs_.pooled + first * d, pooled, samples * d);
    }
    if (outputs_.logits == nullptr) return;
    const TensorMap& map = model_->map();
    float* tokens = builder.take<float>(samples * d);
    float* dense = builder.take<float>(samples * d);
    float* logits = builder.take<float>(samples * a.labels);
    builder.add(ms_gather_rows_args{samples, d, builder.upload(first_), hidden, tokens});
    build_linear(builder, *model_, map.pooler, samples, tokens, MS_ACTIVATION_NONE, nullptr, dense, d, -1);
    build_linear(builder, *model_, map.classifier, samples, dense, MS_ACTIVATION_TANH, nullptr, logits, a.labels, -1);
    builder.download(outputs_.logits + first * a.labels, logits, samples * a.labels);
  }

  std::shared_ptr<Model> model_;
  ArenaLease arena_;
  PackedBatch batch_;
  EncoderOutputs outputs_;
  std::vector<std::pair<int64_t, int64_t>> ranges_;
  size_t range_ = 0, next_ = 0;
  PackedRows rows_;
  std::vector<int32_t> first_, chosen_, single_;  // rows of first and pooled tokens; offsets of samples of one row
  Schedule schedule_;
};

}  // namespace

Status encode_task(const std::shared_ptr<Model>& model, const PackedBatch& batch, const EncoderOutputs& outputs,
                   std::unique_ptr<Task>* task) {
  const Architecture& a = model->architecture();
  if (a.head == ModelHead::language_model) {
    return failure(Code::invalid_argument, "Expected an encoder but received a %s language model.", a.family->name);
  }
  if (outputs.logits != nullptr && a.head != ModelHead::classifier)
    return failure(Code::invalid_argument, "The encoder was loaded without its classifier; load it as a sequence classifier.");
  MS_TRY(check_sequences(batch, a, "The batch"));
  *task = std::make_unique<EncodeTask>(model, batch, outputs);
  return {};
}

}  // namespace mendset
