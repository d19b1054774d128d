// Kernels of attention: one head of one sample.
#pragma once

#include <cstdint>

namespace mendset::cpu {

// Pointers stand at the sample's first row and the head's first column.
struct AttentionHead {
  int64_t length, head_dim, window;  // window 0: none
  bool bidirectional = false;        // forward only: every query sees every key
  float scale;
  const float *q, *k, *v;
  int64_t ld_qkv;
  const float* d_out;  // backward only
  float *d_q, *d_k, *d_v;
  float* out;
  int64_t ld_out;
  float* lse;  // one value every ld_lse, nullable in the forward pass
  int64_t ld_lse;
};

constexpr int64_t kAttentionPadding = 16;  // keys of a transposed copy are rounded up to this
constexpr int64_t kForwardKeys = 128;      // keys of one step of the streaming softmax
constexpr int64_t kForwardRows = 4;
constexpr int64_t kBackwardRows = 32, kBackwardKeys = 64;

constexpr int64_t attention_padded(int64_t length) {
  return (length + kAttentionPadding - 1) / kAttentionPadding * kAttentionPadding;
}
// Floats of scratch.
constexpr int64_t attention_forward_scratch(int64_t length, int64_t head_dim) {
  return attention_padded(length) * head_dim + kForwardRows * kForwardKeys;
}
constexpr int64_t attention_backward_scratch(int64_t length, int64_t head_dim) {
  return 2 * attention_padded(length) * head_dim + 2 * kBackwardRows * kBackwardKeys;
}

struct AttentionKernels {
  void (*forward)(const AttentionHead& head, float* scratch);
  // Transposes a key/value head into scratch and clears its gradient; then once per query head that reads it.
  void (*backward_begin)(const AttentionHead& head, float* scratch);
  void (*backward)(const AttentionHead& head, float* scratch);
  // One query over `keys` rows of keys and values with leading dimension ld; scores [keys] is scratch.
  void (*decode)(const float* q, const float* k, const float* v, int64_t ld, int64_t keys, int64_t head_dim, float scale,
                 float* scores, float* out);
};

}  // namespace mendset::cpu
