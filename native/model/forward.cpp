#include "model/forward.h"

namespace mendset {

void build_linear(Builder& builder, const Model& model, const LinearMap& map, int64_t rows, const float* x, int32_t activation,
                  const float* residual, float* y, int64_t ld_y, int32_t block) {
  builder.add(ms_linear_forward_args{rows, map.in, map.out, x, map.in, activation, model.weight(map.weight), map.layout,
                                     model.weight(map.bias), residual, y, ld_y},
              block);
}

namespace {

void build_attention(Builder& builder, const Model& model, const DeviceRows& rows, float* qkv, float* out, float* lse,
                     const KeyValueCache* cache, int32_t block) {
  const Architecture& a = model.architecture();
  const int32_t heads = static_cast<int32_t>(a.heads), head_dim = static_cast<int32_t>(a.head_dim()),
                window = a.windows[static_cast<size_t>(block)];
  const float *q = qkv, *k = qkv + a.width, *v = qkv + 2 * a.width;
  const int64_t cache_offset = cache == nullptr ? 0 : block * cache->slots * cache->capacity * a.width;
  if (cache != nullptr && cache->lengths != nullptr) {
    builder.add(ms_decode_attention_args{rows.rows, cache->capacity, heads, heads, head_dim, window, a.attention_scale, q, k, v,
                                         3 * a.width, cache->slot_of, cache->lengths, cache->keys + cache_offset,
                                         cache->values + cache_offset, out},
                block);
    return;
  }
  if (cache != nullptr) {
    builder.add(ms_cache_fill_args{rows.rows, rows.samples, cache->capacity, a.width, rows.offsets, cache->slot_of, k, v,
                                   3 * a.width, cache->keys + cache_offset, cache->values + cache_offset},
                block);
  }
  builder.add(ms_attention_forward_args{rows.rows, rows.samples, rows.offsets, rows.max_length, heads, heads, head_dim, window,
                                        a.attention_scale, q, k, v, 3 * a.width, out, a.width, lse, 0},
              block, 4 * rows.pairs * static_cast<double>(a.width));
}

}  // namespace

void build_norm(Builder& builder, const Model& model, const NormMap& norm, int64_t rows, const float* x, float* y, float* mean,
                float* rstd, int32_t block) {
  const Architecture& a = model.architecture();
  builder.add(ms_norm_forward_args{rows, a.width, a.norm_kind, a.epsilon, x, model.weight(norm.gain), model.weight(norm.bias), y,
                                   mean, rstd},
              block);
}

void build_rotary(Builder& builder, const Model& model, const DeviceRows& rows, float* qkv, bool inverse, int32_t block) {
  const Architecture& a = model.architecture();
  if (a.rotary_dims == 0) return;
  for (float* x : {qkv, qkv + a.width}) {
    builder.add(ms_rotary_args{rows.rows, rows.positions, static_cast<int32_t>(a.heads), static_cast<int32_t>(a.head_dim()),
                               a.rotary_dims, inverse ? 1 : 0, a.rotary_base, x, 3 * a.width},
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
                   const KeyValueCache* cache, int32_t block, BlockActivations* kept) {
  const Architecture& a = model.architecture();
  const BlockMap& map = model.map().blocks[static_cast<size_t>(block)];
  const int64_t n = rows.rows, d = a.width;
  const bool stored = keep == Keep::all || keep == Keep::all_again;
  BlockActivations act;
  act.input = x;
  if (stored) {
    for (float** statistic : {&act.mean1, &act.rstd1, &act.mean2, &act.rstd2}) *statistic = builder.take<float>(n);
    act.lse = builder.take<float>(n * a.heads);
  }
  build_norm(builder, model, map.norm1, n, x, normed, act.mean1, act.rstd1, block);
  act.qkv = builder.take<float>(n * 3 * d);
  int64_t column = 0;
  for (size_t i = 0; i < static_cast<size_t>(map.qkv_count); ++i) {
    build_linear(builder, model, map.qkv[i], n, normed, MS_ACTIVATION_NONE, nullptr, act.qkv + column, 3 * d, block);
    column += map.qkv[i].out;
  }
  build_rotary(builder, model, rows, act.qkv, false, block);
  act.attended = builder.take<float>(n * d);
  build_attention(builder, model, rows, act.qkv, act.attended, act.lse, cache, block);
  if (!stored) builder.give(act.qkv);

  const auto mlp_in = [&](const float* input) {
    build_norm(builder, model, map.norm2, n, input, normed, act.mean2, act.rstd2, block);
    act.mlp = builder.take<float>(n * a.inner);
    build_linear(builder, model, map.mlp_in, n, normed, MS_ACTIVATION_NONE, nullptr, act.mlp, a.inner, block);
  };
  // Parallel: both branches read the block's input, so the MLP reads it before the attention's sum may overwrite it.
  if (a.parallel_residual) mlp_in(x);
  float* middle = nullptr;
  if (keep != Keep::all_again || !a.parallel_residual) {
    middle = keep == Keep::nothing ? x : builder.take<float>(n * d);
    build_linear(builder, model, map.attention_out, n, act.attended, MS_ACTIVATION_NONE, x, middle, d, block);
  }
  if (!stored) builder.give(act.attended);
  if (!a.parallel_residual) mlp_in(middle);
  float* out = nullptr;
  if (keep != Keep::all_again) {
    out = keep == Keep::all && !a.parallel_residual ? builder.take<float>(n * d) : middle;
    build_linear(builder, model, map.mlp_out, n, act.mlp, a.activation, middle, out, d, block);
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
                          const KeyValueCache* cache) {
  const Architecture& a = model.architecture();
  ForwardPass pass;
  pass.checkpointed = checkpointed;
  pass.blocks.resize(static_cast<size_t>(a.layers));
  float* x = builder.take<float>(rows.rows * a.width);
  builder.add(ms_embed_forward_args{rows.rows, a.width, rows.ids, rows.positions, model.weight(model.map().token_embedding),
                                    model.weight(model.map().position_embedding), x, nullptr});
  float* normed = builder.take<float>(rows.rows * a.width);
  for (int32_t b = 0; b < a.layers; ++b) {
    const Keep keep = b < first_stored ? Keep::nothing : checkpointed ? Keep::input : Keep::all;
    x = build_block(builder, model, rows, x, normed, keep, cache, b, &pass.blocks[static_cast<size_t>(b)]);
  }
  builder.give(normed);
  pass.output = x;
  return pass;
}

BlockActivations build_again(Builder& builder, const Model& model, const DeviceRows& rows, float* input, int32_t block) {
  BlockActivations act;
  float* normed = builder.take<float>(rows.rows * model.architecture().width);
  build_block(builder, model, rows, input, normed, Keep::all_again, nullptr, block, &act);
  builder.give(normed);
  return act;
}

}  // namespace mendset
