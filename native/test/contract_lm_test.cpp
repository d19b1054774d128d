// The contract of the language-model operations other than the linear maps: odd sizes, packed samples of uneven length.
#include <numeric>
#include <utility>

#include "test/contract.h"

using namespace mendset;
using namespace mendset::test;

namespace {

std::string sized(const char* name, std::initializer_list<int64_t> sizes) {
  std::string text = name;
  for (const int64_t size : sizes) text.append(1, ' ').append(std::to_string(size));
  return text;
}

std::vector<int32_t> offsets_of(const std::vector<int32_t>& lengths) {
  std::vector<int32_t> offsets{0};
  for (const int32_t length : lengths) offsets.push_back(offsets.back() + length);
  return offsets;
}
std::vector<int32_t> positions_of(const std::vector<int32_t>& lengths) {
  std::vector<int32_t> positions;
  for (const int32_t length : lengths) {
    for (int32_t t = 0; t < length; ++t) positions.push_back(t);
  }
  return positions;
}
const std::vector<int32_t> kLengths{1, 33, 0, 7, 150, 64, 2};

void embedding() {
  for (const auto& [rows, width] : {std::pair<int64_t, int64_t>{0, 5}, {1, 1}, {31, 33}, {257, 192}, {40, 4097}}) {
    constexpr int kVocab = 61, kContext = 50;
    const auto ids = integer_values(rows, kVocab, 1), positions = integer_values(rows, kContext, 2);
    const auto token = normal_values(kVocab * width, 3), position = normal_values(kContext * width, 4),
               d_out = normal_values(rows * width, 5);
    for (const bool with_positions : {true, false}) {
      contract(sized("embed_forward", {rows, width}), {}, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
        Guarded<float> out(rows * width);
        const ms_embed_forward_args args{
            rows,      width, ids.data(), positions.data(), token.data(), with_positions ? position.data() : nullptr,
            out.data(), nullptr};
        outputs.result(table.embed_forward(context, &args));
        outputs.add("out", out);
        ms_embed_forward_args biased = args;
        biased.bias = position.data();
        outputs.result(table.embed_forward(context, &biased));
        outputs.add("out with bias", out);
      });
      contract(sized("embed_backward", {rows, width}), {}, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
        Guarded<float> d_token(token), d_position(position);
        const ms_embed_backward_args args{rows,
                                          width,
                                          ids.data(),
                                          positions.data(),
                                          d_out.data(),
                                          d_token.data(),
                                          with_positions ? d_position.data() : nullptr};
        outputs.result(table.embed_backward(context, &args));
        outputs.add("d_token", d_token);
        outputs.add("d_position", d_position);
      });
    }
  }
}

