// Generation: attention of one new token over its cache, filling the cache, choosing the next token.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "plain/plain_operations.h"

namespace mendset {

int32_t plain_decode_attention(ms_context*, const ms_decode_attention_args* a) {
  const int64_t width = static_cast<int64_t>(a->kv_heads) * a->head_dim;
  for (int64_t b = 0; b < a->batch; ++b) {
    const int64_t last = a->lengths[b];
    float* k_cache = a->k_cache + a->slots[b] * a->capacity * width;
    float* v_cache = a->v_cache + a->slots[b] * a->capacity * width;
    std::copy_n(a->k + b * a->ld_qkv, width, k_cache + last * width);
    std::copy_n(a->v + b * a->ld_qkv, width, v_cache + last * width);
    const int64_t first = a->window > 0 ? std::max<int64_t>(0, last - a->window + 1) : 0;
    for (int64_t h = 0; h < a->heads; ++h) {
      const int64_t kv_column = h * a->kv_heads / a->heads * a->head_dim;
      const float* q = a->q + b * a->ld_qkv + h * a->head_dim;
      std::vector<double> p;
      double largest = -INFINITY, sum = 0;
      for (int64_t j = first; j <= last; ++j) {
        double score = 0;
        for (int64_t c = 0; c < a->head_dim; ++c) score += static_cast<double>(q[c]) * k_cache[j * width + kv_column + c];
        p.push_back(a->scale * score);
        largest = std::max(largest, p.back());
      }
      for (double& value : p) sum += value = std::exp(value - largest);
      for (int64_t c = 0; c < a->head_dim; ++c) {
        double out = 0;
        for (int64_t j = first; j <= last; ++j) out += p[static_cast<size_t>(j - first)] * v_cache[j * width + kv_column + c];
        a->out[(b * a->heads + h) * a->head_dim + c] = static_cast<float>(out / sum);
      }
    }
  }
  return MS_OK;
}

int32_t plain_cache_fill(ms_context*, const ms_cache_fill_args* a) {
  for (int64_t s = 0; s < a->samples; ++s) {
    for (int64_t t = a->offsets[s]; t < a->offsets[s + 1]; ++t) {
      const int64_t place = (a->slots[s] * a->capacity + t - a->offsets[s]) * a->width;
      std::copy_n(a->k + t * a->ld_qkv, a->width, a->k_cache + place);
      std::copy_n(a->v + t * a->ld_qkv, a->width, a->v_cache + place);
    }
  }
  return MS_OK;
}

// Nucleus: tokens in order of (logit descending, id ascending); the first whose cumulative mass exceeds uniform * kept mass.
int32_t plain_sample_tokens(ms_context*, const ms_sample_tokens_args* a) {
  std::vector<int32_t> order(static_cast<size_t>(a->vocab));
  std::vector<double> p(static_cast<size_t>(a->vocab));
  for (int64_t b = 0; b < a->rows; ++b) {
    const float* z = a->logits + b * a->vocab;
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [z](int32_t i, int32_t j) { return z[i] > z[j]; });
    a->ids[b] = order[0];
    if (a->mode == MS_SAMPLE_GREEDY) continue;

    size_t kept = a->top_k > 0 ? std::min(order.size(), static_cast<size_t>(a->top_k)) : order.size();
    double total = 0;
    for (size_t i = 0; i < kept; ++i) {
      p[i] = std::exp((static_cast<double>(z[order[i]]) - z[order[0]]) / a->temperature);
      total += p[i];
    }
    double mass = 0;
    for (size_t i = 0; i < kept; ++i) {
      mass += p[i];
      if (mass >= static_cast<double>(a->top_p) * total) kept = i + 1;
    }
    double cumulative = 0;
    for (size_t i = 0; i < kept; ++i) {
      cumulative += p[i];
      a->ids[b] = order[i];
      if (cumulative > a->uniforms[b] * mass) break;
    }
  }
  return MS_OK;
}

}  // namespace mendset
