// Kernels on one row of logits.
#pragma once

#include <cstdint>

namespace mendset::cpu {

struct TokenLossRow {
  int64_t vocab;
  float* logits;
  const float* reference;  // nullable
  int32_t target;          // -1: none
  float ce_weight, kl_weight;
  bool reverse, write_gradient, want_el2n;
  float* scratch;  // [2, vocab], only with a reference
  // results
  double log_prob, el2n, margin, kl;
};

struct TokenLossKernels {
  void (*row)(TokenLossRow& row);
  float (*largest)(const float* z, int64_t n);                     // -infinity when n = 0
  int32_t (*first_equal)(const float* z, int64_t n, float value);  // lowest index; 0 when none (NaN)
  // p[j] = e^((z[j] - largest) * inverse_temperature); returns the sum in fp64
  double (*exponentials)(const float* z, int64_t n, float largest, float inverse_temperature, float* p);
};

}  // namespace mendset::cpu
