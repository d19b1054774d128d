namespace mendset::cpu::MENDSET_ISA {
namespace gemm {

inline constexpr int kRows = kLanes == 16 ? 12 : kLanes == 8 ? 6 : kRegisters == 32 ? 8 : 4;
inline constexpr int kVecs = kLanes == 4 && kRegisters == 32 ? 3 : 2;
inline constexpr int kColumns = kVecs * kLanes;
static_assert(kRows * kColumns <= kMostTileElements);

template <bool Exact> MS_INLINE Vec multiply_add(Vec a, Vec b, Vec c) {
  if constexpr (Exact) return fma_exact(a, b, c);
  else return fma(a, b, c);
}

template <int R, bool Exact> static void tile_of(int64_t depth, const float* a, const float* b, int64_t ld_b, float* tile, bool resume) {
  Vec sum[R][kVecs];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) sum[r][v] = resume ? load(tile + r * kColumns + v * kLanes) : zero();
  }
  for (int64_t p = 0; p < depth; ++p, a += kRows, b += ld_b) {
    Vec column[kVecs];
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) column[v] = load(b + v * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const Vec row = set1(a[r]);
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v) sum[r][v] = multiply_add<Exact>(row, column[v], sum[r][v]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) store(tile + r * kColumns + v * kLanes, sum[r][v]);
  }
}

template <bool Exact> static void tile_any(int64_t depth, const float* a, const float* b, int64_t ld_b, float* tile, bool resume, int64_t rows_used) {
  if (rows_used == 1) return tile_of<1, Exact>(depth, a, b, ld_b, tile, resume);
  if (rows_used <= 4 && kRows > 4) return tile_of<4, Exact>(depth, a, b, ld_b, tile, resume);
  if (rows_used <= 8 && kRows > 8) return tile_of<8, Exact>(depth, a, b, ld_b, tile, resume);
  return tile_of<kRows, Exact>(depth, a, b, ld_b, tile, resume);
}

inline constexpr int kRowsAtOnce = kRegisters == 32 ? 8 : 4;

template <int Vecs> MS_INLINE void rows_times_panel(int64_t depth, const float* const* rows, int64_t used, const float* b, float* tile) {
  constexpr int kSteps = Vecs == 1 ? 4 : 2;
  Vec sum[kRowsAtOnce][Vecs];
#pragma GCC unroll 8
  for (int r = 0; r < kRowsAtOnce; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < Vecs; ++v) sum[r][v] = zero();
  }
  int64_t p = 0;
  for (; p + kSteps <= depth; p += kSteps) {
#pragma GCC unroll 8
    for (int r = 0; r < kRowsAtOnce; ++r) {
#pragma GCC unroll 4
      for (int s = 0; s < kSteps; ++s) {
        const Vec x = set1(rows[r][p + s]);
#pragma GCC unroll 4
        for (int v = 0; v < Vecs; ++v) sum[r][v] = multiply_add<true>(x, load(b + (p + s) * kColumns + v * kLanes), sum[r][v]);
      }
    }
  }
  for (; p < depth; ++p) {
#pragma GCC unroll 8
    for (int r = 0; r < kRowsAtOnce; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < Vecs; ++v) sum[r][v] = multiply_add<true>(set1(rows[r][p]), load(b + p * kColumns + v * kLanes), sum[r][v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRowsAtOnce; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < Vecs; ++v) {
      if (r < used) store(tile + r * kColumns + v * kLanes, sum[r][v]);
    }
  }
}

static void tile_of_rows(int64_t depth, const float* const* rows, int64_t rows_used, const float* b, float* tile, int64_t columns_used) {
  for (int64_t first = 0; first < rows_used; first += kRowsAtOnce) {
    const float* group[kRowsAtOnce];
    for (int64_t r = 0; r < kRowsAtOnce; ++r) group[r] = rows[first + r < rows_used ? first + r : rows_used - 1];
    const int64_t used = rows_used - first < kRowsAtOnce ? rows_used - first : kRowsAtOnce;
    if (columns_used <= kLanes) rows_times_panel<1>(depth, group, used, b, tile + first * kColumns);
    else if (columns_used <= 2 * kLanes) rows_times_panel<2>(depth, group, used, b, tile + first * kColumns);
    else rows_times_panel<kVecs>(depth, group, used, b, tile + first * kColumns);
  }
}

