// Vec without intrinsics: 4 lanes of the compiler's own vector type, which every processor can carry out. Documents what each function
// means on every instruction set.
namespace mendset::cpu::generic {

inline constexpr int kLanes = 4;
inline constexpr int kRegisters = 16;
typedef float FloatLanes __attribute__((vector_size(16)));
typedef int32_t IntLanes __attribute__((vector_size(16)));

struct Vec { FloatLanes v; };     // kLanes floats
struct Mask { IntLanes m; };      // kLanes truths
struct IVec { IntLanes v; };      // kLanes int32, to carry indices beside values

MS_INLINE Vec zero() { return {FloatLanes{0, 0, 0, 0}}; }
MS_INLINE Vec set1(float a) { return {FloatLanes{a, a, a, a}}; }
// No alignment is needed anywhere.
MS_INLINE Vec load(const float* p) {
  Vec a;
  std::memcpy(&a.v, p, sizeof a.v);
  return a;
}
MS_INLINE void store(float* p, Vec a) { std::memcpy(p, &a.v, sizeof a.v); }
// The first n lanes, 0 <= n <= kLanes; the other lanes load as 0 and are not stored. Memory behind them is not touched.
MS_INLINE Vec load_partial(const float* p, int64_t n) {
  Vec a = zero();
  for (int64_t i = 0; i < n; ++i) a.v[i] = p[i];
  return a;
}
MS_INLINE void store_partial(float* p, Vec a, int64_t n) {
  for (int64_t i = 0; i < n; ++i) p[i] = a.v[i];
}
// kLanes floats of 16 bits, widened exactly.
MS_INLINE Vec load_bf16(const uint16_t* p) {
  Vec a;
  for (int i = 0; i < kLanes; ++i) a.v[i] = float_from_bfloat16(p[i]);
  return a;
}
MS_INLINE Vec load_f16(const uint16_t* p) {
  Vec a;
  for (int i = 0; i < kLanes; ++i) a.v[i] = float_from_float16(p[i]);
  return a;
}
MS_INLINE Vec operator+(Vec a, Vec b) { return {a.v + b.v}; }
MS_INLINE Vec operator-(Vec a, Vec b) { return {a.v - b.v}; }
MS_INLINE Vec operator*(Vec a, Vec b) { return {a.v * b.v}; }
MS_INLINE Vec operator/(Vec a, Vec b) { return {a.v / b.v}; }
MS_INLINE Vec fma(Vec a, Vec b, Vec c) { return {a.v * b.v + c.v}; }
// a * b + c with one rounding everywhere: for whatever decides an index.
MS_INLINE Vec fma_exact(Vec a, Vec b, Vec c) {
  Vec r;
  for (int i = 0; i < kLanes; ++i) r.v[i] = std::fma(a.v[i], b.v[i], c.v[i]);
  return r;
}
// a > b ? a : b and a < b ? a : b: the second argument when either is NaN.
MS_INLINE Vec max(Vec a, Vec b) { return {a.v > b.v ? a.v : b.v}; }
MS_INLINE Vec min(Vec a, Vec b) { return {a.v < b.v ? a.v : b.v}; }
MS_INLINE Vec sqrt(Vec a) {
  Vec r;
  for (int i = 0; i < kLanes; ++i) r.v[i] = std::sqrt(a.v[i]);
  return r;
}
MS_INLINE Vec abs(Vec a) { return {(FloatLanes)((IntLanes)a.v & 0x7fffffff)}; }
// Nearest integer, as a float; |a| < 2^22 (exact ties to even).
MS_INLINE Vec nearest(Vec a) {
  const FloatLanes shift = set1(0x1.8p23f).v;
  return {(a.v + shift) - shift};
}
// 2^n for integer-valued lanes, -126 <= n <= 127.
MS_INLINE Vec power_of_two(Vec n) {
  IntLanes exponent;
  for (int i = 0; i < kLanes; ++i) exponent[i] = (static_cast<int32_t>(n.v[i]) + 127) << 23;
  return {(FloatLanes)exponent};
}
MS_INLINE Mask less(Vec a, Vec b) { return {a.v < b.v}; }  // false when either is NaN
MS_INLINE Vec select(Mask m, Vec yes, Vec no) { return {m.m ? yes.v : no.v}; }
MS_INLINE bool any(Mask m) { return (m.m[0] | m.m[1] | m.m[2] | m.m[3]) != 0; }
// Bit i: the truth of lane i.
MS_INLINE uint32_t bits(Mask m) {
  uint32_t all = 0;
  for (int i = 0; i < kLanes; ++i) all |= m.m[i] != 0 ? 1u << i : 0u;
  return all;
}

MS_INLINE IVec iset1(int32_t a) { return {IntLanes{a, a, a, a}}; }
MS_INLINE IVec iota(int32_t first) { return {IntLanes{first, first + 1, first + 2, first + 3}}; }
MS_INLINE IVec iload(const int32_t* p) {
  IVec a;
  std::memcpy(&a.v, p, sizeof a.v);
  return a;
}
MS_INLINE void istore(int32_t* p, IVec a) { std::memcpy(p, &a.v, sizeof a.v); }
MS_INLINE IVec iselect(Mask m, IVec yes, IVec no) { return {m.m ? yes.v : no.v}; }

// Sum and maximum of the lanes: the upper half is folded onto the lower until one lane is left.
MS_INLINE Vec lookup(const float* table, int64_t, const int32_t* index) {
  const float values[kLanes] = {table[index[0]], table[index[1]], table[index[2]], table[index[3]]};
  return load(values);
}

MS_INLINE float reduce_add(Vec a) {
  float s[kLanes];
  store(s, a);
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) s[i] += s[i + half];
  }
  return s[0];
}
MS_INLINE float reduce_max(Vec a) {
  float s[kLanes];
  store(s, a);
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) s[i] = s[i] > s[i + half] ? s[i] : s[i + half];
  }
  return s[0];
}

// Lane i of vector j becomes lane j of vector i.
MS_INLINE void transpose(Vec (&rows)[kLanes]) {
  const FloatLanes ab_low = __builtin_shufflevector(rows[0].v, rows[1].v, 0, 4, 1, 5), ab_high = __builtin_shufflevector(rows[0].v, rows[1].v, 2, 6, 3, 7);
  const FloatLanes cd_low = __builtin_shufflevector(rows[2].v, rows[3].v, 0, 4, 1, 5), cd_high = __builtin_shufflevector(rows[2].v, rows[3].v, 2, 6, 3, 7);
  rows[0].v = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5);
  rows[1].v = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
  rows[2].v = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
  rows[3].v = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
}

// Running sums in fp64, one per lane (or pair of lanes), added up in a fixed order by total().

struct Sum64 {
  double lanes[kLanes] = {};
  MS_MEMBER void add(Vec a) {
    for (int i = 0; i < kLanes; ++i) lanes[i] += static_cast<double>(a.v[i]);
  }
  MS_MEMBER void add_product(Vec a, Vec b) {  // products of floats are exact in fp64
    for (int i = 0; i < kLanes; ++i) lanes[i] += static_cast<double>(a.v[i]) * static_cast<double>(b.v[i]);
  }
  MS_MEMBER double total() const { return (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]); }
};

}  // namespace mendset::cpu::generic
