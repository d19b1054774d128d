// Exact per-sample gradient norms (domain specification 3.3) without forming any weight gradient.
#include <algorithm>

#include "model/head.h"
#include "model/language_model.h"
#include "model/loss_pass.h"
#include "model/token_results.h"

namespace mendset {

namespace {

class GradientNormTask : public Task {
 public:
  GradientNormTask(std::shared_ptr<Model> model, const PackedBatch& batch, bool token_mean, int32_t block, double* squares,
                   const TokenOutputs& scores)
      : model_(std::move(model)),
        arena_(model_),
        batch_(batch),
        token_mean_(token_mean),
        wanted_(GradientSink::Wanted::of(block)),
        squares_(squares),
        scores_(scores),
        ranges_(split_samples(batch, pass_tokens(*model_))) {
    if (squares != nullptr) std::fill_n(squares, static_cast<size_t>(batch.samples()) * model_->tensors().size(), 0.0);
    scores_.clear(batch.tokens());
  }

  Status step(Deadline deadline) override {
    do {
      if (next_ == 0) MS_TRY(build());
      MS_TRY(schedule_.run(*model_->backend(), deadline, &next_));
      if (next_ < schedule_.entries().size()) return {};
      scores_.store(rows_);
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
    const double part = next_ == 0 ? 0 : static_cast<double>(next_) / static_cast<double>(schedule_.entries().size());
    return {static_cast<double>(range_) + part, static_cast<double>(ranges_.size()), range_ == ranges_.size()};
  }

 private:
  Status build() {
    prepare();
    return plan(*arena_, schedule_, [&](Builder& builder) { build_pass(builder, ranges_[range_].first); });
  }

  void prepare() {
    const auto [first, last] = ranges_[range_];
    rows_ = PackedRows();
    rows_.append(batch_, first, last, true);
    weights_.clear();
    column_offsets_.clear();
    columns_ = 0;
    for (size_t s = 0; s + 1 < rows_.offsets.size(); ++s) {
      const int32_t losses = rows_.loss_offsets[s + 1] - rows_.loss_offsets[s];
      weights_.insert(weights_.end(), static_cast<size_t>(losses), token_mean_ ? 1 / static_cast<float>(losses) : 1.0f);
      const int64_t length = rows_.offsets[s + 1] - rows_.offsets[s];
      column_offsets_.push_back(columns_);
      columns_ += length * length;
    }
  }

  // The pass keeps its own head because chunks must hold whole samples and the tied cross term needs columns of their gradients.
  void build_pass(Builder& builder, int64_t first) {
    if (rows_.losses() == 0) return;
    const Architecture& a = model_->architecture();
    const int64_t tensors = static_cast<int64_t>(model_->tensors().size());
    const DeviceRows rows = upload_rows(builder, rows_);
    double* squares = builder.take<double>(rows.samples * tensors);
    builder.zero(reinterpret_cast<float*>(squares), 2 * rows.samples * tensors);  // all bits zero is 0.0 in fp64 too
    GradientSink sink = GradientSink::sample_norms(*model_, wanted_, squares, {rows.samples, rows.max_length, rows.offsets});
    const bool head_wanted = sink.wants(-1), cross_term = head_wanted && a.tied_head;
    const ForwardPass forward = build_forward(builder, *model_, rows, sink.lowest_block(), false);
    const HeadRows head = build_head_rows(builder, *model_, rows_, forward.output, true);
    float* columns = nullptr;
    const int64_t* column_offsets = nullptr;
    if (cross_term) {
      columns = builder.take<float>(columns_);
      builder.zero(columns, columns_);
      column_offsets = builder.upload(column_offsets_);
    }
    float* d_hidden = build_head(builder, head, rows, sink, columns, column_offsets);
    float* packed_hidden = cross_term ? to_packed_rows(builder, head, rows, head.hidden) : nullptr;
    if (packed_hidden != head.hidden) builder.give(head.hidden);

    SampleSpans spans{rows.samples, rows.max_length, builder.upload(rows_.loss_offsets)};
    sink.norm(builder, model_->map().final_norm, head.rows, head.input, head.mean, head.rstd, d_hidden, nullptr, d_hidden, -1,
              &spans);
    builder.give(head.input);
    float* d_out = to_packed_rows(builder, head, rows, d_hidden);
    if (d_out != d_hidden) builder.give(d_hidden);
    build_backward(builder, *model_, rows, forward, d_out, sink);
    if (head_wanted) {
      builder.add(ms_embed_sample_norm_args{rows.rows, a.width, rows.samples, rows.offsets, rows.ids, rows.positions, d_out,
                                            packed_hidden, columns, column_offsets, sink.squares(model_->map().token_embedding),
                                            sink.squares(model_->map().position_embedding), tensors});
    }
    builder.download(squares_ + first * tensors, squares, rows.samples * tensors);
  }

  // Gradient at the normed hidden rows; adds the head's squares and gathers the columns of the tied cross term on the way.
  float* build_head(Builder& builder, const HeadRows& head, const DeviceRows& rows, GradientSink& sink, float* columns,
                    const int64_t* column_offsets) {
    const Architecture& a = model_->architecture();
    const LinearMap& map = model_->map().head;
    float* d_hidden = builder.take<float>(head.rows * a.width);
    const int32_t* targets = builder.upload(rows_.targets);
    const float* weights = builder.upload(weights_);
    const int32_t* row_of = columns != nullptr ? builder.upload(rows_.loss_rows) : nullptr;
    const int32_t* sample_of = columns != nullptr ? builder.upload(rows_.loss_samples) : nullptr;
    scores_.take(builder, head.rows);
    make_chunks();
    int64_t largest = 0;
    for (const Chunk& chunk : chunks_) largest = std::max(largest, chunk.rows);
    float* logits = builder.take<float>(largest * a.vocab);
    for (const Chunk& chunk : chunks_) {
      const float* hidden = head.hidden + chunk.first_row * a.width;
      build_logits(builder, *model_, chunk.rows, hidden, logits);
      ms_token_loss_args loss{};
      loss.rows = chunk.rows;
      loss.vocab = a.vocab;
      loss.logits = logits;
      loss.targets = targets + chunk.first_row;
      loss.ce_weight = weights + chunk.first_row;
      loss.write_gradient = 1;
      scores_.request(loss, chunk.first_row);
      builder.add(loss);
      if (sink.wants(-1)) {
        const int64_t samples = static_cast<int64_t>(chunk.offsets.size()) - 1;
        builder.add(ms_linear_sample_norm_args{chunk.rows, map.in, map.out, samples, builder.upload(chunk.offsets), chunk.longest,
                                               hidden, map.in, MS_ACTIVATION_NONE, logits, a.vocab,
                                               sink.squares(map.weight) + chunk.first_sample * sink.stride(), nullptr,
                                               sink.stride()});
      }
      if (columns != nullptr) {
        builder.add(ms_gather_columns_args{chunk.rows, a.vocab, logits, row_of + chunk.first_row, sample_of + chunk.first_row,
                                           rows.offsets, rows.ids, column_offsets, columns});
      }
      build_linear_input(builder, *model_, map, chunk.rows, logits, a.vocab, nullptr, MS_ACTIVATION_NONE,
                         d_hidden + chunk.first_row * a.width, 0, -1);
    }
    builder.give(logits);
    scores_.download(builder);
    return d_hidden;
  }

  // Loss rows at their places among all rows, zero elsewhere; the rows themselves when every row carries a loss.
  float* to_packed_rows(Builder& builder, const HeadRows& head, const DeviceRows& rows, float* values) {
    if (head.index == nullptr) return values;
    const int64_t width = model_->architecture().width;
    float* packed = builder.take<float>(rows.rows * width);
    builder.zero(packed, rows.rows * width);
    builder.add(ms_scatter_rows_args{head.rows, width, head.index, values, packed});
    return packed;
  }

  struct Chunk {
    int64_t first_sample, first_row, rows = 0, longest = 0;
    std::vector<int32_t> offsets{0};  // relative to first_row
  };

  void make_chunks() {
    const int64_t limit = head_chunk_rows(*model_, true);
    chunks_.clear();
    for (size_t s = 0; s + 1 < rows_.loss_offsets.size(); ++s) {
      const int64_t begin = rows_.loss_offsets[s], losses = rows_.loss_offsets[s + 1] - begin;
      if (chunks_.empty() || (chunks_.back().rows > 0 && chunks_.back().rows + losses > limit)) {
        chunks_.push_back({static_cast<int64_t>(s), begin});
      }
      Chunk& chunk = chunks_.back();
      chunk.rows += losses;
      chunk.longest = std::max(chunk.longest, losses);
      chunk.offsets.push_back(static_cast<int32_t>(chunk.rows));
    }
    if (!chunks_.empty() && chunks_.back().rows == 0) chunks_.pop_back();  // trailing samples without any scored token
  }

  std::shared_ptr<Model> model_;
  ArenaLease arena_;
  PackedBatch batch_;
  bool token_mean_;
  GradientSink::Wanted wanted_;
  double* squares_;
  TokenResults scores_;
  std::vector<std::pair<int64_t, int64_t>> ranges_;
  size_t range_ = 0, next_ = 0;
  PackedRows rows_;
  std::vector<float> weights_;
  std::vector<int64_t> column_offsets_;
  int64_t columns_ = 0;
  std::vector<Chunk> chunks_;
  Schedule schedule_;
};

}  // namespace

namespace {

Status check_norms(const Model& model, const PackedBatch& batch, int block) {
  MS_TRY(check_batch(batch, model.architecture(), "The batch"));
  if (block < -1 || block >= model.architecture().layers) {
    return failure(Code::invalid_argument, "The block must be -1 (all tensors) or lie in 0 .. %lld, got %d.",
                   static_cast<long long>(model.architecture().layers - 1), block);
  }
  return {};
}

}  // namespace

Status gradient_norm_task(const std::shared_ptr<Model>& model, const PackedBatch& batch, bool token_mean, int block,
                          double* squares, const TokenOutputs& scores, std::unique_ptr<Task>* task) {
  MS_TRY(check_norms(*model, batch, block));
  *task = std::make_unique<GradientNormTask>(model, batch, token_mean, block, squares, scores);
  return {};
}

Status forecast_gradient_norms(const std::shared_ptr<Model>& model, const PackedBatch& batch, int block, MemoryForecast* out) {
  MS_TRY(check_norms(*model, batch, block));
  *out = forecast_of(*model, GradientNormTask(model, batch, true, block, nullptr, {}).planned());
  return {};
}

}  // namespace mendset
