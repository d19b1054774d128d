// Preparing a matrix for the tensor cores: rounded, activated, with depth contiguous, padded with zeros to whole tiles.
#pragma once

#include "cuda/context.h"
#include "cuda/matrix_tile.h"

namespace mendset::cuda {

size_t element_bytes(Precision precision);

// `rows` of `depth` numbers; row r begins at data + r * row_bytes.
struct Operand {
  const unsigned char* data;
  int64_t rows, depth, row_bytes;

  __device__ __forceinline__ PackedTile tile(int64_t row_tile, int64_t first_stage, int64_t stages) const {
    return {data + row_tile * kTile * row_bytes + first_stage * kTileRowBytes, row_bytes, stages};
  }
  int64_t row_tiles() const { return ceil_div<int64_t>(rows, kTile); }
  int64_t stages() const { return row_bytes / kTileRowBytes; }
};

inline int64_t operand_row_bytes(Precision precision, int64_t depth) {
  return round_up<int64_t>(depth * static_cast<int64_t>(element_bytes(precision)), kTileRowBytes);
}
inline int64_t operand_bytes(Precision precision, int64_t rows, int64_t depth) { return round_up<int64_t>(rows, kTile) * operand_row_bytes(precision, depth); }

// source: fp32 [rows, depth] with leading dimension ld; transposed: [depth, rows].
struct OperandSource {
  const float* data;
  int64_t ld;
  bool transposed;
  int32_t activation;
};

// `memory` has operand_bytes and is 256-byte aligned. more_rows: rows of zeros beyond the padding, for readers whose tiles begin anywhere; then
// memory has operand_bytes of rows + more_rows.
int32_t pack_operand(Context& context, Precision precision, const OperandSource& source, int64_t rows, int64_t depth, std::byte* memory, Operand* out,
                     int64_t more_rows = 0);

// One reading of source [depth, rows] makes the transposed operand, as pack_operand does, that of the source as it stands (`straight`: depth rows of `rows`
// numbers; `straight_memory` has operand_bytes of that), and partial column sums for column_sums_final.
inline int64_t both_ways_shares(int64_t depth) { return round_up<int64_t>(depth, kTile) / 64; }
int32_t pack_both_ways(Context& context, Precision precision, const float* source, int64_t ld, int64_t rows, int64_t depth, std::byte* memory, Operand* out,
                       std::byte* straight_memory, float* column_partials);

// The transpose of [offsets[samples], width] with each sample's depth padded to whole stages: sample s begins at stage first_stages[s].
// Only samples with wanted[s] != 0. row_bytes covers all_stages stages.
int32_t pack_sample_columns(Context& context, Precision precision, const OperandSource& source, int64_t width, int64_t samples, const int32_t* offsets,
                            const int64_t* first_stages, const int32_t* wanted, int64_t longest, int64_t all_stages, std::byte* memory, Operand* out);

}  // namespace mendset::cuda
