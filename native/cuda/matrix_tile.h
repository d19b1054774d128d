// The one main loop of every matrix product: a block of 256 threads computes 128 x 128 sums over depth of A(i, k) B(j, k), both operands with
// depth contiguous. Its variants differ in the arithmetic; where the sums lie in registers is the same for all, so whatever follows a product
// (bias, losses of a Gram matrix, nearest centres) is written once.
//
//   Warps stand 2 x 4, a warp has 64 x 32 sums: sum[m][n][i] is row 64 (warp / 4) + 16 m + lane / 4 + 8 (i / 2),
//   column 32 (warp % 4) + 8 n + 2 (lane % 4) + i % 2.
//
// Shared memory holds stages of 128 rows x 128 bytes for A and for B; the 16-byte piece c of row r lies at piece c ^ (r % 8), so that neither
// the copies nor the matrix loads meet a bank twice.
#pragma once

#include "cuda/precision.h"
#include "cuda/warp_matrix.h"

namespace mendset::cuda {

constexpr int kTile = 128;            // rows of A and of B
constexpr int kTileThreads = 256;
constexpr int kTileRowBytes = 128;    // of depth in one stage
constexpr int kStageBytes = 2 * kTile * kTileRowBytes;

using TileSums = float[4][4][4];

__device__ __forceinline__ int tile_row(int m, int i) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  return 64 * (warp / 4) + 16 * m + lane / 4 + 8 * (i / 2);
}
__device__ __forceinline__ int tile_column(int n, int i) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  return 32 * (warp % 4) + 8 * n + 2 * (lane % 4) + i % 2;
}
__device__ __forceinline__ int swizzled(int row, int piece) { return row * kTileRowBytes + ((piece ^ (row & 7)) << 4); }

// Operands prepared by pack_operand: whole tiles, zero beyond the matrix.
struct PackedTile {
  const unsigned char* first;  // row 0 of the tile, depth 0
  int64_t row_bytes;
  int64_t stages;

  __device__ __forceinline__ void load(unsigned char* shared, int64_t stage) const {
    for (int piece = static_cast<int>(threadIdx.x); piece < kTile * 8; piece += kTileThreads) {
      const int row = piece / 8;
      copy_async_16(shared + swizzled(row, piece % 8), first + row * row_bytes + stage * kTileRowBytes + (piece % 8) * 16, 16);
    }
  }
};

// fp32 rows as they lie in a caller's matrix: `rows` of them from `first`, `depth` numbers each, any alignment; zero beyond.
struct RowsTile {
  const float* first;
  int64_t ld;
  int64_t rows, depth;

  __device__ __forceinline__ void load(unsigned char* shared, int64_t stage) const {
    constexpr int kNumbers = kTileRowBytes / 4;
    const bool wide = (reinterpret_cast<uintptr_t>(first) & 15) == 0 && ld % 4 == 0;
    if (wide) {
      for (int piece = static_cast<int>(threadIdx.x); piece < kTile * 8; piece += kTileThreads) {
        const int row = piece / 8;
        const int64_t k = stage * kNumbers + (piece % 8) * 4;
        const int64_t left = row < rows ? depth - k : 0;
        unsigned char* const place = shared + swizzled(row, piece % 8);
        if (left >= 4) {
          copy_async_16(place, first + row * ld + k, 16);
        } else {
          for (int e = 0; e < 4; ++e) copy_async_4(place + 4 * e, e < left ? first + row * ld + k + e : first, e < left ? 4 : 0);
        }
      }
      return;
    }
    for (int cell = static_cast<int>(threadIdx.x); cell < kTile * kNumbers; cell += kTileThreads) {
      const int row = cell / kNumbers, column = cell % kNumbers;
      const int64_t k = stage * kNumbers + column;
      const bool inside = row < rows && k < depth;
      copy_async_4(shared + swizzled(row, column / 4) + column % 4 * 4, inside ? first + row * ld + k : first, inside ? 4 : 0);
    }
  }
};

// 128 rows of a dense matrix from row `first` on.
__device__ __forceinline__ RowsTile rows_tile(const float* matrix, int64_t rows, int64_t d, int64_t first) {
  return {matrix + first * d, d, rows - first < kTile ? rows - first : kTile, d};
}

