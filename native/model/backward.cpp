#include "model/backward.h"

#include <algorithm>

namespace mendset {

GradientSink GradientSink::gradients(const Model& model, Wanted wanted) {
  GradientSink sink;
  sink.model_ = &model;
  sink.wanted_ = std::move(wanted);
  sink.groups_.resize(model.groups().size());
  sink.written_.resize(model.tensors().size());
  return sink;
}

GradientSink GradientSink::sample_norms(const Model& model, Wanted wanted, double* squares, SampleSpans spans) {
  GradientSink sink;
  sink.model_ = &model;
  sink.wanted_ = std::move(wanted);
  sink.squares_ = squares;
  sink.spans_ = spans;
  return sink;
}

bool GradientSink::wants(int32_t block) const {
  if (block < 0) return wanted_.outside;
  return wanted_.blocks.empty() || std::find(wanted_.blocks.begin(), wanted_.blocks.end(), block) != wanted_.blocks.end();
}

bool GradientSink::mark(int tensor) {
  const bool before = written_[static_cast<size_t>(tensor)];
  written_[static_cast<size_t>(tensor)] = true;
  return before;
}

void GradientSink::take(Builder& builder, size_t group) {
  const TensorGroup& range = trains_adapter_ ? adapter_->groups()[group] : model_->groups()[group];
  const std::vector<TensorInfo>& tensors = trains_adapter_ ? adapter_->tensors() : model_->tensors();
  const auto offset = [&](size_t t) {
    return trains_adapter_ ? adapter_->offset(static_cast<int>(t)) : model_->offset(static_cast<int>(t));
  };
  groups_[group] = builder.take<float>(range.end - range.begin);
  for (size_t t = range.first; t < range.last; ++t) {
    const int64_t end = t + 1 < range.last ? offset(t + 1) : range.end;
    const int64_t used = offset(t) + tensors[t].count;
    builder.zero(groups_[group] + (used - range.begin), end - used);
  }
}

void GradientSink::hold(Builder& builder) {
  for (size_t g = 0; g < groups_.size(); ++g) {
    if (wants(model_->block_of_group(g))) take(builder, g);
  }
}

float* GradientSink::gradient(Builder& builder, int tensor) {
  if (tensor < 0) return nullptr;
  const size_t group = model_->group_of(tensor);
  if (groups_[group] == nullptr) take(builder, group);
  return place(tensor);
}

void GradientSink::linear(Builder& builder, const LinearMap& map, int64_t rows, const float* x, int32_t activation,
                          const float* d_y, int64_t ld_y, int32_t block) {
  if (!wants(block)) return;
  if (forms_gradients() && trains_adapter_) {
    const LowRankMap* pair = adapter_->find(map.weight);
    if (pair == nullptr) return;
    const size_t group = model_->group_of(map.weight);
    if (groups_[group] == nullptr) take(builder, group);
    float* base = groups_[group] - adapter_->groups()[group].begin;
    build_low_rank_weights(builder, *adapter_, *pair, rows, x, activation, d_y, ld_y, base + adapter_->offset(pair->a),
                           base + adapter_->offset(pair->b), mark(map.weight) ? 1.0f : 0.0f, block);
  } else if (forms_gradients()) {
    const float beta = mark(map.weight) ? 1.0f : 0.0f;
    float *d_w = gradient(builder, map.weight), *d_bias = gradient(builder, map.bias);
    builder.add(
        ms_linear_backward_weight_args{rows, map.in, map.out, x, map.in, activation, d_y, ld_y, d_w, map.layout, d_bias, beta},
        block);
  } else {
    builder.add(ms_linear_sample_norm_args{rows, map.in, map.out, spans_.samples, spans_.offsets, spans_.max_length, x, map.in,
                                           activation, d_y, ld_y, squares(map.weight), squares(map.bias), stride()},
                block);
  }
}

void GradientSink::norm(Builder& builder, const NormMap& map, int64_t rows, const float* x, const float* mean, const float* rstd,
                        const float* d_y, const float* d_residual, float* d_x, int32_t block, const SampleSpans* spans) {
  const Architecture& a = model_->architecture();
  float *d_gain = nullptr, *d_bias = nullptr;
  if (wants(block) && !(forms_gradients() && trains_adapter_)) {
    if (forms_gradients()) {
      d_gain = gradient(builder, map.gain);
      d_bias = gradient(builder, map.bias);
      if (!mark(map.gain)) {  // gain and bias are neighbours
        builder.zero(d_gain, (d_bias != nullptr ? d_bias - d_gain : 0) + a.width, block);
      }
    } else {
      const SampleSpans& s = spans != nullptr ? *spans : spans_;
      builder.add(ms_norm_sample_norm_args{rows, a.width, s.samples, a.norm_kind, s.offsets, x, mean, rstd, d_y,
                                           squares(map.gain), squares(map.bias), stride(), 0, 0, 0},
                  block);
    }
  }
  if (d_x == nullptr && d_gain == nullptr) return;
  builder.add(ms_norm_backward_args{rows, a.width, a.norm_kind, x, model_->weight(map.gain), mean, rstd, d_y, d_residual, d_x,
                                    d_gain, d_bias, 0, 0, 0},
              block);
}

void GradientSink::head_norm(Builder& builder, const NormMap& map, int64_t rows, int64_t heads, int64_t ld, const float* x,
                             const float* rstd, const float* d_y, float* d_x, int32_t block) {
  const Architecture& a = model_->architecture();
  float* d_gain = nullptr;
  if (wants(block) && !(forms_gradients() && trains_adapter_)) {
    if (forms_gradients()) {
      d_gain = gradient(builder, map.gain);
      if (!mark(map.gain)) builder.zero(d_gain, a.head_dim, block);
    } else {
      builder.add(ms_norm_sample_norm_args{rows, a.head_dim, spans_.samples, MS_NORM_RMS, spans_.offsets, x, nullptr, rstd, d_y,
                                           squares(map.gain), nullptr, stride(), heads, ld, ld},
                  block);
    }
  }
  builder.add(ms_norm_backward_args{rows, a.head_dim, MS_NORM_RMS, x, model_->weight(map.gain), nullptr, rstd, d_y, nullptr, d_x,
                                    d_gain, nullptr, heads, ld, ld},
              block);
}

void GradientSink::embedding(Builder& builder, const DeviceRows& rows, const float* d_out) {
  const int token = model_->map().token_embedding, position = model_->map().position_embedding;
  for (const int tensor : {token, position}) {
    if (tensor >= 0 && !mark(tensor))
      builder.zero(gradient(builder, tensor), model_->tensors()[static_cast<size_t>(tensor)].count);
  }
  builder.add(ms_embed_backward_args{rows.rows, model_->architecture().width, rows.ids, rows.positions, d_out, gradient(token),
                                     gradient(position)});
}

void build_linear_input(Builder& builder, const Model& model, const LinearMap& map, int64_t rows, const float* d_y, int64_t ld_y,
                        const float* x, int32_t activation, float* d_x, float beta, int32_t block, const Adapter* adapter) {
  builder.add(ms_linear_backward_input_args{rows, map.in, map.out, d_y, ld_y, model.matrix(map.weight), map.layout, x, activation,
                                            d_x, map.in, beta, model.type(map.weight)},
              block);
  const LowRankMap* pair = adapter == nullptr ? nullptr : adapter->find(map.weight);
  if (pair != nullptr) build_low_rank_input(builder, *adapter, *pair, rows, d_y, ld_y, x, activation, d_x, block);
}

namespace {

class BlockBackward {
 public:
  BlockBackward(Builder& builder, const Model& model, const DeviceRows& rows, const BlockActivations& act, float* d_out,
                GradientSink& sink, int32_t block)
      : builder_(builder),
        model_(model),
        a_(model.architecture()),
        map_(model.map().blocks[static_cast<size_t>(block)]),
        rows_(rows),
        act_(act),
        d_out_(d_out),
        sink_(sink),
        block_(block) {}

