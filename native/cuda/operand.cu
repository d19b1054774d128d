#include "cuda/operand.h"

#include "cuda/activation.h"
#include "cuda/launch.h"

namespace mendset::cuda {

size_t element_bytes(Precision precision) { return precision == Precision::bf16 ? 2 : 4; }

const char* precision_name(Precision precision) {
  switch (precision) {
    case Precision::bf16:
      return "bf16";
    case Precision::tf32:
      return "tf32";
    case Precision::tf32x3:
      return "tf32x3";
    default:
      return "fp32";
  }
}

namespace {

constexpr int kThreads = 256;
constexpr int kDepthTile = 64, kRowTile = 32;

// 16 bytes of the operand from consecutive fp32 numbers.
template <Precision kPrecision>
__device__ __forceinline__ uint4 rounded_piece(const float* x) {
  if constexpr (kPrecision == Precision::bf16) {
    return make_uint4(pack_bf16(x[0], x[1]), pack_bf16(x[2], x[3]), pack_bf16(x[4], x[5]), pack_bf16(x[6], x[7]));
  } else if constexpr (kPrecision == Precision::tf32) {
    return make_uint4(__float_as_uint(to_tf32(x[0])), __float_as_uint(to_tf32(x[1])), __float_as_uint(to_tf32(x[2])), __float_as_uint(to_tf32(x[3])));
  } else {
    return make_uint4(__float_as_uint(x[0]), __float_as_uint(x[1]), __float_as_uint(x[2]), __float_as_uint(x[3]));
  }
}
template <Precision kPrecision>
constexpr int kPieceNumbers = kPrecision == Precision::bf16 ? 8 : 4;

// One thread, one piece of 16 bytes.
template <Precision kPrecision>
__global__ void __launch_bounds__(kThreads) pack_rows_kernel(const float* data, int64_t ld, int32_t kind, int64_t rows, int64_t depth, int64_t row_bytes, int64_t pieces,
                                                             unsigned char* out) {
  constexpr int kNumbers = kPieceNumbers<kPrecision>;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= pieces) return;
  const int64_t per_row = row_bytes / 16, row = index / per_row, first = index % per_row * kNumbers;
  float x[kNumbers];
  const float* const source = data + row * ld + first;
  if (row < rows && first + kNumbers <= depth && (reinterpret_cast<uintptr_t>(source) & 15) == 0) {
MS_UNROLL
    for (int e = 0; e < kNumbers; e += 4) {
      const float4 four = *reinterpret_cast<const float4*>(source + e);
      x[e] = four.x, x[e + 1] = four.y, x[e + 2] = four.z, x[e + 3] = four.w;
    }
  } else {
MS_UNROLL
    for (int e = 0; e < kNumbers; ++e) x[e] = row < rows && first + e < depth ? source[e] : 0.0f;
  }
  if (kind != MS_ACTIVATION_NONE) {  // every activation maps 0 to 0
MS_UNROLL
    for (int e = 0; e < kNumbers; ++e) x[e] = activation(kind, x[e]);
  }
  *reinterpret_cast<uint4*>(out + row * row_bytes + index % per_row * 16) = rounded_piece<kPrecision>(x);
}

// A block turns 64 x 32 numbers of [depth, rows] through shared memory, so that reads and writes are both contiguous. `out` is where depth 0
// of row 0 goes; nothing is written at or beyond out_bytes of a row.
template <Precision kPrecision>
__device__ __forceinline__ void turn_tile(const float* data, int64_t ld, int32_t kind, int64_t rows, int64_t depth, int64_t first_depth, int64_t first_row, int64_t row_bytes,
                                          int64_t out_bytes, unsigned char* out) {
  __shared__ float tile[kDepthTile][kRowTile + 1];
  __syncthreads();
  for (int cell = static_cast<int>(threadIdx.x); cell < kDepthTile * kRowTile; cell += kThreads) {
    const int64_t k = first_depth + cell / kRowTile, row = first_row + cell % kRowTile;
    const float value = k < depth && row < rows ? data[k * ld + row] : 0.0f;
    tile[cell / kRowTile][cell % kRowTile] = activation(kind, value);  // every activation maps 0 to 0
  }
  __syncthreads();
  constexpr int kNumbers = kPieceNumbers<kPrecision>, kPieces = kDepthTile / kNumbers;
  for (int piece = static_cast<int>(threadIdx.x); piece < kRowTile * kPieces; piece += kThreads) {
    const int row = piece / kPieces, within = piece % kPieces * kNumbers;
    const int64_t byte = (first_depth + within) * static_cast<int64_t>(16 / kNumbers);
    float x[kNumbers];
MS_UNROLL
    for (int e = 0; e < kNumbers; ++e) x[e] = tile[within + e][row];
    if (byte < out_bytes) *reinterpret_cast<uint4*>(out + (first_row + row) * row_bytes + byte) = rounded_piece<kPrecision>(x);
  }
}

// A tile of [depth, rows] both ways, and its columns' sums: partials [shares, rows] (nullable).
template <Precision kPrecision>
__global__ void __launch_bounds__(kThreads) pack_both_ways_kernel(const float* data, int64_t ld, int64_t rows, int64_t depth, int64_t row_bytes, unsigned char* out,
                                                                  int64_t straight_row_bytes, unsigned char* straight, float* partials) {
  __shared__ float tile[kDepthTile][kRowTile + 1];
  const int64_t first_depth = static_cast<int64_t>(blockIdx.x) * kDepthTile, first_row = static_cast<int64_t>(blockIdx.y) * kRowTile;
  for (int cell = static_cast<int>(threadIdx.x); cell < kDepthTile * kRowTile; cell += kThreads) {
    const int64_t k = first_depth + cell / kRowTile, row = first_row + cell % kRowTile;
    tile[cell / kRowTile][cell % kRowTile] = k < depth && row < rows ? data[k * ld + row] : 0.0f;
  }
  __syncthreads();
  constexpr int kNumbers = kPieceNumbers<kPrecision>, kDeep = kDepthTile / kNumbers, kWide = kRowTile / kNumbers;
  for (int piece = static_cast<int>(threadIdx.x); piece < kRowTile * kDeep; piece += kThreads) {
    const int row = piece / kDeep, within = piece % kDeep * kNumbers;
    const int64_t byte = (first_depth + within) * static_cast<int64_t>(16 / kNumbers);
    float x[kNumbers];
MS_UNROLL
    for (int e = 0; e < kNumbers; ++e) x[e] = tile[within + e][row];
    if (byte < row_bytes) *reinterpret_cast<uint4*>(out + (first_row + row) * row_bytes + byte) = rounded_piece<kPrecision>(x);
  }
  for (int piece = static_cast<int>(threadIdx.x); piece < kDepthTile * kWide; piece += kThreads) {
    const int k = piece / kWide, within = piece % kWide * kNumbers;
    const int64_t byte = (first_row + within) * static_cast<int64_t>(16 / kNumbers);
    if (byte < straight_row_bytes) *reinterpret_cast<uint4*>(straight + (first_depth + k) * straight_row_bytes + byte) = rounded_piece<kPrecision>(&tile[k][within]);
  }
  if (partials == nullptr || threadIdx.x >= kRowTile || first_row + threadIdx.x >= rows) return;
  float sum = 0.0f;
  for (int k = 0; k < kDepthTile; ++k) sum += tile[k][threadIdx.x];
  partials[static_cast<int64_t>(blockIdx.x) * rows + first_row + threadIdx.x] = sum;
}

template <Precision kPrecision>
__global__ void __launch_bounds__(kThreads) pack_turned_kernel(const float* data, int64_t ld, int32_t kind, int64_t rows, int64_t depth, int64_t row_bytes, unsigned char* out) {
  turn_tile<kPrecision>(data, ld, kind, rows, depth, static_cast<int64_t>(blockIdx.x) * kDepthTile, static_cast<int64_t>(blockIdx.y) * kRowTile, row_bytes, row_bytes, out);
}

// grid: x tiles of depth within the longest sample, y tiles of rows, z samples.
template <Precision kPrecision>
__global__ void __launch_bounds__(kThreads) pack_samples_kernel(const float* data, int64_t ld, int32_t kind, int64_t width, int64_t samples, const int32_t* offsets,
                                                                const int64_t* first_stages, const int32_t* wanted, int64_t row_bytes, unsigned char* out) {
  constexpr int64_t kDepth = kTileRowBytes / 16 * kPieceNumbers<kPrecision>;
  for (int64_t s = blockIdx.z; s < samples; s += gridDim.z) {
    const int64_t begin = offsets[s], length = offsets[s + 1] - begin, first = static_cast<int64_t>(blockIdx.x) * kDepthTile;
    if (wanted[s] == 0 || first >= length) continue;
    turn_tile<kPrecision>(data + begin * ld, ld, kind, width, length, first, static_cast<int64_t>(blockIdx.y) * kRowTile, row_bytes, ceil_div(length, kDepth) * kTileRowBytes,
                          out + first_stages[s] * kTileRowBytes);
  }
}

template <Precision kPrecision>
int32_t pack(Context& context, const OperandSource& source, int64_t rows, int64_t more_rows, int64_t depth, int64_t row_bytes, unsigned char* out) {
  const int64_t padded = round_up<int64_t>(rows + more_rows, kTile);
  if (padded == 0 || row_bytes == 0) return MS_OK;
  if (source.transposed) {
    const dim3 grid{blocks_for(row_bytes / 16 * kPieceNumbers<kPrecision>, kDepthTile), static_cast<unsigned>(padded / kRowTile), 1};
    return launch(context, pack_turned_kernel<kPrecision>, grid, kThreads, 0, source.data, source.ld, source.activation, rows, depth, row_bytes, out);
  }
  const int64_t pieces = padded * (row_bytes / 16);
  return launch(context, pack_rows_kernel<kPrecision>, dim3{blocks_for(pieces, kThreads), 1, 1}, kThreads, 0, source.data, source.ld, source.activation, rows, depth,
                row_bytes, pieces, out);
}

}  // namespace