void norm() {
  for (const auto& [rows, width] : {std::pair<int64_t, int64_t>{0, 5}, {1, 1}, {31, 33}, {129, 192}, {4097, 31}, {70, 1600}}) {
    auto x = normal_values(rows * width, 1, 3.0f);
    for (float& value : x) value += 0.5f;
    const auto gain = normal_values(width, 2), bias = normal_values(width, 3), d_y = normal_values(rows * width, 4),
               residual = normal_values(rows * width, 5);
    for (const int32_t kind : {MS_NORM_LAYER, MS_NORM_RMS}) {
      const char* suffix = kind == MS_NORM_LAYER ? " layer" : " rms";
      contract(sized("norm_forward", {rows, width}) + suffix, {2e-6, 2e-6},
               [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
                 Guarded<float> y(rows * width), mean(rows), rstd(rows), bare(rows * width);
                 ms_norm_forward_args args{rows,        width,       kind,     1e-5f,       x.data(),
                                           gain.data(), bias.data(), y.data(), mean.data(), rstd.data(), 0,        0,           0};
                 outputs.result(table.norm_forward(context, &args));
                 args.bias = nullptr, args.mean = nullptr, args.rstd = nullptr, args.y = bare.data();
                 outputs.result(table.norm_forward(context, &args));
                 outputs.add("y", y);
                 if (kind == MS_NORM_LAYER) outputs.add("mean", mean);
                 outputs.add("rstd", rstd);
                 outputs.add("y without bias", bare);
               });
      std::vector<float> mean(static_cast<size_t>(rows)), rstd(static_cast<size_t>(rows)), y(static_cast<size_t>(rows * width));
      const ms_norm_forward_args forward{rows,        width,       kind,     1e-5f,       x.data(),
                                         gain.data(), bias.data(), y.data(), mean.data(), rstd.data(), 0,        0,           0};
      mendset_plain_backend()->norm_forward(nullptr, &forward);
      for (const int variant :
           {0, 1, 2, 3}) {  // separate output; in place of the residual; of d_y, no parameters; parameters only
        contract(sized("norm_backward", {rows, width, variant}) + suffix, {5e-5, 1e-5},
                 [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
                   Guarded<float> d_x(variant == 1 ? residual : d_y), d_gain(gain), d_bias(bias);
                   ms_norm_backward_args args{rows,          width,        kind,       x.data(),        gain.data(),
                                              mean.data(),   rstd.data(),  d_y.data(), residual.data(), d_x.data(),
                                              d_gain.data(), d_bias.data(), 0,         0,               0};
                   if (variant == 1) args.d_residual = d_x.data();
                   if (variant == 2) args.d_y = d_x.data(), args.d_residual = nullptr, args.d_gain = args.d_bias = nullptr;
                   if (variant == 3) args.d_x = nullptr;
                   outputs.result(table.norm_backward(context, &args));
                   outputs.add("d_x", d_x);
                   outputs.add("d_gain", d_gain);
                   outputs.add("d_bias", d_bias);
                 });
      }
    }
  }
}

void sample_norms() {
  const auto offsets = offsets_of(kLengths), positions = positions_of(kLengths);
  const int64_t rows = offsets.back(), samples = static_cast<int64_t>(kLengths.size());
  constexpr int64_t kStride = 3;
  for (const int64_t width : {1, 31, 192}) {
    const auto x = normal_values(rows * width, 1), d_y = normal_values(rows * width, 2), mean = normal_values(rows, 3, 0.1f);
    const std::vector<float> rstd(static_cast<size_t>(rows), 1.1f);
    for (const int32_t kind : {MS_NORM_LAYER, MS_NORM_RMS}) {
      contract(sized("norm_sample_norm", {width, kind}), {1e-4, 1e-5},
               [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
                 Guarded<double> gain(samples * kStride, 1.0), bias(samples * kStride, 2.0);
                 const ms_norm_sample_norm_args args{rows,        width,       samples,    kind,        offsets.data(), x.data(),
                                                     mean.data(), rstd.data(), d_y.data(), gain.data(), bias.data(),    kStride,
                                                     0,           0,           0};
                 outputs.result(table.norm_sample_norm(context, &args));
                 outputs.add("gain", gain);
                 outputs.add("bias", bias);
               });
    }
    constexpr int64_t kVocab = 40;  // small: tokens repeat inside a sample
    const auto ids = integer_values(rows, kVocab, 4);
    const auto hidden = normal_values(rows * width, 5), p = normal_values(rows * kVocab, 6, 0.1f);
    std::vector<int64_t> column_offsets;
    int64_t elements = 0;
    std::vector<int32_t> sample_of, row_of;
    for (int64_t s = 0; s < samples; ++s) {
      const int64_t length = kLengths[static_cast<size_t>(s)];
      column_offsets.push_back(elements);
      elements += length * length;
      for (int64_t t = 0; t < length; ++t)
        sample_of.push_back(static_cast<int32_t>(s)), row_of.push_back(offsets[static_cast<size_t>(s)] + static_cast<int32_t>(t));
    }
    const auto gather = [&](const ms_backend& table, ms_context* context, float* columns) {
      const ms_gather_columns_args args{
          rows, kVocab, p.data(), row_of.data(), sample_of.data(), offsets.data(), ids.data(), column_offsets.data(), columns};
      return table.gather_columns(context, &args);
    };
    contract("gather_columns", {}, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
      Guarded<float> columns(elements);
      outputs.result(gather(table, context, columns.data()));
      outputs.add("columns", columns);
    });
    std::vector<float> columns(static_cast<size_t>(elements));
    gather(*mendset_plain_backend(), nullptr, columns.data());
    for (const bool tied : {false, true}) {
      contract(sized("embed_sample_norm", {width, tied}), {2e-3, 1e-5},
               [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
                 Guarded<double> token(samples * kStride, 1.0), position(samples * kStride, 2.0);
                 const ms_embed_sample_norm_args args{rows,
                                                      width,
                                                      samples,
                                                      offsets.data(),
                                                      ids.data(),
                                                      positions.data(),
                                                      d_y.data(),
                                                      tied ? hidden.data() : nullptr,
                                                      tied ? columns.data() : nullptr,
                                                      column_offsets.data(),
                                                      token.data(),
                                                      position.data(),
                                                      kStride};
                 outputs.result(table.embed_sample_norm(context, &args));
                 outputs.add("token", token);
                 outputs.add("position", position);
               });
    }
  }
}

