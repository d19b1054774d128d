// The forward pass as a list of operations.
#pragma once

#include <vector>

#include "model/adapter.h"
#include "model/model.h"
#include "model/packed_rows.h"
#include "model/schedule.h"

namespace mendset {

// What the backward pass reads again. Outputs of norms are recomputed; of the MLP only the activation's input is kept.
struct BlockActivations {
  float* input = nullptr;     // [rows, width]
  float* middle = nullptr;    // [rows, width] between attention and MLP; null when the residual is parallel
  float* qkv = nullptr;       // [rows, qkv width], rotated
  float* attended = nullptr;  // [rows, query width]
  float* mlp = nullptr;       // [rows, inner width] before the activation
  float *q_rstd = nullptr, *k_rstd = nullptr;  // [rows, heads] of normed queries, [rows, kv heads] of keys
  float *mean1 = nullptr, *rstd1 = nullptr, *mean2 = nullptr, *rstd2 = nullptr;  // [rows]
  float* lse = nullptr;                                                          // [rows, heads]
};

// Keys and values of earlier tokens, [layers][slots, capacity, kv width] each.
struct KeyValueCache {
  float *keys = nullptr, *values = nullptr;
  int64_t slots = 0, capacity = 0;
  const int32_t* slot_of = nullptr;  // [samples] on the backend
  const int32_t* lengths = nullptr;  // [samples] on the backend; null while prompts are read
};

struct ForwardPass {
  float* output = nullptr;               // [rows, width] of the last block; before the final norm
  bool checkpointed = false;             // of each block only `input` is there
  std::vector<BlockActivations> blocks;  // filled from first_stored on
};

// first_stored: activations are kept from this block up (architecture.layers = none); checkpointed: of them only each block's
// input, from which the backward pass computes the others again. With a cache whose lengths are null, keys and values are copied
// into it; with lengths, each row is one new token of its sequence and attends to the cache.
ForwardPass build_forward(Builder& builder, const Model& model, const DeviceRows& rows, int64_t first_stored, bool checkpointed,
                          const KeyValueCache* cache = nullptr, const Adapter* adapter = nullptr);

// All activations of one block from its input, by the operations of build_forward, hence the same bits.
BlockActivations build_again(Builder& builder, const Model& model, const DeviceRows& rows, float* input, int32_t block,
                             const Adapter* adapter);

void build_linear(Builder& builder, const Model& model, const LinearMap& map, int64_t rows, const float* x, int32_t activation,
                  const float* residual, float* y, int64_t ld_y, int32_t block, const Adapter* adapter = nullptr);
void build_norm(Builder& builder, const Model& model, const NormMap& norm, int64_t rows, const float* x, float* y, float* mean,
                float* rstd, int32_t block);
void build_rotary(Builder& builder, const Model& model, const DeviceRows& rows, float* qkv, bool inverse, int32_t block);

}  // namespace mendset