__device__ __forceinline__ void clear(TileSums& sum) {
MS_UNROLL
  for (int m = 0; m < 4; ++m)
MS_UNROLL
    for (int n = 0; n < 4; ++n)
MS_UNROLL
      for (int i = 0; i < 4; ++i) sum[m][n][i] = 0.0f;
}

// visit(row, column, sum, own): every sum of this thread with its place in the tile; own: which of the thread's eight rows it is.
template <typename Visit>
__device__ __forceinline__ void for_each_sum(const TileSums& sum, Visit visit) {
MS_UNROLL
  for (int m = 0; m < 4; ++m)
MS_UNROLL
    for (int n = 0; n < 4; ++n)
MS_UNROLL
      for (int i = 0; i < 4; ++i) visit(tile_row(m, i), tile_column(n, i), sum[m][n][i], 2 * m + i / 2);
}

template <Precision>
struct TileArithmetic;

// Fragments of a warp for 32 bytes of depth: the same addresses serve 16 bfloat16 and 8 TF32 numbers.
struct WarpFragments {
  unsigned a[4][4], b[4][2];
  __device__ __forceinline__ void load(const unsigned char* left, const unsigned char* right, int step) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
MS_UNROLL
    for (int m = 0; m < 4; ++m) {
      const int row = 64 * (warp / 4) + 16 * m + lane % 16;
      load_matrices(a[m], left + swizzled(row, 2 * step + lane / 16));
    }
MS_UNROLL
    for (int n = 0; n < 4; n += 2) {
      const int row = 32 * (warp % 4) + 8 * n + lane % 8 + lane / 16 * 8;
      unsigned both[4];
      load_matrices(both, right + swizzled(row, 2 * step + lane / 8 % 2));
      b[n][0] = both[0], b[n][1] = both[1], b[n + 1][0] = both[2], b[n + 1][1] = both[3];
    }
  }
};

template <>
struct TileArithmetic<Precision::bf16> {
  using Element = uint16_t;
  static __device__ __forceinline__ void stage(TileSums& sum, const unsigned char* left, const unsigned char* right) {
MS_UNROLL
    for (int step = 0; step < 4; ++step) {
      WarpFragments f;
      f.load(left, right, step);
MS_UNROLL
      for (int m = 0; m < 4; ++m)
MS_UNROLL
        for (int n = 0; n < 4; ++n) multiply_bf16(sum[m][n], f.a[m], f.b[n]);
    }
  }
};

template <>
struct TileArithmetic<Precision::tf32> {
  using Element = float;
  static __device__ __forceinline__ void stage(TileSums& sum, const unsigned char* left, const unsigned char* right) {
MS_UNROLL
    for (int step = 0; step < 4; ++step) {
      WarpFragments f;
      f.load(left, right, step);
MS_UNROLL
      for (int m = 0; m < 4; ++m)
MS_UNROLL
        for (int n = 0; n < 4; ++n) multiply_tf32(sum[m][n], f.a[m], f.b[n]);
    }
  }
};

// x = high + low with both in TF32: high high + high low + low high leaves out low low, 2^-22 of the product.
template <>
struct TileArithmetic<Precision::tf32x3> {
  using Element = float;
  template <int kCount>
  static __device__ __forceinline__ void split(const unsigned (&x)[kCount], unsigned (&high)[kCount], unsigned (&low)[kCount]) {
MS_UNROLL
    for (int i = 0; i < kCount; ++i) {
      const float value = __uint_as_float(x[i]), upper = to_tf32(value);
      high[i] = __float_as_uint(upper);
      low[i] = __float_as_uint(to_tf32(value - upper));
    }
  }
  static __device__ __forceinline__ void stage(TileSums& sum, const unsigned char* left, const unsigned char* right) {
MS_UNROLL_BY(1)
    for (int step = 0; step < 4; ++step) {
      WarpFragments f;
      f.load(left, right, step);
      unsigned b_high[4][2], b_low[4][2];
MS_UNROLL
      for (int n = 0; n < 4; ++n) split(f.b[n], b_high[n], b_low[n]);
MS_UNROLL
      for (int m = 0; m < 4; ++m) {
        unsigned high[4], low[4];
        split(f.a[m], high, low);
MS_UNROLL
        for (int n = 0; n < 4; ++n) {
          multiply_tf32(sum[m][n], low, b_high[n]);
          multiply_tf32(sum[m][n], high, b_low[n]);
          multiply_tf32(sum[m][n], high, b_high[n]);
        }
      }
    }
  }
};