struct Heads {
  int32_t heads, kv_heads, head_dim, window;
  bool fused;  // q, k, v side by side in one matrix, or with room between rows
};

void attention() {
  std::vector<std::vector<int32_t>> packs{kLengths, {1}, {5, 4, 3}, {300}};
  for (const auto& lengths : packs) {
    for (const Heads& h : {Heads{6, 6, 32, 0, true},
                           {4, 2, 20, 0, true},
                           {3, 1, 5, 3, false},
                           {2, 2, 64, 40, true},
                           {1, 1, 1, 1, true},
                           {2, 2, 16, 200, false}}) {
      const auto offsets = offsets_of(lengths);
      const int64_t rows = offsets.back(), samples = static_cast<int64_t>(lengths.size());
      const int64_t longest = *std::max_element(lengths.begin(), lengths.end());
      const int64_t q_width = h.heads * h.head_dim, kv_width = h.kv_heads * h.head_dim,
                    ld = q_width + 2 * kv_width + (h.fused ? 0 : 3);
      const int64_t ld_out = q_width + (h.fused ? 0 : 5);
      const auto qkv = normal_values(rows * ld, 1, 1.5f), d_out = normal_values(rows * ld_out, 2);
      const float scale = 1.0f / std::sqrt(static_cast<float>(h.head_dim));
      const float *q = qkv.data(), *k = q + q_width, *v = k + kv_width;
      const std::string label = sized("attention", {rows, h.heads, h.kv_heads, h.head_dim, h.window});
      const auto forward = [&](const ms_backend& table, ms_context* context, float* out, float* lse) {
        const ms_attention_forward_args args{rows,       samples,  offsets.data(), longest, h.heads, h.kv_heads,
                                             h.head_dim, h.window, scale,          q,       k,       v,
                                             ld,         out,      ld_out,         lse,     0};
        return table.attention_forward(context, &args);
      };
      contract(label + " forward", {6e-6, 1e-6}, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
        Guarded<float> out(std::vector<float>(static_cast<size_t>(rows * ld_out), 9.0f)), lse(rows * h.heads), bare(out);
        outputs.result(forward(table, context, out.data(), lse.data()));
        outputs.result(forward(table, context, bare.data(), nullptr));
        outputs.add("out", out);
        outputs.add("lse", lse);
        outputs.add("out without lse", bare);
      });
      contract(label + " bidirectional", {6e-6, 1e-6}, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
        Guarded<float> out(std::vector<float>(static_cast<size_t>(rows * ld_out), 9.0f)), lse(rows * h.heads);
        const ms_attention_forward_args args{rows, samples, offsets.data(), longest, h.heads,    h.kv_heads, h.head_dim, 0,
                                             scale, q,      k,              v,       ld,         out.data(), ld_out,     lse.data(),
                                             1};
        outputs.result(table.attention_forward(context, &args));
        outputs.add("out", out);
        outputs.add("lse", lse);
      });
      std::vector<float> out(static_cast<size_t>(rows * ld_out)), lse(static_cast<size_t>(rows * h.heads));
      forward(*mendset_plain_backend(), nullptr, out.data(), lse.data());
      contract(label + " backward", {3e-5, 1e-5}, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
        Guarded<float> d_qkv(std::vector<float>(static_cast<size_t>(rows * ld), 9.0f));
        float *d_q = d_qkv.data(), *d_k = d_q + q_width, *d_v = d_k + kv_width;
        const ms_attention_backward_args args{
            rows, samples, offsets.data(), longest,      h.heads, h.kv_heads, h.head_dim, h.window, scale, q, k,
            v,    ld,      out.data(),     d_out.data(), ld_out,  lse.data(), d_q,        d_k,      d_v};
        outputs.result(table.attention_backward(context, &args));
        outputs.add("d_qkv", d_qkv);
      });
    }
  }
}

