// Per-sample squared Frobenius norms of f(x)^T d_y: batched Gram matrices that never leave the registers, or the direct product where it is
// cheaper or where the Gram form cancels.
#include <algorithm>

#include "cuda/cuda_operations.h"
#include "cuda/kept_rows.h"
#include "cuda/launch.h"
#include "cuda/reduce.h"

namespace mendset::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kColumns = 32, kLanes = 8;
constexpr double kCancelled = 1.0 / 1024;  // of the square to its bound

// Lower triangles cost T^2 (p + q), the direct product 2 T p q.
__host__ __device__ __forceinline__ bool gram_is_cheaper(int64_t length, int64_t in, int64_t out) { return length * (in + out) < 2 * in * out; }

// grid: x pairs of row tiles (i >= j) within the longest sample, y samples from first_sample. partials [samples, pairs, 2]: the pair's share of the
// square and, from diagonal pairs, of sum_t |a_t| |b_t|.
template <Precision kPrecision>
__global__ void __launch_bounds__(kTileThreads, 1) gram_kernel(Operand a, Operand b, const int32_t* offsets, int64_t first_sample, int64_t in, int64_t out, int64_t pairs,
                                                               double* partials) {
  const int64_t s = first_sample + blockIdx.y, begin = offsets[s], length = offsets[s + 1] - begin;
  int64_t i = 0, j = blockIdx.x;
  while (j > i) j -= ++i;
  if (i * kTile >= length || !gram_is_cheaper(length, in, out)) return;
  const auto tile = [&](const Operand& operand, int64_t index) {
    return PackedTile{operand.data + (begin + index * kTile) * operand.row_bytes, operand.row_bytes, operand.row_bytes / kTileRowBytes};
  };
  TileSums left, right;
  clear(left);
  clear(right);
  tile_product<kPrecision, kStagesOf<kPrecision>>(left, tile(a, i), tile(a, j), a.row_bytes / kTileRowBytes, dynamic_shared());
  tile_product<kPrecision, kStagesOf<kPrecision>>(right, tile(b, i), tile(b, j), b.row_bytes / kTileRowBytes, dynamic_shared());
  double square = 0, bound = 0;
MS_UNROLL
  for (int m = 0; m < 4; ++m) {
MS_UNROLL
    for (int n = 0; n < 4; ++n) {
MS_UNROLL
      for (int e = 0; e < 4; ++e) {
        const int64_t row = i * kTile + tile_row(m, e), column = j * kTile + tile_column(n, e);
        if (row >= length || column > row) continue;
        const double product = static_cast<double>(left[m][n][e]) * static_cast<double>(right[m][n][e]);
        square += column == row ? product : 2 * product;
        if (column == row && product > 0) bound += sqrt(product);
      }
    }
  }
  auto* const shared_sums = reinterpret_cast<double*>(dynamic_shared());  // the products are done with it
  square = block_sum(square, shared_sums);
  bound = block_sum(bound, shared_sums);
  if (threadIdx.x != 0) return;
  double* const place = partials + (s * pairs + blockIdx.x) * 2;
  place[0] = square;
  place[1] = bound;
}

// One thread per sample: keeps the Gram form's square, or asks for the direct product.
__global__ void __launch_bounds__(kThreads) choose_form_kernel(int64_t samples, const int32_t* offsets, int64_t in, int64_t out, int64_t pairs, const double* partials,
                                                               int32_t* direct, double* squares, int64_t stride) {
  const int64_t s = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (s >= samples) return;
  const int64_t length = offsets[s + 1] - offsets[s], tiles = ceil_div<int64_t>(length, kTile);
  direct[s] = 0;
  if (length == 0) return;
  if (!gram_is_cheaper(length, in, out)) {
    direct[s] = 1;
    return;
  }
  double square = 0, bound = 0;
  for (int64_t p = 0; p < tiles * (tiles + 1) / 2; ++p) {
    square += partials[(s * pairs + p) * 2];
    bound += partials[(s * pairs + p) * 2 + 1];
  }
  if (square < kCancelled * bound * bound) {
    direct[s] = 1;
  } else {
    squares[s * stride] += square;
  }
}

// first_stages[s]: where a sample's depth begins when every sample is padded to whole stages of `stage_depth` rows.
__global__ void place_samples_kernel(int64_t samples, const int32_t* offsets, int64_t stage_depth, int64_t* first_stages) {
  if (threadIdx.x != 0) return;
  int64_t stage = 0;
  for (int64_t s = 0; s < samples; ++s) {
    first_stages[s] = stage;
    stage += ceil_div<int64_t>(offsets[s + 1] - offsets[s], stage_depth);
  }
}

