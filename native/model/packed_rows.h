// What one pass computes on: samples packed without padding on the host, and which rows carry a loss.
#pragma once

#include <vector>

#include "model/architecture.h"
#include "model/language_model.h"
#include "model/schedule.h"

namespace mendset {

// Everything a batch can be wrong in, as one sentence each. `name` begins the sentence, e.g. "The chosen batch".
// A language model's; an encoder's batch has no mask and no positions.
Status check_batch(const PackedBatch& batch, const Architecture& architecture, const char* name);
// Samples, lengths and ids alone.
Status check_sequences(const PackedBatch& batch, const Architecture& architecture, const char* name);

// Row r of a pass predicts targets[...] at its place. A row that predicts nothing scored and precedes nothing scored cannot
// change a loss, nor receive a gradient, so `trim` leaves out each sample's rows after its last scored prediction (at least the
// last token).
struct PackedRows {
  std::vector<int32_t> ids, positions;   // [rows]
  std::vector<int32_t> offsets{0};       // [samples + 1]; a sample without any scored token is empty when trimmed
  std::vector<int32_t> loss_rows;        // ascending rows that predict a scored token
  std::vector<int32_t> targets;          // their target ids
  std::vector<int32_t> loss_samples;     // their samples
  std::vector<int32_t> loss_tokens;      // the target's index in the batch it came from
  std::vector<int32_t> loss_offsets{0};  // [samples + 1] ranges of loss rows

  int64_t rows() const { return static_cast<int64_t>(ids.size()); }
  int64_t samples() const { return static_cast<int64_t>(offsets.size()) - 1; }
  int64_t losses() const { return static_cast<int64_t>(loss_rows.size()); }
  // Loss rows are all rows in order, so that gathering and scattering them would copy everything.
  bool all_rows() const { return losses() == rows(); }
  void append(const PackedBatch& batch, int64_t first_sample, int64_t last_sample, bool trim);
};

// Number of scored tokens of one sample.
int64_t scored_tokens(const PackedBatch& batch, int64_t sample);

// The same on the backend.
struct DeviceRows {
  int64_t rows = 0, samples = 0, max_length = 0;
  double pairs = 0;  // sum over samples of length (length + 1) / 2: query-key pairs of full causal attention
  const int32_t *ids = nullptr, *positions = nullptr, *offsets = nullptr;
};
DeviceRows upload_rows(Builder& builder, const PackedRows& rows);

// Ranges of samples [first, last) with at most `max_tokens` tokens each (or one longer sample). Depends on the batch alone.
std::vector<std::pair<int64_t, int64_t>> split_samples(const PackedBatch& batch, int64_t max_tokens);
// Tokens of one pass over many samples.
int64_t pass_tokens(const Model& model);

}  // namespace mendset
