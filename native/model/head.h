// Around the language-model head: final norm on the rows that carry a loss, and chunks of rows whose logits exist only briefly.
#pragma once

#include "model/model.h"
#include "model/packed_rows.h"
#include "model/schedule.h"

namespace mendset {

// Rows of logits that are held at once: large enough to feed a matrix product, small beside the weights.
int64_t head_chunk_rows(const Model& model, bool trains_head);

// [rows, vocab] logits of normed hidden rows.
void build_logits(Builder& builder, const Model& model, int64_t rows, const float* hidden, float* logits);

// The loss rows of a pass before and after the final norm.
struct HeadRows {
  int64_t rows = 0;
  float* input = nullptr;   // [rows, width] before the final norm: gathered, or the pass's own output
  float* hidden = nullptr;  // [rows, width] after it
  float *mean = nullptr, *rstd = nullptr;
  const int32_t* index = nullptr;  // packed row of each; null when the loss rows are all rows in order
};
// Takes over `output` (the last block's): when rows are gathered it is given back.
HeadRows build_head_rows(Builder& builder, const Model& model, const PackedRows& rows, float* output, bool with_statistics);

}  // namespace mendset