// Four rows of depth p .. p+3 become four depths of four columns.
MS_INLINE void transpose_4x4(const float* source, int64_t ld, float* target, int64_t ld_target) {
  typedef float Four __attribute__((vector_size(16)));
  Four a, b, c, d;
  std::memcpy(&a, source, sizeof a);
  std::memcpy(&b, source + ld, sizeof b);
  std::memcpy(&c, source + 2 * ld, sizeof c);
  std::memcpy(&d, source + 3 * ld, sizeof d);
  const Four ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Four cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  const Four first = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5), second = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
  const Four third = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5), fourth = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
  std::memcpy(target, &first, sizeof a);
  std::memcpy(target + ld_target, &second, sizeof a);
  std::memcpy(target + 2 * ld_target, &third, sizeof a);
  std::memcpy(target + 3 * ld_target, &fourth, sizeof a);
}

// Depth 0 .. depth-1 of `used` (<= kLanes) rows, row_of(w) each, as kLanes columns of a panel `width` wide; columns without a row are zeros.
template <typename RowOf> MS_INLINE void pack_lanes(RowOf row_of, int64_t used, int64_t depth, float* panel, int64_t width) {
  for (int64_t p = 0; p < depth; p += kLanes) {
    const int64_t here = depth - p < kLanes ? depth - p : kLanes;
    Vec square[kLanes];
    if (here == kLanes && used == kLanes) {
#pragma GCC unroll 16
      for (int w = 0; w < kLanes; ++w) square[w] = load(row_of(w) + p);
    } else {
      for (int w = 0; w < kLanes; ++w) square[w] = w < used ? load_partial(row_of(w) + p, here) : zero();
    }
    transpose(square);
    if (here == kLanes) {
#pragma GCC unroll 16
      for (int q = 0; q < kLanes; ++q) store(panel + (p + q) * width, square[q]);
    } else {
      for (int64_t q = 0; q < here; ++q) store(panel + (p + q) * width, square[q]);
    }
  }
}

template <typename F> MS_INLINE void map_in_place(float* values, int64_t count, F f) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(values + i, f(load(values + i)));
  if (i < count) store_partial(values + i, f(load_partial(values + i, count - i)), count - i);
}

template <int Width> static void pack_panel(float* panel, const float* source, int64_t ld, bool depth_contiguous, int64_t width, int64_t depth) {
  if (!depth_contiguous) {
    if (width == Width) {
      for (int64_t p = 0; p < depth; ++p) std::memcpy(panel + p * Width, source + p * ld, Width * sizeof(float));
      return;
    }
    for (int64_t p = 0; p < depth; ++p) {
      for (int64_t w = 0; w < Width; ++w) panel[p * Width + w] = w < width ? source[p * ld + w] : 0.0f;
    }
    return;
  }
  int64_t w = 0;
  if constexpr (Width % kLanes == 0) {
    for (; w < Width; w += kLanes) {
      const float* const first = source + w * ld;
      pack_lanes([&](int64_t i) { return first + i * ld; }, width - w < kLanes ? (width > w ? width - w : 0) : kLanes, depth, panel + w, Width);
    }
    return;
  }
  for (; w + 4 <= width; w += 4) {
    const float* rows = source + w * ld;
    int64_t p = 0;
    for (; p + 4 <= depth; p += 4) transpose_4x4(rows + p, ld, panel + p * Width + w, Width);
    for (; p < depth; ++p) {
      for (int64_t i = 0; i < 4; ++i) panel[p * Width + w + i] = rows[i * ld + p];
    }
  }
  for (; w < Width; ++w) {
    if (w < width) {
      for (int64_t p = 0; p < depth; ++p) panel[p * Width + w] = source[w * ld + p];
    } else {
      for (int64_t p = 0; p < depth; ++p) panel[p * Width + w] = 0.0f;
    }
  }
}

static void pack(float* panel, int64_t panel_width, const float* source, int64_t ld, bool depth_contiguous, int64_t width, int64_t depth, int32_t activation) {
  if (panel_width == kRows) pack_panel<kRows>(panel, source, ld, depth_contiguous, width, depth);
  else pack_panel<kColumns>(panel, source, ld, depth_contiguous, width, depth);
  if (activation == MS_ACTIVATION_GELU_TANH) map_in_place(panel, panel_width * depth, [](Vec x) { return gelu_tanh(x); });
  if (activation == MS_ACTIVATION_GELU_ERF) map_in_place(panel, panel_width * depth, [](Vec x) { return gelu_erf(x); });
  if (activation == MS_ACTIVATION_RELU) map_in_place(panel, panel_width * depth, [](Vec x) { return relu(x); });
  if (activation == MS_ACTIVATION_SILU) map_in_place(panel, panel_width * depth, [](Vec x) { return silu(x); });
  if (activation == MS_ACTIVATION_TANH) map_in_place(panel, panel_width * depth, [](Vec x) { return tanh(x); });
}

