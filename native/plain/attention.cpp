// Attention inside packed samples, its gradient, and rotary position embedding.
#include <algorithm>
#include <cmath>
#include <vector>

#include "plain/plain_operations.h"

namespace mendset {
namespace {

double dot(const float* a, const float* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

}  // namespace

int32_t plain_attention_forward(ms_context*, const ms_attention_forward_args* a) {
  const int64_t head_dim = a->head_dim;
  for (int64_t s = 0; s < a->samples; ++s) {
    const int64_t begin = a->offsets[s], end = a->offsets[s + 1];
    for (int64_t h = 0; h < a->heads; ++h) {
      const int64_t q_column = h * head_dim, kv_column = h * a->kv_heads / a->heads * head_dim;
      for (int64_t i = begin; i < end; ++i) {
        const int64_t first = a->window > 0 ? std::max(begin, i - a->window + 1) : begin;
        const int64_t last = a->bidirectional ? end - 1 : i;
        std::vector<double> p;
        double largest = -INFINITY, sum = 0;
        for (int64_t j = first; j <= last; ++j) {
          p.push_back(a->scale * dot(a->q + i * a->ld_qkv + q_column, a->k + j * a->ld_qkv + kv_column, head_dim));
          largest = std::max(largest, p.back());
        }
        for (double& value : p) sum += value = std::exp(value - largest);
        for (int64_t c = 0; c < head_dim; ++c) {
          double out = 0;
          for (int64_t j = first; j <= last; ++j) out += p[static_cast<size_t>(j - first)] * a->v[j * a->ld_qkv + kv_column + c];
          a->out[i * a->ld_out + q_column + c] = static_cast<float>(out / sum);
        }
        if (a->lse) a->lse[i * a->heads + h] = static_cast<float>(largest + std::log(sum));
      }
    }
  }
  return MS_OK;
}

// P = exp(scale q k - lse), D_i = d_out_i . out_i, dS = P o (d_out v^T - D); d_q = scale dS k, d_k = scale dS^T q, d_v = P^T
// d_out.
int32_t plain_attention_backward(ms_context*, const ms_attention_backward_args* a) {
  const int64_t head_dim = a->head_dim, q_width = a->heads * head_dim, kv_width = a->kv_heads * head_dim;
  std::vector<double> d_q(static_cast<size_t>(a->rows * q_width)), d_k(static_cast<size_t>(a->rows * kv_width)), d_v(d_k);
  for (int64_t s = 0; s < a->samples; ++s) {
    const int64_t begin = a->offsets[s], end = a->offsets[s + 1];
    for (int64_t h = 0; h < a->heads; ++h) {
      const int64_t q_column = h * head_dim, kv_column = h * a->kv_heads / a->heads * head_dim;
      for (int64_t i = begin; i < end; ++i) {
        const int64_t first = a->window > 0 ? std::max(begin, i - a->window + 1) : begin;
        const float* q = a->q + i * a->ld_qkv + q_column;
        const float* d_out = a->d_out + i * a->ld_out + q_column;
        const double d = dot(d_out, a->out + i * a->ld_out + q_column, head_dim);
        for (int64_t j = first; j <= i; ++j) {
          const float* k = a->k + j * a->ld_qkv + kv_column;
          const float* v = a->v + j * a->ld_qkv + kv_column;
          const double p = std::exp(a->scale * dot(q, k, head_dim) - a->lse[i * a->heads + h]);
          const double d_score = a->scale * p * (dot(d_out, v, head_dim) - d);
          for (int64_t c = 0; c < head_dim; ++c) {
            d_q[static_cast<size_t>(i * q_width + q_column + c)] += d_score * k[c];
            d_k[static_cast<size_t>(j * kv_width + kv_column + c)] += d_score * q[c];
            d_v[static_cast<size_t>(j * kv_width + kv_column + c)] += p * d_out[c];
          }
        }
      }
    }
  }
  for (int64_t t = 0; t < a->rows; ++t) {
    for (int64_t c = 0; c < q_width; ++c)
      a->d_q[t * a->ld_qkv + c] = static_cast<float>(d_q[static_cast<size_t>(t * q_width + c)]);
    for (int64_t c = 0; c < kv_width; ++c) {
      a->d_k[t * a->ld_qkv + c] = static_cast<float>(d_k[static_cast<size_t>(t * kv_width + c)]);
      a->d_v[t * a->ld_qkv + c] = static_cast<float>(d_v[static_cast<size_t>(t * kv_width + c)]);
    }
  }
  return MS_OK;
}

int32_t plain_rotary(ms_context*, const ms_rotary_args* a) {
  const int64_t half = a->dims / 2;
  for (int64_t t = 0; t < a->rows; ++t) {
    for (int64_t c = 0; c < half; ++c) {
      const double angle = (a->inverse ? -1 : 1) * a->positions[t] * a->frequencies[c];
      const double cosine = a->magnitude * std::cos(angle), sine = a->magnitude * std::sin(angle);
      for (int64_t h = 0; h < a->heads; ++h) {
        float* x = a->x + t * a->ld_x + h * a->head_dim + c;
        const double first = x[0], second = x[half];
        x[0] = static_cast<float>(first * cosine - second * sine);
        x[half] = static_cast<float>(second * cosine + first * sine);
      }
    }
  }
  return MS_OK;
}

}  // namespace mendset