int32_t pack_operand(Context& context, Precision precision, const OperandSource& source, int64_t rows, int64_t depth, std::byte* memory, Operand* out,
                     int64_t more_rows) {
  auto* const data = reinterpret_cast<unsigned char*>(memory);
  *out = {data, rows, depth, operand_row_bytes(precision, depth)};
  switch (precision) {
    case Precision::bf16:
      return pack<Precision::bf16>(context, source, rows, more_rows, depth, out->row_bytes, data);
    case Precision::tf32:
      return pack<Precision::tf32>(context, source, rows, more_rows, depth, out->row_bytes, data);
    default:
      return pack<Precision::fp32>(context, source, rows, more_rows, depth, out->row_bytes, data);
  }
}

int32_t pack_both_ways(Context& context, Precision precision, const float* source, int64_t ld, int64_t rows, int64_t depth, std::byte* memory, Operand* out,
                       std::byte* straight_memory, float* column_partials) {
  auto* const data = reinterpret_cast<unsigned char*>(memory);
  *out = {data, rows, depth, operand_row_bytes(precision, depth)};
  if (rows == 0 || depth == 0) return MS_OK;
  static_assert(kDepthTile == 64);  // both_ways_shares
  const dim3 grid{static_cast<unsigned>(both_ways_shares(depth)), static_cast<unsigned>(round_up<int64_t>(rows, kTile) / kRowTile), 1};
  const auto run = [&](auto kernel) {
    return launch(context, kernel, grid, kThreads, 0, source, ld, rows, depth, out->row_bytes, data, operand_row_bytes(precision, rows),
                  reinterpret_cast<unsigned char*>(straight_memory), column_partials);
  };
  switch (precision) {
    case Precision::bf16:
      return run(pack_both_ways_kernel<Precision::bf16>);
    case Precision::tf32:
      return run(pack_both_ways_kernel<Precision::tf32>);
    default:
      return run(pack_both_ways_kernel<Precision::fp32>);
  }
}

int32_t pack_sample_columns(Context& context, Precision precision, const OperandSource& source, int64_t width, int64_t samples, const int32_t* offsets,
                            const int64_t* first_stages, const int32_t* wanted, int64_t longest, int64_t all_stages, std::byte* memory, Operand* out) {
  auto* const data = reinterpret_cast<unsigned char*>(memory);
  *out = {data, width, 0, all_stages * kTileRowBytes};
  if (width == 0 || samples == 0 || longest == 0) return MS_OK;
  const dim3 grid{blocks_for(longest, kDepthTile), static_cast<unsigned>(round_up<int64_t>(width, kTile) / kRowTile), static_cast<unsigned>(samples < 65535 ? samples : 65535)};
  const auto run = [&](auto kernel) {
    return launch(context, kernel, grid, kThreads, 0, source.data, source.ld, source.activation, width, samples, offsets, first_stages, wanted, out->row_bytes, data);
  };
  switch (precision) {
    case Precision::bf16:
      return run(pack_samples_kernel<Precision::bf16>);
    case Precision::tf32:
      return run(pack_samples_kernel<Precision::tf32>);
    default:
      return run(pack_samples_kernel<Precision::fp32>);
  }
}

}  // namespace mendset::cuda