// grid: x tiles of out, y tiles of in, z samples from first_sample. partials [samples, tiles].
template <Precision kPrecision>
__global__ void __launch_bounds__(kTileThreads) direct_kernel(Operand a, Operand b, const int32_t* offsets, const int64_t* first_stages, const int32_t* direct,
                                                              int64_t first_sample, int64_t stage_depth, double* partials) {
  const int64_t s = first_sample + blockIdx.z;
  if (direct[s] == 0) return;
  const int64_t stages = ceil_div<int64_t>(offsets[s + 1] - offsets[s], stage_depth);
  TileSums sums;
  clear(sums);
  tile_product<kPrecision, kStagesOf<kPrecision>>(sums, a.tile(blockIdx.y, first_stages[s], stages), b.tile(blockIdx.x, first_stages[s], stages), stages, dynamic_shared());
  double square = 0;  // rows and columns beyond the matrices are zero
  for_each_sum(sums, [&](int, int, float sum, int) { square = fma(static_cast<double>(sum), static_cast<double>(sum), square); });
  square = block_sum(square, reinterpret_cast<double*>(dynamic_shared()));  // the product is done with it
  if (threadIdx.x == 0) partials[s * gridDim.x * gridDim.y + static_cast<int64_t>(blockIdx.y) * gridDim.x + blockIdx.x] = square;
}

__global__ void __launch_bounds__(kThreads) direct_final_kernel(int64_t samples, int64_t tiles, const int32_t* direct, const double* partials, double* squares, int64_t stride) {
  const int64_t s = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (s >= samples || direct[s] == 0) return;
  double sum = 0;
  for (int64_t i = 0; i < tiles; ++i) sum += partials[s * tiles + i];
  squares[s * stride] += sum;
}

// partials [samples, column groups]
__global__ void __launch_bounds__(kColumns* kLanes) bias_squares_kernel(const int32_t* offsets, int64_t width, const float* d_y, int64_t ld, double* partials) {
  __shared__ double sums[kLanes][kColumns];
  const int lane = static_cast<int>(threadIdx.x) / kColumns, within = static_cast<int>(threadIdx.x) % kColumns;
  const int64_t s = blockIdx.x, column = static_cast<int64_t>(blockIdx.y) * kColumns + within;
  double sum = 0;
  if (column < width) {
    for (int64_t t = offsets[s] + lane; t < offsets[s + 1]; t += kLanes) sum += static_cast<double>(d_y[t * ld + column]);
  }
  sums[lane][within] = sum;
  __syncthreads();
  if (lane != 0) return;
  for (int l = 1; l < kLanes; ++l) sum += sums[l][within];
  const double square = warp_sum(sum * sum);
  if (within == 0) partials[s * gridDim.y + blockIdx.y] = square;
}

__global__ void __launch_bounds__(kThreads) bias_final_kernel(int64_t samples, int64_t groups, const double* partials, double* squares, int64_t stride) {
  const int64_t s = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (s >= samples) return;
  double sum = 0;
  for (int64_t i = 0; i < groups; ++i) sum += partials[s * groups + i];
  squares[s * stride] += sum;
}

constexpr int64_t kMostSamples = 65535;  // of a grid's y and z