// The gradient of sum(out o weights) by central differences; the fp32 forward pass limits the step and the bound.
void attention_differences() {
  constexpr int64_t kRows = 9, kHeads = 4, kKvHeads = 2, kHeadDim = 6, kLd = (kHeads + 2 * kKvHeads) * kHeadDim,
                    kOut = kHeads * kHeadDim;
  const std::vector<int32_t> offsets{0, 6, 9};
  auto qkv = normal_values(kRows * kLd, 1);
  const auto weights = normal_values(kRows * kOut, 2);
  std::vector<float> out(kRows * kOut), lse(kRows * kHeads), gradient(kRows * kLd);
  const ms_backend& plain = *mendset_plain_backend();
  const auto loss = [&] {
    const float *q = qkv.data(), *k = q + kOut, *v = k + kKvHeads * kHeadDim;
    const ms_attention_forward_args args{kRows, 2,   offsets.data(), 6,    kHeads,    kKvHeads, kHeadDim, 4, 0.4f, q, k,
                                         v,     kLd, out.data(),     kOut, lse.data(), 0};
    plain.attention_forward(nullptr, &args);
    double sum = 0;
    for (size_t i = 0; i < out.size(); ++i) sum += static_cast<double>(out[i]) * weights[i];
    return sum;
  };
  loss();
  const float *q = qkv.data(), *k = q + kOut, *v = k + kKvHeads * kHeadDim;
  float *d_q = gradient.data(), *d_k = d_q + kOut, *d_v = d_k + kKvHeads * kHeadDim;
  const ms_attention_backward_args args{
      kRows, 2,          offsets.data(), 6,    kHeads,     kKvHeads, kHeadDim, 4,  0.4f, q, k, v,
      kLd,   out.data(), weights.data(), kOut, lse.data(), d_q,      d_k,      d_v};
  plain.attention_backward(nullptr, &args);
  for (size_t i = 0; i < qkv.size(); ++i) {
    const float before = qkv[i];
    qkv[i] = before + 0.01f;
    const double above = loss();
    qkv[i] = before - 0.01f;
    const double difference = (above - loss()) / 0.02;
    qkv[i] = before;
    CHECK(near(difference, gradient[i], 2e-4, 2e-4));
  }
}

void rotary() {
  for (const auto& [rows, dims] : {std::pair<int64_t, int32_t>{0, 4}, {1, 2}, {65, 8}, {129, 20}}) {
    const int32_t heads = 3, head_dim = 20;
    const int64_t ld = heads * head_dim + 7;
    const auto x = normal_values(rows * ld, 1);
    const auto positions = integer_values(rows, 2048, 2);
    std::vector<double> frequencies;
    for (int32_t c = 0; c < dims / 2; ++c) frequencies.push_back(std::pow(1e4, -2.0 * c / dims));
    for (const int32_t inverse : {0, 1}) {
      contract(sized("rotary", {rows, dims, inverse}), {1e-6, 1e-6},
               [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
                 Guarded<float> out(x);
                 const ms_rotary_args args{rows, positions.data(), heads, head_dim, dims, inverse, frequencies.data(), 1.25f, out.data(), ld};
                 outputs.result(table.rotary(context, &args));
                 outputs.add("x", out);
               });
    }
  }
}