// One chain of fused multiply-adds per sum, ascending depth: the canonical dot product.
template <>
struct TileArithmetic<Precision::fp32> {
  using Element = float;
  static __device__ __forceinline__ float4 four(const unsigned char* matrix, int row, int piece) {
    return *reinterpret_cast<const float4*>(matrix + swizzled(row, piece));
  }
  static __device__ __forceinline__ void stage(TileSums& sum, const unsigned char* left, const unsigned char* right) {
MS_UNROLL_BY(1)
    for (int piece = 0; piece < 8; ++piece) {
      float4 b[4][2];
MS_UNROLL
      for (int n = 0; n < 4; ++n)
MS_UNROLL
        for (int i = 0; i < 2; ++i) b[n][i] = four(right, tile_column(n, i), piece);
MS_UNROLL
      for (int m = 0; m < 4; ++m) {
MS_UNROLL
        for (int half = 0; half < 2; ++half) {
          const float4 a = four(left, tile_row(m, 2 * half), piece);
MS_UNROLL
          for (int n = 0; n < 4; ++n) {
MS_UNROLL
            for (int i = 0; i < 2; ++i) {
              float total = sum[m][n][2 * half + i];
              total = fmaf(a.x, b[n][i].x, total);
              total = fmaf(a.y, b[n][i].y, total);
              total = fmaf(a.z, b[n][i].z, total);
              total = fmaf(a.w, b[n][i].w, total);
              sum[m][n][2 * half + i] = total;
            }
          }
        }
      }
    }
  }
};

// sum += A B^T over `stages` stages, kStages of them in shared memory at once. All threads of the block call it; the shared memory is free for other uses
// when it returns.
template <Precision kPrecision, int kStages, typename Left, typename Right>
__device__ __forceinline__ void tile_product(TileSums& sum, const Left& left, const Right& right, int64_t stages, unsigned char* shared) {
  if constexpr (kStages == 1) {
    __syncthreads();
    for (int64_t s = 0; s < stages; ++s) {
      left.load(shared, s);
      right.load(shared + kStageBytes / 2, s);
      commit_async();
      wait_async<0>();
      __syncthreads();
      TileArithmetic<kPrecision>::stage(sum, shared, shared + kStageBytes / 2);
      __syncthreads();
    }
  } else {
MS_UNROLL
    for (int s = 0; s < kStages - 1; ++s) {
      if (s < stages) {
        left.load(shared + s * kStageBytes, s);
        right.load(shared + s * kStageBytes + kStageBytes / 2, s);
      }
      commit_async();
    }
    for (int64_t s = 0; s < stages; ++s) {
      wait_async<kStages - 2>();
      __syncthreads();  // stage s has arrived for all; stage s - 1 is no longer read
      const int64_t next = s + kStages - 1;
      if (next < stages) {
        unsigned char* const place = shared + next % kStages * kStageBytes;
        left.load(place, next);
        right.load(place + kStageBytes / 2, next);
      }
      commit_async();
      const unsigned char* const current = shared + s % kStages * kStageBytes;
      TileArithmetic<kPrecision>::stage(sum, current, current + kStageBytes / 2);
    }
    wait_async<0>();
    __syncthreads();
  }
}

// Three stages hide more latency; two are all of the 64 KiB of sm_75, which computes in fp32 only: a kernel with them has no other shared memory.
template <Precision kPrecision>
constexpr int kStagesOf = kPrecision == Precision::fp32 ? 2 : 3;
template <Precision kPrecision>
constexpr size_t kTileSharedBytes = kStagesOf<kPrecision> * static_cast<size_t>(kStageBytes);
template <Precision kPrecision>
constexpr int64_t kStageDepth = kTileRowBytes / static_cast<int64_t>(sizeof(typename TileArithmetic<kPrecision>::Element));

// The canonical dot products of two tiles of rows. Uses all dynamic shared memory, which is free afterwards.
__device__ __forceinline__ void canonical_products(TileSums& dot, const RowsTile& left, const RowsTile& right) {
  clear(dot);
  tile_product<Precision::fp32, kStagesOf<Precision::fp32>>(dot, left, right, ceil_div<int64_t>(left.depth, kStageDepth<Precision::fp32>), dynamic_shared());
}

}  // namespace mendset::cuda
