// The contract of attention over packed samples and over caches, and rotary positions.
#include <numeric>
#include <utility>

#include "test/contract.h"
#include "test/packed_samples.h"

using namespace mendset;
using namespace mendset::test;

namespace {

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
                           {2, 2, 16, 200, false},
                           {2, 1, 128, 0, true},
                           {1, 1, 160, 30, false}}) {
      if (h.head_dim > 64 && lengths.size() > 3) continue;  // wide heads on a few samples, for their time
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
        const ms_attention_forward_args args{rows,       samples,    offsets.data(), longest,    h.heads, h.kv_heads,
                                             h.head_dim, 0,          scale,          q,          k,       v,
                                             ld,         out.data(), ld_out,         lse.data(), 1};
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
    const ms_attention_forward_args args{kRows, 2,   offsets.data(), 6,    kHeads,     kKvHeads, kHeadDim, 4, 0.4f, q, k,
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
                 const ms_rotary_args args{rows,    positions.data(),   heads, head_dim,   dims,
                                           inverse, frequencies.data(), 1.25f, out.data(), ld};
                 outputs.result(table.rotary(context, &args));
                 outputs.add("x", out);
               });
    }
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

}  // namespace

int main() {
  attention();
  attention_differences();
  rotary();
  decode();
  return finish();
}