void token_loss() {
  for (const auto& [rows, vocab] : {std::pair<int64_t, int64_t>{0, 3}, {3, 1}, {5, 2}, {31, 33}, {40, 4097}, {2, 50257}}) {
    for (const float spread : {0.02f, 3.0f, 40.0f}) {
      const auto logits = normal_values(rows * vocab, 1, spread);
      auto reference = normal_values(rows * vocab, 2, spread);
      for (size_t i = 0; i < reference.size(); ++i) reference[i] = logits[i] + 0.1f * reference[i];
      auto targets = integer_values(rows, static_cast<uint32_t>(vocab), 3);
      for (size_t t = 0; t < targets.size(); t += 4)
        targets[t] = t % 8 == 0 ? -1 : static_cast<int32_t>(t % 3 == 0 ? 0 : vocab - 1);
      std::vector<float> ce(static_cast<size_t>(rows), 0.25f), kl(static_cast<size_t>(rows), 0.5f);
      // statistics only; CE; CE + forward KL; CE + reverse KL; forward KL statistics; CE and no statistics but log p
      for (const int variant : {0, 1, 2, 3, 4, 5}) {
        contract(sized("token_loss", {rows, vocab, variant}) + " spread " + std::to_string(spread), {3e-6, 3e-6},
                 [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
                   Guarded<float> z(logits);
                   Guarded<double> log_prob(rows), el2n(rows), margin(rows), divergence(rows);
                   Guarded<int32_t> argmax(rows);
                   const bool with_kl = variant >= 2 && variant <= 4, gradient = variant >= 1 && variant != 4, few = variant == 5;
                   const ms_token_loss_args args{rows,
                                                 vocab,
                                                 z.data(),
                                                 targets.data(),
                                                 variant >= 1 ? ce.data() : nullptr,
                                                 with_kl ? reference.data() : nullptr,
                                                 with_kl ? kl.data() : nullptr,
                                                 variant == 3 ? MS_KL_REVERSE : MS_KL_FORWARD,
                                                 gradient,
                                                 log_prob.data(),
                                                 few ? nullptr : el2n.data(),
                                                 few ? nullptr : margin.data(),
                                                 few ? nullptr : divergence.data(),
                                                 few ? nullptr : argmax.data()};
                   outputs.result(table.token_loss(context, &args));
                   outputs.add("logits", z);
                   outputs.add("log_prob", log_prob);
                   if (few) return;
                   outputs.add("el2n", el2n);
                   outputs.add("margin", margin);
                   outputs.add("kl", divergence);
                   outputs.add("argmax", argmax);
                 });
      }
    }
  }
  // a logit that is not a number must not pass for a loss
  for (const float broken : {std::nanf(""), INFINITY}) {
    contract("token_loss of a broken row", {}, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
      Guarded<float> z(normal_values(35, 1));
      z.data()[17] = broken;
      const std::vector<int32_t> targets{4};
      Guarded<double> log_prob(1);
      const ms_token_loss_args args{.rows = 1,
                                    .vocab = 35,
                                    .logits = z.data(),
                                    .targets = targets.data(),
                                    .ce_weight = nullptr,
                                    .reference = nullptr,
                                    .kl_weight = nullptr,
                                    .kl_direction = 0,
                                    .write_gradient = 0,
                                    .log_prob = log_prob.data(),
                                    .el2n = nullptr,
                                    .margin = nullptr,
                                    .kl = nullptr,
                                    .argmax = nullptr};
      outputs.result(table.token_loss(context, &args));
      CHECK(!std::isfinite(log_prob.data()[0]));
    });
  }
}

void rows() {
  for (const auto& [count, width] : {std::pair<int64_t, int64_t>{0, 3}, {1, 1}, {33, 31}, {1000, 192}}) {
    const auto x = normal_values(1000 * width, 1);
    std::vector<int32_t> index(static_cast<size_t>(count));
    for (size_t i = 0; i < index.size(); ++i) index[i] = static_cast<int32_t>((i * 7 + 3) % 1000);
    contract(sized("gather_rows", {count, width}), {}, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
      Guarded<float> out(count * width);
      const ms_gather_rows_args args{count, width, index.data(), x.data(), out.data()};
      outputs.result(table.gather_rows(context, &args));
      outputs.add("out", out);
    });
    contract(sized("scatter_rows", {count, width}), {}, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
      Guarded<float> out(1000 * width, 7.0f);
      const ms_scatter_rows_args args{count, width, index.data(), x.data(), out.data()};
      outputs.result(table.scatter_rows(context, &args));
      outputs.add("out", out);
    });
  }
  const auto offsets = offsets_of(kLengths);
  const int64_t samples = static_cast<int64_t>(kLengths.size());
  for (const int64_t width : {1, 33, 1600}) {
    const auto x = normal_values(offsets.back() * width, 1);
    for (const int32_t normalize : {0, 1}) {
      contract(sized("mean_pool", {width, normalize}), {1e-7, 1e-6},
               [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
                 Guarded<float> out(samples * width);
                 const ms_mean_pool_args args{samples, width, offsets.data(), x.data(), normalize, out.data()};
                 outputs.result(table.mean_pool(context, &args));
                 outputs.add("out", out);
               });
    }
  }
}

