// Attention of one head of one sample by tiles: streaming softmax, probabilities recomputed in the backward pass.
namespace mendset::cpu::MENDSET_ISA {

// out[c][j] = x[j][c], j < length, padded with zeros to attention_padded(length).
static void attention_transpose(const float* x, int64_t ld, int64_t length, int64_t head_dim, float* out) {
  const int64_t padded = attention_padded(length);
  int64_t j = 0;
  for (; j + 4 <= length; j += 4) {
    const float *const x0 = x + j * ld, *const x1 = x0 + ld, *const x2 = x1 + ld, *const x3 = x2 + ld;
    for (int64_t c = 0; c < head_dim; ++c) {
      float* const four = out + c * padded + j;
      four[0] = x0[c], four[1] = x1[c], four[2] = x2[c], four[3] = x3[c];
    }
  }
  for (; j < padded; ++j) {
    for (int64_t c = 0; c < head_dim; ++c) out[c * padded + j] = j < length ? x[j * ld + c] : 0.0f;
  }
}

// The keys that query i sees, relative to a tile that starts at key `first` and has `keys` keys.
struct VisibleKeys {
  int64_t begin, end;
};
MS_INLINE VisibleKeys visible_keys(const AttentionHead& head, int64_t i, int64_t first, int64_t keys) {
  const int64_t oldest = head.window > 0 && i - head.window + 1 > first ? i - head.window + 1 - first : 0;
  const int64_t end = !head.bidirectional && i + 1 - first < keys ? i + 1 - first : keys;
  return {oldest, end < oldest ? oldest : end};
}
MS_INLINE int64_t oldest_key(const AttentionHead& head, int64_t i) {
  return head.window > 0 && i - head.window + 1 > 0 ? i - head.window + 1 : 0;
}

static void attention_forward(const AttentionHead& head, float* scratch) {
  const int64_t padded = attention_padded(head.length), width = head.head_dim;
  float* const k_transposed = scratch;
  float* const scores = scratch + padded * width;
  attention_transpose(head.k, head.ld_qkv, head.length, width, k_transposed);
  const Vec scale = set1(head.scale), lowest = set1(-std::numeric_limits<float>::infinity());

  for (int64_t i = 0; i < head.length; i += kForwardRows) {
    const int64_t rows = head.length - i < kForwardRows ? head.length - i : kForwardRows;
    const int64_t first = oldest_key(head, i), last = head.bidirectional ? head.length : i + rows;
    float largest[kForwardRows], sum[kForwardRows];
    for (int64_t r = 0; r < rows; ++r) largest[r] = -std::numeric_limits<float>::infinity(), sum[r] = 0;
    for (int64_t j = first; j < last; j += kForwardKeys) {
      const int64_t keys = last - j < kForwardKeys ? last - j : kForwardKeys;
      small_product(rows, keys, width, head.q + i * head.ld_qkv, head.ld_qkv, 1, k_transposed + j, padded, scores, kForwardKeys,
                    false);
      for (int64_t r = 0; r < rows; ++r) {
        float* const row = scores + r * kForwardKeys;
        const VisibleKeys seen = visible_keys(head, i + r, j, keys);
        for (int64_t c = 0; c < seen.begin; ++c) row[c] = 0;
        for (int64_t c = seen.end; c < keys; ++c) row[c] = 0;
        if (seen.begin == seen.end) continue;
        float* const visible = row + seen.begin;
        const int64_t count = seen.end - seen.begin;
        Vec top = lowest;
        over_vectors(count, [&](auto lanes, int64_t c) { top = max(lanes.keep(lanes.get(visible + c) * scale, lowest), top); });
        const float before = largest[r], highest = reduce_max(top), now = highest > before ? highest : before;
        const Vec shift = set1(-now);
        Vec total = zero();
        over_vectors(count, [&](auto lanes, int64_t c) {
          const Vec p = exp(fma(lanes.get(visible + c), scale, shift));
          lanes.put(visible + c, p);
          total = total + lanes.keep(p, zero());
        });
        const float correction = j == first ? 0.0f : std::exp(before - now);
        if (j != first && correction != 1.0f) rows_scale(head.out + (i + r) * head.ld_out, correction, width);
        sum[r] = sum[r] * correction + reduce_add(total);
        largest[r] = now;
      }
      small_product(rows, width, keys, scores, kForwardKeys, 1, head.v + j * head.ld_qkv, head.ld_qkv, head.out + i * head.ld_out,
                    head.ld_out, j != first);
    }
    for (int64_t r = 0; r < rows; ++r) {
      rows_scale(head.out + (i + r) * head.ld_out, 1.0f / sum[r], width);
      if (head.lse) head.lse[(i + r) * head.ld_lse] = largest[r] + std::log(sum[r]);
    }
  }
}

static void attention_backward_begin(const AttentionHead& head, float* scratch) {
  const int64_t width = head.head_dim;
  attention_transpose(head.k, head.ld_qkv, head.length, width, scratch);
  attention_transpose(head.v, head.ld_qkv, head.length, width, scratch + attention_padded(head.length) * width);
  for (int64_t t = 0; t < head.length; ++t) {
    for (int64_t c = 0; c < width; ++c) head.d_k[t * head.ld_qkv + c] = head.d_v[t * head.ld_qkv + c] = 0;
  }
}

// Tiles of 32 queries and 64 keys: P = exp(scale q k - lse), dS = scale P o (d_out v^T - d_out . out);
// d_q += dS k, d_k += dS^T q, d_v += P^T d_out.
static void attention_backward(const AttentionHead& head, float* scratch) {
  const int64_t padded = attention_padded(head.length), width = head.head_dim;
  const float* const k_transposed = scratch;
  const float* const v_transposed = scratch + padded * width;
  float* const p = scratch + 2 * padded * width;
  float* const d_scores = p + kBackwardRows * kBackwardKeys;
  const Vec scale = set1(head.scale);

  for (int64_t i = 0; i < head.length; i += kBackwardRows) {
    const int64_t rows = head.length - i < kBackwardRows ? head.length - i : kBackwardRows;
    const int64_t first = oldest_key(head, i), last = i + rows;
    const float* const q = head.q + i * head.ld_qkv;
    const float* const d_out = head.d_out + i * head.ld_out;
    float dots[kBackwardRows];
    for (int64_t r = 0; r < rows; ++r) {
      Sum64 dot;
      over_vectors(width, [&](auto lanes, int64_t c) {
        dot.add_product(lanes.get(d_out + r * head.ld_out + c), lanes.get(head.out + (i + r) * head.ld_out + c));
      });
      dots[r] = static_cast<float>(dot.total());
    }
    for (int64_t j = first; j < last; j += kBackwardKeys) {
      const int64_t keys = last - j < kBackwardKeys ? last - j : kBackwardKeys;
      for (int64_t g = 0; g < rows; g += kProductRows) {  // only the keys that these rows can see
        const int64_t group = rows - g < kProductRows ? rows - g : kProductRows;
        const int64_t reach = i + g + group - j < keys ? i + g + group - j : keys;
        if (reach > 0) {
          small_product(group, reach, width, q + g * head.ld_qkv, head.ld_qkv, 1, k_transposed + j, padded, p + g * kBackwardKeys,
                        kBackwardKeys, false);
          small_product(group, reach, width, d_out + g * head.ld_out, head.ld_out, 1, v_transposed + j, padded,
                        d_scores + g * kBackwardKeys, kBackwardKeys, false);
        }
        for (int64_t r = g; r < g + group; ++r) {
          float* const p_row = p + r * kBackwardKeys;
          float* const d_row = d_scores + r * kBackwardKeys;
          const VisibleKeys seen = visible_keys(head, i + r, j, keys);
          for (int64_t c = 0; c < seen.begin && c < keys; ++c) p_row[c] = d_row[c] = 0;
          for (int64_t c = seen.end; c < keys; ++c) p_row[c] = d_row[c] = 0;
          const Vec shift = set1(-head.lse[(i + r) * head.ld_lse]), dot = set1(dots[r]);
          over_vectors(seen.end - seen.begin, [&](auto lanes, int64_t c) {
            const Vec probability = exp(fma(lanes.get(p_row + seen.begin + c), scale, shift));
            lanes.put(p_row + seen.begin + c, probability);
            lanes.put(d_row + seen.begin + c, scale * probability * (lanes.get(d_row + seen.begin + c) - dot));
          });
        }
      }
      small_product(rows, width, keys, d_scores, kBackwardKeys, 1, head.k + j * head.ld_qkv, head.ld_qkv,
                    head.d_q + i * head.ld_qkv, head.ld_qkv, j != first);
      small_product(keys, width, rows, d_scores, 1, kBackwardKeys, q, head.ld_qkv, head.d_k + j * head.ld_qkv, head.ld_qkv, true);
      small_product(keys, width, rows, p, 1, kBackwardKeys, d_out, head.ld_out, head.d_v + j * head.ld_qkv, head.ld_qkv, true);
    }
  }
}

static void attention_decode(const float* q, const float* k, const float* v, int64_t ld, int64_t keys, int64_t head_dim,
                             float scale, float* scores, float* out) {
  float largest = -std::numeric_limits<float>::infinity();
  for (int64_t j = 0; j < keys; ++j) {
    Vec dot = zero();
    over_vectors(head_dim, [&](auto lanes, int64_t c) { dot = fma(lanes.get(q + c), lanes.get(k + j * ld + c), dot); });
    scores[j] = reduce_add(dot) * scale;
    if (scores[j] > largest) largest = scores[j];
  }
  Vec total = zero();
  over_vectors(keys, [&](auto lanes, int64_t j) {
    const Vec p = exp(lanes.get(scores + j) - set1(largest));
    lanes.put(scores + j, p);
    total = total + lanes.keep(p, zero());
  });
  small_product(1, head_dim, keys, scores, keys, 1, v, ld, out, head_dim, false);
  rows_scale(out, 1.0f / reduce_add(total), head_dim);
}

static const AttentionKernels attention_kernels = {.forward = attention_forward,
                                                   .backward_begin = attention_backward_begin,
                                                   .backward = attention_backward,
                                                   .decode = attention_decode};

}  // namespace mendset::cpu::MENDSET_ISA