  void build() {
    float* d_normed2 = mlp();
    if (!a_.parallel_residual) {
      // d_out becomes the gradient between attention and MLP.
      sink_.norm(builder_, map_.norm2, rows_.rows, act_.middle, act_.mean2, act_.rstd2, d_normed2, d_out_, d_out_, block_);
      builder_.give(act_.middle);
      builder_.give(d_normed2);
      d_normed2 = nullptr;
    }
    float* d_normed1 = attention();
    const bool needs_input = block_ > sink_.lowest_block() || sink_.wants(-1);
    float* d_x = needs_input ? d_out_ : nullptr;
    if (a_.parallel_residual) {
      // Both branches have read d_out by now.
      sink_.norm(builder_, map_.norm2, rows_.rows, act_.input, act_.mean2, act_.rstd2, d_normed2, d_x, d_x, block_);
      builder_.give(d_normed2);
    }
    sink_.norm(builder_, map_.norm1, rows_.rows, act_.input, act_.mean1, act_.rstd1, d_normed1, d_x, d_x, block_);
    builder_.give(d_normed1);
    for (const float* used : {act_.input, act_.mean1, act_.rstd1, act_.mean2, act_.rstd2}) builder_.give(used);
  }

 private:
  // [rows, width]: recomputed output of a norm, later overwritten by the gradient there.
  float* normed(const NormMap& norm, const float* x) {
    float* y = builder_.take<float>(rows_.rows * a_.width);
    if (sink_.wants(block_)) build_norm(builder_, model_, norm, rows_.rows, x, y, nullptr, nullptr, block_);
    return y;
  }