void elements() {
  for (const int64_t count : {0, 1, 31, 4097, 300'001}) {
    const auto w = normal_values(count, 1), g = normal_values(count, 2), m = normal_values(count, 3);
    auto v = normal_values(count, 4);
    for (float& value : v) value *= value;
    contract(sized("fill", {count}), {}, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
      Guarded<float> out(count);
      const ms_fill_args args{count, 1.5f, out.data()};
      outputs.result(table.fill(context, &args));
      outputs.add("out", out);
    });
    contract(sized("sum_squares", {count}), {0, 1e-12}, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
      Guarded<double> out(1, 3.0);
      const ms_sum_squares_args args{count, w.data(), out.data()};
      outputs.result(table.sum_squares(context, &args));
      outputs.add("out", out);
    });
    contract(sized("rmsprop", {count}), {1e-7, 5e-7}, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
      Guarded<float> weight(w), square(v);
      const ms_rmsprop_args args{count, weight.data(), g.data(), square.data(), 1e-3f, 0.99f, 1e-8f, 0.7f};
      outputs.result(table.rmsprop(context, &args));
      outputs.add("w", weight);
      outputs.add("v", square);
    });
    contract(sized("adamw", {count}), {2e-7, 1e-6}, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
      Guarded<float> weight(w), first(m), second(v);
      const ms_adamw_args args{count, weight.data(), g.data(), first.data(), second.data(), 1e-3f,
                               0.9f,  0.999f,        1e-8f,    0.01f,        0.7f,          1000};
      outputs.result(table.adamw(context, &args));
      outputs.add("w", weight);
      outputs.add("m", first);
      outputs.add("v", second);
    });
  }
}

void decode() {
  for (const Heads& h : {Heads{6, 6, 32, 0, true}, {4, 2, 20, 3, false}, {3, 1, 5, 1, true}, {2, 2, 64, 100, true}}) {
    for (const int64_t batch : {0, 1, 17}) {
      constexpr int64_t kCapacity = 70;
      const int64_t q_width = h.heads * h.head_dim, width = h.kv_heads * h.head_dim, ld = q_width + 2 * width + (h.fused ? 0 : 3),
                    slots = batch + 2;
      const auto qkv = normal_values(batch * ld, 1), k_cache = normal_values(slots * kCapacity * width, 2),
                 v_cache = normal_values(slots * kCapacity * width, 3);
      std::vector<int32_t> slot(static_cast<size_t>(batch)), lengths = integer_values(batch, kCapacity, 4);
      for (size_t b = 0; b < slot.size(); ++b) slot[b] = static_cast<int32_t>(slot.size() - b);
      if (batch > 2) lengths[0] = 0, lengths[1] = kCapacity - 1;
      contract(sized("decode_attention", {batch, h.heads, h.kv_heads, h.head_dim, h.window}), {2e-6, 1e-6},
               [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
                 Guarded<float> out(batch * q_width), keys(k_cache), values(v_cache);
                 const ms_decode_attention_args args{
                     batch,     kCapacity,   h.heads,        h.kv_heads,           h.head_dim,
                     h.window,  0.3f,        qkv.data(),     qkv.data() + q_width, qkv.data() + q_width + width,
                     ld,        slot.data(), lengths.data(), keys.data(),          values.data(),
                     out.data()};
                 outputs.result(table.decode_attention(context, &args));
                 outputs.add("out", out);
                 outputs.add("k_cache", keys);
                 outputs.add("v_cache", values);
               });
    }
  }
  const std::vector<int32_t> lengths{3, 1, 20}, slots{2, 0, 3};
  const auto offsets = offsets_of(lengths);
  const auto kv = normal_values(24 * 50, 1);
  contract("cache_fill", {}, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
    Guarded<float> keys(4 * 20 * 21, 5.0f), values(4 * 20 * 21, 6.0f);
    const ms_cache_fill_args args{24, 3,           20,           21, offsets.data(), slots.data(), kv.data(), kv.data() + 25,
                                  50, keys.data(), values.data()};
    outputs.result(table.cache_fill(context, &args));
    outputs.add("k_cache", keys);
    outputs.add("v_cache", values);
  });
}