static void pack_narrow(float* panel, const uint16_t* source, int32_t type, int64_t ld, bool depth_contiguous, int64_t width, int64_t depth) {
  if (!depth_contiguous) {
    for (int64_t p = 0; p < depth; ++p, panel += kColumns) {
      widen(panel, source + p * ld, type, width);
      for (int64_t w = width; w < kColumns; ++w) panel[w] = 0.0f;
    }
    return;
  }
  constexpr int64_t kPiece = 64;  // depths that are widened before they are turned
  float piece[kColumns * kPiece];
  for (int64_t p = 0; p < depth; p += kPiece) {
    const int64_t length = depth - p < kPiece ? depth - p : kPiece;
    for (int64_t w = 0; w < width; ++w) widen(piece + w * kPiece, source + w * ld + p, type, length);
    pack_panel<kColumns>(panel + p * kColumns, piece, kPiece, true, width, length);
  }
}

static void finish(const GemmOutput& output, const float* tile, int64_t row, int64_t column, int64_t rows_used, int64_t columns_used) {
  for (int64_t r = 0; r < rows_used; ++r, tile += kColumns) {
    float* const c = output.c + (row + r) * output.ld_c + column;
    const float* const residual = output.residual != nullptr ? output.residual + (row + r) * output.ld_c + column : nullptr;
    const float* const x = output.derivative != MS_ACTIVATION_NONE ? output.x + (row + r) * output.ld_x + column : nullptr;
    for (int64_t i = 0; i < columns_used; i += kLanes) {
      const int64_t left = columns_used - i;
      const auto read = [&](const float* from) { return left >= kLanes ? load(from) : load_partial(from, left); };
      Vec v = load(tile + i);
      if (output.bias != nullptr) v = v + read(output.bias + column + i);
      if (residual != nullptr) v = v + read(residual + i);
      if (output.derivative == MS_ACTIVATION_GELU_TANH) v = v * gelu_tanh_derivative(read(x + i));
      if (output.derivative == MS_ACTIVATION_GELU_ERF) v = v * gelu_erf_derivative(read(x + i));
      if (output.derivative == MS_ACTIVATION_RELU) v = v * relu_derivative(read(x + i));
      if (output.derivative == MS_ACTIVATION_SILU) v = v * silu_derivative(read(x + i));
      if (output.derivative == MS_ACTIVATION_TANH) v = v * tanh_derivative(read(x + i));
      if (output.beta == 1.0f) v = read(c + i) + v;
      else if (output.beta != 0.0f) v = fma(set1(output.beta), read(c + i), v);
      if (left >= kLanes) store(c + i, v);
      else store_partial(c + i, v, left);
    }
  }
}

static double tile_square(const float* tile) {
  Sum64 sum;
  for (int64_t i = 0; i < kRows * kColumns; i += kLanes) {
    const Vec v = load(tile + i);
    sum.add_product(v, v);
  }
  return sum.total();
}

static double tile_gram(const float* a, const float* b, int64_t row, int64_t column, int64_t rows_used, int64_t columns_used, double* norms) {
  if (row >= column + columns_used && rows_used == kRows) {  // all below the diagonal; columns beyond columns_used are zero
    Sum64 sum;
    for (int64_t i = 0; i < kRows * kColumns; i += kLanes) sum.add_product(load(a + i), load(b + i));
    return 2.0 * sum.total();
  }
  double below = 0, diagonal = 0;
  for (int64_t r = 0; r < rows_used; ++r) {
    for (int64_t c = 0; c < columns_used; ++c) {
      if (column + c > row + r) break;
      const double product = static_cast<double>(a[r * kColumns + c]) * static_cast<double>(b[r * kColumns + c]);
      if (column + c < row + r) {
        below += product;
      } else {
        diagonal += product;
        *norms += std::sqrt(product);
      }
    }
  }
  return 2.0 * below + diagonal;
}

static constexpr GemmKernels kernels = {
    .rows = kRows,
    .columns = kColumns,
    .depth_block = kColumns == 32 ? 256 : 384,
    .pack = pack,
    .pack_narrow = pack_narrow,
    .tile = tile_any<false>,
    .tile_exact = tile_any<true>,
    .tile_of_rows = tile_of_rows,
    .finish = finish,
    .tile_square = tile_square,
    .tile_gram = tile_gram,
};

}  // namespace gemm
}  // namespace mendset::cpu::MENDSET_ISA