  float* mlp() {
    const int64_t n = rows_.rows;
    float* d_mlp = a_.gated_mlp ? gated_mlp_out() : mlp_out();
    float* d_normed = normed(map_.norm2, a_.parallel_residual ? act_.input : act_.middle);
    const int64_t ld = a_.inner_width();
    sink_.linear(builder_, map_.mlp_in, n, d_normed, MS_ACTIVATION_NONE, d_mlp, ld, block_);
    if (a_.gated_mlp) sink_.linear(builder_, map_.mlp_up, n, d_normed, MS_ACTIVATION_NONE, d_mlp + a_.inner, ld, block_);
    build_linear_input(builder_, model_, map_.mlp_in, n, d_mlp, ld, nullptr, MS_ACTIVATION_NONE, d_normed, 0, block_,
                       sink_.adapter());
    if (a_.gated_mlp) {
      build_linear_input(builder_, model_, map_.mlp_up, n, d_mlp + a_.inner, ld, nullptr, MS_ACTIVATION_NONE, d_normed, 1, block_,
                         sink_.adapter());
    }
    builder_.give(d_mlp);
    return d_normed;
  }

  // The gradient of the inner buffer.
  float* mlp_out() {
    const int64_t n = rows_.rows;
    float* d_mlp = builder_.take<float>(n * a_.inner);
    sink_.linear(builder_, map_.mlp_out, n, act_.mlp, a_.activation, d_out_, a_.width, block_);
    build_linear_input(builder_, model_, map_.mlp_out, n, d_out_, a_.width, act_.mlp, a_.activation, d_mlp, 0, block_,
                       sink_.adapter());
    builder_.give(act_.mlp);
    return d_mlp;
  }
  // In place of the buffer itself.
  float* gated_mlp_out() {
    const int64_t n = rows_.rows;
    float* gated = builder_.take<float>(n * a_.inner);
    if (sink_.wants(block_)) {
      builder_.add(ms_glu_forward_args{n, a_.inner, a_.activation, act_.mlp, gated}, block_);
      sink_.linear(builder_, map_.mlp_out, n, gated, MS_ACTIVATION_NONE, d_out_, a_.width, block_);
    }
    build_linear_input(builder_, model_, map_.mlp_out, n, d_out_, a_.width, nullptr, MS_ACTIVATION_NONE, gated, 0, block_,
                       sink_.adapter());
    builder_.add(ms_glu_backward_args{n, a_.inner, a_.activation, act_.mlp, gated, act_.mlp}, block_);
    builder_.give(gated);
    return act_.mlp;
  }

