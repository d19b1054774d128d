// C(i, j) = sum over depth of A(i, k) B(j, k), handed to an epilogue: epilogue(row, column, sum).
#pragma once

#include <algorithm>

#include "cuda/context.h"
#include "cuda/launch.h"
#include "cuda/operand.h"

namespace mendset::cuda {

// grid: x column tiles, y row tiles, z shares of depth. With more than one share the sums of share z go to partials + z * rows * columns.
template <Precision kPrecision, typename Epilogue>
__global__ void __launch_bounds__(kTileThreads) product_kernel(Operand a, Operand b, int64_t stages_per_share, float* partials, Epilogue epilogue) {
  const int64_t first = static_cast<int64_t>(blockIdx.z) * stages_per_share, left = a.row_bytes / kTileRowBytes - first;
  const int64_t stages = left < stages_per_share ? left : stages_per_share;
  const int64_t rows = a.rows, columns = b.rows;
  TileSums sums;
  clear(sums);
  tile_product<kPrecision, kStagesOf<kPrecision>>(sums, a.tile(blockIdx.y, first, stages), b.tile(blockIdx.x, first, stages), stages, dynamic_shared());
  for_each_sum(sums, [&](int tile_row, int tile_column, float sum, int) {
    const int64_t row = static_cast<int64_t>(blockIdx.y) * kTile + tile_row, column = static_cast<int64_t>(blockIdx.x) * kTile + tile_column;
    if (row >= rows || column >= columns) return;
    if (partials != nullptr) {
      partials[(static_cast<int64_t>(blockIdx.z) * rows + row) * columns + column] = sum;
    } else {
      epilogue(row, column, sum);
    }
  });
}

// The shares of depth in ascending order.
template <typename Epilogue>
__global__ void __launch_bounds__(256) product_shares_kernel(const float* partials, int64_t rows, int64_t columns, int shares, Epilogue epilogue) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * 256 + threadIdx.x;
  if (index >= rows * columns) return;
  float sum = 0.0f;
  for (int z = 0; z < shares; ++z) sum += partials[z * rows * columns + index];
  epilogue(index / columns, index % columns, sum);
}

// Few tiles and a long depth leave most of the device idle: then depth is shared out.
inline int product_shares(const Context& context, int64_t rows, int64_t columns, int64_t stages) {
  const int64_t tiles = ceil_div<int64_t>(rows, kTile) * ceil_div<int64_t>(columns, kTile);
  if (tiles == 0) return 1;
  return static_cast<int>(std::clamp<int64_t>(std::min<int64_t>(2 * context.multiprocessors / tiles, stages / 8), 1, 16));
}
inline int64_t product_partial_count(const Context& context, int64_t rows, int64_t columns, int64_t stages) {
  const int shares = product_shares(context, rows, columns, stages);
  return shares > 1 ? shares * rows * columns : 0;
}

// partials: room for product_partial_count numbers.
template <typename Epilogue>
int32_t multiply(Context& context, Precision precision, const Operand& a, const Operand& b, float* partials, Epilogue epilogue) {
  if (a.rows == 0 || b.rows == 0) return MS_OK;
  const int64_t stages = a.stages();
  const int shares = product_shares(context, a.rows, b.rows, stages);
  const int64_t per_share = ceil_div<int64_t>(stages, shares);
  const dim3 grid{static_cast<unsigned>(b.row_tiles()), static_cast<unsigned>(a.row_tiles()), static_cast<unsigned>(shares)};
  float* const target = shares > 1 ? partials : nullptr;
  const auto run = [&]<Precision kPrecision>() {
    return launch(context, product_kernel<kPrecision, Epilogue>, grid, kTileThreads, kTileSharedBytes<kPrecision>, a, b, per_share, target, epilogue);
  };
  int32_t result;
  switch (precision) {
    case Precision::bf16:
      result = run.template operator()<Precision::bf16>();
      break;
    case Precision::tf32:
      result = run.template operator()<Precision::tf32>();
      break;
    case Precision::tf32x3:
      result = run.template operator()<Precision::tf32x3>();
      break;
    default:
      result = run.template operator()<Precision::fp32>();
  }
  if (result != MS_OK || shares == 1) return result;
  return launch(context, product_shares_kernel<Epilogue>, dim3{blocks_for(a.rows * b.rows, 256), 1, 1}, 256, 0, partials, a.rows, b.rows, shares, epilogue);
}

}  // namespace mendset::cuda
