namespace mendset::cpu::MENDSET_ISA {
namespace dense {

// Eight numbers in as many registers as they take.
inline constexpr int kDoubles = kLanes / 2, kParts = 8 / kDoubles;
typedef double Doubles __attribute__((vector_size(kDoubles * 8)));
typedef int64_t Counts __attribute__((vector_size(kDoubles * 8)));

// As many rows at once as their sums leave registers for.
inline constexpr int kDenseRows = kParts == 4 ? 2 : 4;

// In any order of the parts: sums[i % 8] of a row of numbers, added in one order.
MS_INLINE double sum_of(const Doubles* parts) {
  double s[8];
  std::memcpy(s, parts, sizeof s);
  return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

MS_INLINE Doubles at(const double* p) {
  Doubles x;
  std::memcpy(&x, p, sizeof x);
  return x;
}

static double dot(const double* a, const double* b, int64_t n) {
  Doubles sums[kParts] = {};
  int64_t p = 0;
  for (; p + 8 <= n; p += 8) {
#pragma GCC unroll 4
    for (int q = 0; q < kParts; ++q) sums[q] += at(a + p + q * kDoubles) * at(b + p + q * kDoubles);
  }
  double rest[8] = {}, more[8] = {};
  if (p < n) {
    std::memcpy(rest, a + p, static_cast<size_t>(n - p) * sizeof(double));
    std::memcpy(more, b + p, static_cast<size_t>(n - p) * sizeof(double));
#pragma GCC unroll 4
    for (int q = 0; q < kParts; ++q) sums[q] += at(rest + q * kDoubles) * at(more + q * kDoubles);
  }
  return sum_of(sums);
}

// Of number(0) .. number(n - 1), as `dot` adds its products.
template <typename Number> MS_INLINE double sum_by_eights(int64_t n, Number number) {
  double sums[8] = {};
  int64_t p = 0;
  for (; p + 8 <= n; p += 8) {
    for (int q = 0; q < 8; ++q) sums[q] += static_cast<double>(number(p + q));
  }
  for (int q = 0; p + q < n; ++q) sums[q] += static_cast<double>(number(p + q));
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

static double sum(const float* x, int64_t n) {
  return sum_by_eights(n, [x](int64_t i) { return x[i]; });
}

static double sum_of_least(const float* x, const float* y, int64_t n) {
  return sum_by_eights(n, [x, y](int64_t i) { return x[i] < y[i] ? x[i] : y[i]; });
}

static int32_t largest_bits(const float* x, int64_t n) {
  constexpr int kLanesAtOnce = 64;  // whole registers, several of them
  int32_t most[kLanesAtOnce] = {};
  int64_t i = 0;
  for (; i + kLanesAtOnce <= n; i += kLanesAtOnce) {
    for (int q = 0; q < kLanesAtOnce; ++q) {
      int32_t bits;
      std::memcpy(&bits, x + i + q, sizeof bits);
      bits &= 0x7fffffff;
      most[q] = bits > most[q] ? bits : most[q];
    }
  }
  int32_t all = 0;
  for (int q = 0; q < kLanesAtOnce; ++q) all = most[q] > all ? most[q] : all;
  for (; i < n; ++i) {
    int32_t bits;
    std::memcpy(&bits, x + i, sizeof bits);
    bits &= 0x7fffffff;
    all = bits > all ? bits : all;
  }
  return all;
}

static void subtract(double share, const double* from, double* to, int64_t n) {
  for (int64_t p = 0; p < n; ++p) to[p] -= share * from[p];
}

template <int Rows> MS_INLINE void update_rows(double* a, int64_t size, int64_t first, int64_t i, const double* v, const double* w, const double* u, double* products) {
  double* row[Rows];
  Doubles sums[Rows][kParts];
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
    row[r] = a + (i + r) * size;
#pragma GCC unroll 4
    for (int q = 0; q < kParts; ++q) sums[r][q] = Doubles{};
  }
  int64_t p = first / 8 * 8;  // whole cache lines where the rows begin at one
  for (; p + 8 <= size; p += 8) {
#pragma GCC unroll 4
    for (int q = 0; q < kParts; ++q) {
      const int64_t column = p + q * kDoubles;
      const Doubles vs = at(v + column), ws = at(w + column), us = at(u + column);
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r) {
        const Doubles x = at(row[r] + column) - (v[i + r] * ws + w[i + r] * vs);
        std::memcpy(row[r] + column, &x, sizeof x);
        sums[r][q] += x * us;
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
    double s[8];
    std::memcpy(s, sums[r], sizeof s);
    for (int64_t q = 0; p + q < size; ++q) {
      row[r][p + q] -= v[i + r] * w[p + q] + w[i + r] * v[p + q];
      s[q] += row[r][p + q] * u[p + q];
    }
    std::memcpy(sums[r], s, sizeof s);
    products[i + r] = sum_of(sums[r]);
  }
}

static void update_and_multiply(double* a, int64_t size, int64_t first, const double* v, const double* w, const double* u, double* products) {
  int64_t i = first;
  for (; i + kDenseRows <= size; i += kDenseRows) update_rows<kDenseRows>(a, size, first, i, v, w, u, products);
  for (; i < size; ++i) update_rows<1>(a, size, first, i, v, w, u, products);
}

// Sturm's sequence; divisions of one vector wait for each other, hence several vectors.
static void count_below(const double* diagonal, const double* squares, int64_t n, double smallest, const double* shifts, int64_t count, int64_t* below) {
  constexpr int kVectors = 4, kShifts = kVectors * kDoubles;
  const Doubles least = Doubles{} + smallest;
  for (int64_t first = 0; first < count; first += kShifts) {
    double shift[kShifts];
    int64_t counts[kShifts];
    for (int64_t i = 0; i < kShifts; ++i) shift[i] = shifts[first + i < count ? first + i : count - 1];
    Doubles x[kVectors], pivot[kVectors];
    Counts negative[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      x[v] = at(shift + v * kDoubles);
      pivot[v] = Doubles{} + 1;
      negative[v] = Counts{};
    }
    for (int64_t row = 0; row < n; ++row) {
      const Doubles square = Doubles{} + (row > 0 ? squares[row - 1] : 0), middle = Doubles{} + diagonal[row];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const Doubles next = (middle - x[v]) - square / pivot[v];
        const Counts tiny = (next < least) & (next > -least);
        pivot[v] = tiny ? -least : next;
        negative[v] += pivot[v] < 0;  // true is -1
      }
    }
    std::memcpy(counts, negative, sizeof counts);
    for (int64_t i = 0; i < kShifts && first + i < count; ++i) below[first + i] = -counts[i];
  }
}

}  // namespace dense

static constexpr DenseKernels dense_kernels = {
    .dot = dense::dot,
    .sum = dense::sum,
    .sum_of_least = dense::sum_of_least,
    .largest_bits = dense::largest_bits,
    .subtract = dense::subtract,
    .update_and_multiply = dense::update_and_multiply,
    .count_below = dense::count_below,
};

}  // namespace mendset::cpu::MENDSET_ISA