  float* attention() {
    const int64_t n = rows_.rows, d = a_.width, ld = a_.qkv_width();
    float* d_attended = builder_.take<float>(n * a_.q_width());
    sink_.linear(builder_, map_.attention_out, n, act_.attended, MS_ACTIVATION_NONE, d_out_, d, block_);
    build_linear_input(builder_, model_, map_.attention_out, n, d_out_, d, nullptr, MS_ACTIVATION_NONE, d_attended, 0, block_,
                       sink_.adapter());
    float* d_qkv = builder_.take<float>(n * ld);
    builder_.add(ms_attention_backward_args{n,
                                            rows_.samples,
                                            rows_.offsets,
                                            rows_.max_length,
                                            static_cast<int32_t>(a_.heads),
                                            static_cast<int32_t>(a_.kv_heads),
                                            static_cast<int32_t>(a_.head_dim),
                                            a_.windows[static_cast<size_t>(block_)],
                                            a_.scale_of_block(block_),
                                            act_.qkv + a_.q_column(),
                                            act_.qkv + a_.k_column(),
                                            act_.qkv + a_.v_column(),
                                            ld,
                                            act_.attended,
                                            d_attended,
                                            a_.q_width(),
                                            act_.lse,
                                            d_qkv + a_.q_column(),
                                            d_qkv + a_.k_column(),
                                            d_qkv + a_.v_column()},
                 block_, 10 * rows_.pairs * static_cast<double>(a_.q_width()));
    for (const float* used : {d_attended, act_.attended, act_.lse}) builder_.give(used);
    build_rotary(builder_, model_, rows_, d_qkv, true, block_);
    if (a_.qk_norm) {
      sink_.head_norm(builder_, map_.q_norm, n, a_.heads, ld, act_.qkv, act_.q_rstd, d_qkv + a_.q_column(), d_qkv, block_);
      sink_.head_norm(builder_, map_.k_norm, n, a_.kv_heads, ld, act_.qkv + a_.q_width(), act_.k_rstd, d_qkv + a_.k_column(),
                      d_qkv + a_.q_width(), block_);
    }
    for (const float* used : {act_.qkv, act_.q_rstd, act_.k_rstd}) builder_.give(used);
    float* d_normed = normed(map_.norm1, act_.input);
    int64_t column = 0;
    for (size_t i = 0; i < static_cast<size_t>(map_.qkv_count); ++i) {
      sink_.linear(builder_, map_.qkv[i], n, d_normed, MS_ACTIVATION_NONE, d_qkv + column, ld, block_);
      column += map_.qkv[i].out;
    }
    column = 0;
    for (size_t i = 0; i < static_cast<size_t>(map_.qkv_count); ++i) {
      build_linear_input(builder_, model_, map_.qkv[i], n, d_qkv + column, ld, nullptr, MS_ACTIVATION_NONE, d_normed,
                         i == 0 ? 0.0f : 1.0f, block_, sink_.adapter());
      column += map_.qkv[i].out;
    }
    builder_.give(d_qkv);
    return d_normed;
  }

  Builder& builder_;
  const Model& model_;
  const Architecture& a_;
  const BlockMap& map_;
  const DeviceRows& rows_;
  const BlockActivations& act_;
  float* d_out_;
  GradientSink& sink_;
  int32_t block_;
};

}  // namespace

void build_backward(Builder& builder, const Model& model, const DeviceRows& rows, const ForwardPass& pass, float* d_out,
                    GradientSink& sink) {
  for (int32_t b = static_cast<int32_t>(model.architecture().layers) - 1; b >= sink.lowest_block(); --b) {
    const BlockActivations& kept = pass.blocks[static_cast<size_t>(b)];
    const BlockActivations act = pass.checkpointed ? build_again(builder, model, rows, kept.input, b, sink.adapter()) : kept;
    BlockBackward(builder, model, rows, act, d_out, sink, b).build();
  }
}

}  // namespace mendset