template <Precision kPrecision>
int32_t weight_squares(Context& context, const ms_linear_sample_norm_args& a) {
  const Precision precision = kPrecision;
  const int64_t tiles = ceil_div<int64_t>(a.max_length, kTile), pairs = tiles * (tiles + 1) / 2;
  const int64_t all_stages = ceil_div<int64_t>(a.rows, kStageDepth<kPrecision>) + a.samples;
  const int64_t in_tiles = ceil_div<int64_t>(a.in, kTile), out_tiles = ceil_div<int64_t>(a.out, kTile);
  const auto turned_bytes = [&](int64_t width) { return round_up<int64_t>(width, kTile) * all_stages * kTileRowBytes; };
  ScratchPlan plan;
  const size_t rows_d = plan.add<std::byte>(operand_bytes(precision, a.rows + kTile, a.out));  // first: the gradient of the input is next
  const size_t rows_x = plan.add<std::byte>(operand_bytes(precision, a.rows + kTile, a.in));
  const size_t turned_x = plan.add<std::byte>(turned_bytes(a.in)), turned_d = plan.add<std::byte>(turned_bytes(a.out));
  const size_t gram = plan.add<double>(a.samples * pairs * 2), products = plan.add<double>(a.samples * in_tiles * out_tiles);
  const size_t direct_at = plan.add<int32_t>(a.samples), stages_at = plan.add<int64_t>(a.samples);
  std::byte* base;
  MS_CUDA_TRY(reserve(context, plan.bytes(), &base));
  auto* const direct = at<int32_t>(base, direct_at);
  auto* const first_stages = at<int64_t>(base, stages_at);
  const OperandSource x{a.x, a.ld_x, false, a.x_activation}, d_y{a.d_y, a.ld_y, false, MS_ACTIVATION_NONE};

  Operand left, right;
  if (a.samples > 1 || gram_is_cheaper(a.rows, a.in, a.out)) {  // otherwise the one sample is too long for the Gram form
    MS_CUDA_TRY(pack_operand(context, precision, x, a.rows, a.in, base + rows_x, &left, kTile));
    MS_CUDA_TRY(pack_operand(context, precision, d_y, a.rows, a.out, base + rows_d, &right, kTile));
    const int64_t bytes = matrix_bytes(a.samples, 1, a.stride, sizeof(double));
    keep_rows(context, {a.d_y, a.ld_y, a.rows, a.out, MS_ACTIVATION_NONE}, {{a.weight_squares, bytes}, {a.bias_squares, bytes}});
    for (int64_t first = 0; first < a.samples; first += kMostSamples) {
      const dim3 grid{static_cast<unsigned>(pairs), static_cast<unsigned>(std::min(a.samples - first, kMostSamples)), 1};
      MS_CUDA_TRY(launch(context, gram_kernel<kPrecision>, grid, kTileThreads, kTileSharedBytes<kPrecision>, left, right, a.offsets, first, a.in, a.out, pairs,
                         at<double>(base, gram)));
    }
  }
  const dim3 per_sample{blocks_for(a.samples, kThreads), 1, 1};
  MS_CUDA_TRY(launch(context, choose_form_kernel, per_sample, kThreads, 0, a.samples, a.offsets, a.in, a.out, pairs, at<double>(base, gram), direct, a.weight_squares, a.stride));
  MS_CUDA_TRY(launch(context, place_samples_kernel, dim3{1, 1, 1}, kWarp, 0, a.samples, a.offsets, kStageDepth<kPrecision>, first_stages));
  MS_CUDA_TRY(pack_sample_columns(context, precision, x, a.in, a.samples, a.offsets, first_stages, direct, a.max_length, all_stages, base + turned_x, &left));
  MS_CUDA_TRY(pack_sample_columns(context, precision, d_y, a.out, a.samples, a.offsets, first_stages, direct, a.max_length, all_stages, base + turned_d, &right));
  for (int64_t first = 0; first < a.samples; first += kMostSamples) {
    const dim3 grid{static_cast<unsigned>(out_tiles), static_cast<unsigned>(in_tiles), static_cast<unsigned>(std::min(a.samples - first, kMostSamples))};
    MS_CUDA_TRY(launch(context, direct_kernel<kPrecision>, grid, kTileThreads, kTileSharedBytes<kPrecision>, left, right, a.offsets, first_stages, direct, first,
                       kStageDepth<kPrecision>, at<double>(base, products)));
  }
  return launch(context, direct_final_kernel, per_sample, kThreads, 0, a.samples, in_tiles * out_tiles, direct, at<double>(base, products), a.weight_squares, a.stride);
}

}  // namespace

int32_t linear_sample_norm(Context& context, const ms_linear_sample_norm_args& a) {
  if (a.samples == 0 || a.rows == 0) return MS_OK;
  if (a.bias_squares != nullptr && a.out > 0) {
    const int64_t groups = ceil_div<int64_t>(a.out, kColumns);
    std::byte* memory;
    MS_CUDA_TRY(reserve(context, static_cast<size_t>(a.samples * groups) * sizeof(double), &memory));
    auto* const partials = at<double>(memory, 0);
    const dim3 grid{static_cast<unsigned>(a.samples), static_cast<unsigned>(groups), 1};
    MS_CUDA_TRY(launch(context, bias_squares_kernel, grid, kColumns * kLanes, 0, a.offsets, a.out, a.d_y, a.ld_y, partials));
    MS_CUDA_TRY(launch(context, bias_final_kernel, dim3{blocks_for(a.samples, kThreads), 1, 1}, kThreads, 0, a.samples, groups, partials, a.bias_squares, a.stride));
  }
  if (a.weight_squares == nullptr || a.in == 0 || a.out == 0) return MS_OK;
  switch (context.precision) {
    case Precision::bf16:
      return weight_squares<Precision::bf16>(context, a);
    case Precision::tf32:
      return weight_squares<Precision::tf32>(context, a);
    case Precision::tf32x3:
      return weight_squares<Precision::tf32x3>(context, a);
    default:
      return weight_squares<Precision::fp32>(context, a);
  }
}

}  // namespace mendset::cuda
