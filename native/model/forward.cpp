#include "model/forward.h"

namespace mendset {

void build_linear(Builder& builder, const Model& model, const LinearMap& map, int64_t rows, const float* x, int32_t activation,
                  const float* residual, float* y, int64_t ld_y, int32_t block, const Adapter* adapter) {
  builder.add(ms_linear_forward_args{rows, map.in, map.out, x, map.in, activation, model.matrix(map.weight), map.layout,
                                     model.weight(map.bias), residual, y, ld_y, model.type(map.weight)},
              block);
  const LowRankMap* pair = adapter == nullptr ? nullptr : adapter->find(map.weight);
  if (pair != nullptr) build_low_rank_forward(builder, *adapter, *pair, rows, x, activation, y, ld_y, block);
}

namespace {

void build_attention(Builder& builder, const Model& model, const DeviceRows& rows, float* qkv, float* out, float* lse,
                     const KeyValueCache* cache, int32_t block) {
  const Architecture& a = model.architecture();
  const int32_t heads = static_cast<int32_t>(a.heads), kv_heads = static_cast<int32_t>(a.kv_heads),
                head_dim = static_cast<int32_t>(a.head_dim), window = a.windows[static_cast<size_t>(block)];
  const float scale = a.scale_of_block(block);
  const float *q = qkv + a.q_column(), *k = qkv + a.k_column(), *v = qkv + a.v_column();
  const int64_t ld = a.qkv_width();
  const int64_t cache_offset = cache == nullptr ? 0 : block * cache->slots * cache->capacity * a.kv_width();
  if (cache != nullptr && cache->lengths != nullptr) {
    builder.add(
        ms_decode_attention_args{rows.rows, cache->capacity, heads, kv_heads, head_dim, window, scale, q, k, v, ld,
                                 cache->slot_of, cache->lengths, cache->keys + cache_offset, cache->values + cache_offset, out},
        block);
    return;
  }
  if (cache != nullptr) {
    builder.add(ms_cache_fill_args{rows.rows, rows.samples, cache->capacity, a.kv_width(), rows.offsets, cache->slot_of, k, v, ld,
                                   cache->keys + cache_offset, cache->values + cache_offset},
                block);
  }
  builder.add(ms_attention_forward_args{rows.rows, rows.samples, rows.offsets, rows.max_length, heads, kv_heads, head_dim, window,
                                        scale, q, k, v, ld, out, a.q_width(), lse, 0},
              block, 4 * rows.pairs * static_cast<double>(a.q_width()));
}

// Queries and keys, normed head by head into their own columns.
void build_head_norms(Builder& builder, const Model& model, int64_t rows, float* qkv, float* q_rstd, float* k_rstd,
                      int32_t block) {
  const Architecture& a = model.architecture();
  if (!a.qk_norm) return;
  const BlockMap& map = model.map().blocks[static_cast<size_t>(block)];
  const int64_t ld = a.qkv_width();
  builder.add(ms_norm_forward_args{rows, a.head_dim, MS_NORM_RMS, a.epsilon, qkv, model.weight(map.q_norm.gain), nullptr,
                                   qkv + a.q_column(), nullptr, q_rstd, a.heads, ld, ld},
              block);
  builder.add(ms_norm_forward_args{rows, a.head_dim, MS_NORM_RMS, a.epsilon, qkv + a.q_width(), model.weight(map.k_norm.gain),
                                   nullptr, qkv + a.k_column(), nullptr, k_rstd, a.kv_heads, ld, ld},
              block);
}

}  // namespace

void build_norm(Builder& builder, const Model& model, const NormMap& norm, int64_t rows, const float* x, float* y, float* mean,
                float* rstd, int32_t block) {
  const Architecture& a = model.architecture();
  builder.add(ms_norm_forward_args{rows, a.width, a.norm_kind, a.epsilon, x, model.weight(norm.gain), model.weight(norm.bias), y,
                                   mean, rstd, 0, 0, 0},
              block);
}

void build_rotary(Builder& builder, const Model& model, const DeviceRows& rows, float* qkv, bool inverse, int32_t block) {
  const Architecture& a = model.architecture();
  if (a.rotary_dims == 0) return;
  for (const bool keys : {false, true}) {
    builder.add(ms_rotary_args{rows.rows, rows.positions, static_cast<int32_t>(keys ? a.kv_heads : a.heads),
                               static_cast<int32_t>(a.head_dim), a.rotary_dims, inverse ? 1 : 0, model.rotary_frequencies(),
                               a.rotary_magnitude, qkv + (keys ? a.k_column() : a.q_column()), a.qkv_width()},
                block);
  }
}

namespace {

// What a block leaves behind.
enum class Keep {
  nothing,  // not even its input: the sum runs through one buffer
  input,
  all,
  all_again,  // for a backward pass that is there already: the block's output is not wanted
};

// One block on x [rows, width]; returns its output, null for all_again. `normed` [rows, width] is scratch.
float* build_block(Builder& builder, const Model& model, const DeviceRows& rows, float* x, float* normed, Keep keep,
                   const KeyValueCache* cache, const Adapter* adapter, int32_t block, BlockActivations* kept) {
  const Architecture& a = model.architecture();
  const BlockMap& map = model.map().blocks[static_cast<size_t>(block)];
  const int64_t n = rows.rows, d = a.width;
  const bool stored = keep == Keep::all || keep == Keep::all_again;
  BlockActivations act;
  act.input = x;
  if (stored) {
    for (float** statistic : {&act.mean1, &act.rstd1, &act.mean2, &act.rstd2}) *statistic = builder.take<float>(n);
    act.lse = builder.take<float>(n * a.heads);
    if (a.qk_norm) {
      act.q_rstd = builder.take<float>(n * a.heads);
      act.k_rstd = builder.take<float>(n * a.kv_heads);
    }
  }
  build_norm(builder, model, map.norm1, n, x, normed, act.mean1, act.rstd1, block);
  act.qkv = builder.take<float>(n * a.qkv_width());
  int64_t column = 0;
  for (size_t i = 0; i < static_cast<size_t>(map.qkv_count); ++i) {
    build_linear(builder, model, map.qkv[i], n, normed, MS_ACTIVATION_NONE, nullptr, act.qkv + column, a.qkv_width(), block,
                 adapter);
    column += map.qkv[i].out;
  }
  build_head_norms(builder, model, n, act.qkv, act.q_rstd, act.k_rstd, block);
  build_rotary(builder, model, rows, act.qkv, false, block);
  act.attended = builder.take<float>(n * a.q_width());
  build_attention(builder, model, rows, act.qkv, act.attended, act.lse, cache, block);
  if (!stored) builder.give(act.qkv);

  const auto mlp_in = [&](const float* input) {
    build_norm(builder, model, map.norm2, n, input, normed, act.mean2, act.rstd2, block);
    act.mlp = builder.take<float>(n * a.inner_width());
    build_linear(builder, model, map.mlp_in, n, normed, MS_ACTIVATION_NONE, nullptr, act.mlp, a.inner_width(), block, adapter);
    if (a.gated_mlp) {
      build_linear(builder, model, map.mlp_up, n, normed, MS_ACTIVATION_NONE, nullptr, act.mlp + a.inner, a.inner_width(), block,
                   adapter);
    }
  };
  // Parallel: both branches read the block's input, so the MLP reads it before the attention's sum may overwrite it.
  if (a.parallel_residual) mlp_in(x);
  float* middle = nullptr;
  if (keep != Keep::all_again || !a.parallel_residual) {
    middle = keep == Keep::nothing ? x : builder.take<float>(n * d);
    build_linear(builder, model, map.attention_out, n, act.attended, MS_ACTIVATION_NONE, x, middle, d, block, adapter);
  }
  if (!stored) builder.give(act.attended);
  if (!a.parallel_residual) mlp_in(middle);
  float* out = nullptr;
  if (keep != Keep::all_again) {
    out = keep == Keep::all && !a.parallel_residual ? builder.take<float>(n * d) : middle;
    if (a.gated_mlp) {
      float* gated = builder.take<float>(n * a.inner);
      builder.add(ms_glu_forward_args{n, a.inner, a.activation, act.mlp, gated}, block);
      build_linear(builder, model, map.mlp_out, n, gated, MS_ACTIVATION_NONE, middle, out, d, block, adapter);
      builder.give(gated);
    } else {
      build_linear(builder, model, map.mlp_out, n, act.mlp, a.activation, middle, out, d, block, adapter);
    }
  }
  if (!stored) builder.give(act.mlp);
  if (stored && !a.parallel_residual) act.middle = middle;
  if (keep == Keep::input) {
    *kept = {};
    kept->input = x;
  } else if (stored) {
    *kept = act;
  }
  return out;
}

}  // namespace

ForwardPass build_forward(Builder& builder, const Model& model, const DeviceRows& rows, int64_t first_stored, bool checkpointed,
                          const KeyValueCache* cache, const Adapter* adapter) {
  const Architecture& a = model.architecture();
  ForwardPass pass;
  pass.checkpointed = checkpointed;
  pass.blocks.resize(static_cast<size_t>(a.layers));
  float* x = builder.take<float>(rows.rows * a.width);
  builder.add(ms_embed_forward_args{rows.rows, a.width, rows.ids, rows.positions, model.matrix(model.map().token_embedding),
                                    model.weight(model.map().position_embedding), x, nullptr,
                                    model.type(model.map().token_embedding)});
  float* normed = builder.take<float>(rows.rows * a.width);
  for (int32_t b = 0; b < a.layers; ++b) {
    const Keep keep = b < first_stored ? Keep::nothing : checkpointed ? Keep::input : Keep::all;
    x = build_block(builder, model, rows, x, normed, keep, cache, adapter, b, &pass.blocks[static_cast<size_t>(b)]);
  }
  builder.give(normed);
  pass.output = x;
  return pass;
}

BlockActivations build_again(Builder& builder, const Model& model, const DeviceRows& rows, float* input, int32_t block,
                             const Adapter* adapter) {
  BlockActivations act;
  float* normed = builder.take<float>(rows.rows * model.architecture().width);
  build_block(builder, model, rows, input, normed, Keep::all_again, nullptr, adapter, block, &act);
  builder.give(normed);
  return act;
}

}  // namespace mendset