void sampling() {
  for (const auto& [count, vocab] : {std::pair<int64_t, int64_t>{0, 3}, {3, 1}, {40, 33}, {64, 4097}}) {
    for (const float spread : {0.0f, 0.02f, 4.0f}) {
      auto logits = normal_values(count * vocab, 1, spread);
      for (float& value : logits) value = std::round(value * 8) / 8;  // ties
      for (size_t i = 3; i < logits.size(); i += 50) logits[i] = -INFINITY;
      std::vector<double> uniforms(static_cast<size_t>(count));
      RandomStream stream(5, 1);
      for (double& u : uniforms) u = stream.uniform();
      if (count > 2) uniforms[0] = 0, uniforms[1] = 1 - 0x1p-53;
      struct Sampling {
        int32_t mode, top_k;
        float temperature, top_p;
      };
      for (const Sampling& s : {Sampling{MS_SAMPLE_GREEDY, 0, 1, 1},
                                {MS_SAMPLE_NUCLEUS, 0, 1, 1},
                                {MS_SAMPLE_NUCLEUS, 0, 0.7f, 0.9f},
                                {MS_SAMPLE_NUCLEUS, 50, 1, 1},
                                {MS_SAMPLE_NUCLEUS, 7, 1.3f, 0.5f},
                                {MS_SAMPLE_NUCLEUS, 0, 1, 0.01f}}) {
        contract(sized("sample_tokens", {count, vocab, s.mode, s.top_k}), {},
                 [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
                   Guarded<int32_t> ids(count);
                   const ms_sample_tokens_args args{count,         vocab,   logits.data(),   s.mode,    s.top_k,
                                                    s.temperature, s.top_p, uniforms.data(), ids.data()};
                   outputs.result(table.sample_tokens(context, &args));
                   outputs.add("ids", ids);
                 });
      }
    }
  }
}

// A logit that is not a number is never chosen, and a row of nothing else does no harm.
void sampling_of_broken_rows() {
  const int64_t vocab = 300;
  auto logits = normal_values(2 * vocab, 1);
  for (int64_t j = 0; j < vocab; ++j) {
    logits[static_cast<size_t>(vocab + j)] = std::nanf("");
    if (j % 3 == 0) logits[static_cast<size_t>(j)] = std::nanf("");
  }
  const std::vector<double> uniforms{0.7, 0.7};
  ms_context* context = nullptr;
  const ms_backend& cpu = *mendset_cpu_backend();
  CHECK(cpu.create(2, &context) == MS_OK);
  for (const int32_t mode : {MS_SAMPLE_GREEDY, MS_SAMPLE_NUCLEUS}) {
    for (const int32_t top_k : {0, 5, 250}) {
      for (const float top_p : {0.9f, 1.0f}) {
        Guarded<int32_t> ids(2);
        const ms_sample_tokens_args args{2, vocab, logits.data(), mode, top_k, 1.0f, top_p, uniforms.data(), ids.data()};
        CHECK(cpu.sample_tokens(context, &args) == MS_OK);
        CHECK(ids.data()[0] >= 0 && ids.data()[0] < vocab && ids.data()[0] % 3 != 0 && ids.data()[1] == 0 && ids.intact());
      }
    }
  }
  cpu.destroy(context);
}

}  // namespace

int main() {
  embedding();
  norm();
  sample_norms();
  attention();
  attention_differences();
  rotary();
  token_loss();
  rows();
  elements();
  decode();
  sampling();
  sampling_of_broken_rows();
  return finish();
}
