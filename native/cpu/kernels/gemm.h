// Blocks of matrix products. A product's left operand is cut into panels of `rows` rows, stored [depth][rows]; its right operand into
// panels of `columns` columns, stored [depth][columns]; one panel times one panel is a tile of rows x columns elements, row-major.
#pragma once

#include <cstdint>

namespace mendset::cpu {

inline constexpr int64_t kMostTileElements = 12 * 32;

// What becomes of a finished element v at (row, column):  c = beta c + f'(x) (v + bias + residual). Absent parts are null / 0 / none.
struct GemmOutput {
  float* c = nullptr;
  int64_t ld_c = 0;
  float beta = 0;
  const float* bias = nullptr;
  const float* residual = nullptr;  // leading dimension ld_c, may be c itself
  int32_t derivative = 0;           // MS_ACTIVATION_*: whose derivative at x multiplies
  const float* x = nullptr;
  int64_t ld_x = 0;
};

struct GemmKernels {
  int64_t rows, columns;  // of a tile
  int64_t depth_block;    // depth at which a right panel still lies in the first-level cache
  // Element (w, p) of the operand is source[w * ld + p] when depth_contiguous, source[p * ld + w] otherwise. Writes panel[p * panel_width + w]
  // for p < depth, with zeros for width <= w < panel_width, and applies the activation.
  void (*pack)(float* panel, int64_t panel_width, const float* source, int64_t ld, bool depth_contiguous, int64_t width, int64_t depth, int32_t activation);
  // The same without activation from elements of 16 bits (MS_TYPE_BF16, MS_TYPE_F16), for panels of `columns`.
  void (*pack_narrow)(float* panel, const uint16_t* source, int32_t type, int64_t ld, bool depth_contiguous, int64_t width, int64_t depth);
  // tile (+)= a b over `depth`: one FMA chain per element in ascending depth, continued from the tile when `resume`. Only the first `rows_used`
  // rows are computed. b has `ld_b` floats from one depth to the next.
  void (*tile)(int64_t depth, const float* a, const float* b, int64_t ld_b, float* tile, bool resume, int64_t rows_used);
  // The same with one rounding per step on every processor: for results that decide an index.
  void (*tile_exact)(int64_t depth, const float* a, const float* b, int64_t ld_b, float* tile, bool resume, int64_t rows_used);
  // The same for rows of the left operand that lie anywhere, unpacked, and a right panel of `columns`: tile[w][c] = rows[w] . column c for the first
  // columns_used (rounded up to whole vectors). Cheaper than packing where few columns wait for the rows.
  void (*tile_of_rows)(int64_t depth, const float* const* rows, int64_t rows_used, const float* b, float* tile, int64_t columns_used);
  void (*finish)(const GemmOutput& output, const float* tile, int64_t row, int64_t column, int64_t rows_used, int64_t columns_used);
  double (*tile_square)(const float* tile);  // sum of squares of all elements
  // For Gram matrices: sum over the tile of weight * a * b, weight 2 below the diagonal, 1 on it, 0 above (row and column are the tile's first).
  // *norms receives the sum over diagonal elements of sqrt(a b).
  double (*tile_gram)(const float* a, const float* b, int64_t row, int64_t column, int64_t rows_used, int64_t columns_used, double* norms);
};

}  // namespace mendset::cpu
