// Vec over AVX2 + FMA: 8 lanes. The meaning of every function stands in cpu/simd_generic.inl.
namespace mendset::cpu::avx2 {

inline constexpr int kLanes = 8;
inline constexpr int kRegisters = 16;
struct Vec { __m256 v; };
struct Mask { __m256 m; };
struct IVec { __m256i v; };

alignas(32) inline constexpr int32_t kPartial[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
MS_INLINE __m256i first_lanes(int64_t n) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kPartial + 8 - n)); }

MS_INLINE Vec zero() { return {_mm256_setzero_ps()}; }
MS_INLINE Vec set1(float a) { return {_mm256_set1_ps(a)}; }
MS_INLINE Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
MS_INLINE Vec load_partial(const float* p, int64_t n) { return {_mm256_maskload_ps(p, first_lanes(n))}; }
MS_INLINE void store(float* p, Vec a) { _mm256_storeu_ps(p, a.v); }
MS_INLINE void store_partial(float* p, Vec a, int64_t n) { _mm256_maskstore_ps(p, first_lanes(n), a.v); }
MS_INLINE Vec load_bf16(const uint16_t* p) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))), 16))};
}
// Exponent and fraction in fp32's place are 2^-112 of the value, subnormals too. (F16C would be one more thing to ask the processor for.)
MS_INLINE Vec load_f16(const uint16_t* p) {
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  const __m256i magnitude = _mm256_slli_epi32(_mm256_and_si256(wide, _mm256_set1_epi32(0x7fff)), 13);
  const __m256i sign = _mm256_slli_epi32(_mm256_and_si256(wide, _mm256_set1_epi32(0x8000)), 16);
  return {_mm256_or_ps(_mm256_mul_ps(_mm256_castsi256_ps(magnitude), _mm256_set1_ps(0x1p112f)), _mm256_castsi256_ps(sign))};
}
MS_INLINE Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
MS_INLINE Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
MS_INLINE Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
MS_INLINE Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
MS_INLINE Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
MS_INLINE Vec fma_exact(Vec a, Vec b, Vec c) { return fma(a, b, c); }
MS_INLINE Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
MS_INLINE Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.v, b.v)}; }
MS_INLINE Vec sqrt(Vec a) { return {_mm256_sqrt_ps(a.v)}; }
MS_INLINE Vec abs(Vec a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
MS_INLINE Vec nearest(Vec a) { return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
MS_INLINE Vec power_of_two(Vec n) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n.v), _mm256_set1_epi32(127)), 23))};
}
MS_INLINE Mask less(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)}; }
MS_INLINE Vec select(Mask m, Vec yes, Vec no) { return {_mm256_blendv_ps(no.v, yes.v, m.m)}; }
MS_INLINE bool any(Mask m) { return _mm256_movemask_ps(m.m) != 0; }
MS_INLINE uint32_t bits(Mask m) { return static_cast<uint32_t>(_mm256_movemask_ps(m.m)); }

MS_INLINE IVec iset1(int32_t a) { return {_mm256_set1_epi32(a)}; }
MS_INLINE IVec iota(int32_t first) { return {_mm256_add_epi32(_mm256_set1_epi32(first), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))}; }
MS_INLINE IVec iload(const int32_t* p) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))}; }
MS_INLINE void istore(int32_t* p, IVec a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.v); }
MS_INLINE IVec iselect(Mask m, IVec yes, IVec no) {
  return {_mm256_castps_si256(_mm256_blendv_ps(_mm256_castsi256_ps(no.v), _mm256_castsi256_ps(yes.v), m.m))};
}

MS_INLINE float fold_add(__m128 s) {
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
MS_INLINE float fold_max(__m128 s) {
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
MS_INLINE Vec lookup(const float* table, int64_t size, const int32_t* index) {
  const __m256i places = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(index));
  if (size > 2 * kLanes) return {_mm256_i32gather_ps(table, places, 4)};
  const __m256 low = _mm256_permutevar8x32_ps(load_partial(table, size < kLanes ? size : kLanes).v, places);
  if (size <= kLanes) return {low};
  const __m256 high = _mm256_permutevar8x32_ps(load_partial(table + kLanes, size - kLanes).v, places);
  return {_mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_cmpgt_epi32(places, _mm256_set1_epi32(kLanes - 1))))};
}

MS_INLINE float reduce_add(Vec a) { return fold_add(_mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1))); }
MS_INLINE float reduce_max(Vec a) { return fold_max(_mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1))); }

// Lane i of vector j becomes lane j of vector i.
MS_INLINE void transpose(Vec (&rows)[kLanes]) {
  __m256 a[8], b[8];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    a[2 * i] = _mm256_unpacklo_ps(rows[2 * i].v, rows[2 * i + 1].v);
    a[2 * i + 1] = _mm256_unpackhi_ps(rows[2 * i].v, rows[2 * i + 1].v);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    b[4 * i] = _mm256_shuffle_ps(a[4 * i], a[4 * i + 2], 0x44);
    b[4 * i + 1] = _mm256_shuffle_ps(a[4 * i], a[4 * i + 2], 0xee);
    b[4 * i + 2] = _mm256_shuffle_ps(a[4 * i + 1], a[4 * i + 3], 0x44);
    b[4 * i + 3] = _mm256_shuffle_ps(a[4 * i + 1], a[4 * i + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    rows[i].v = _mm256_permute2f128_ps(b[i], b[4 + i], 0x20);
    rows[4 + i].v = _mm256_permute2f128_ps(b[i], b[4 + i], 0x31);
  }
}

struct Sum64 {
  __m256d low, high;
  MS_MEMBER Sum64() : low(_mm256_setzero_pd()), high(_mm256_setzero_pd()) {}  // an implicit one would be compiled for the baseline
  MS_MEMBER void add(Vec a) {
    low = _mm256_add_pd(low, _mm256_cvtps_pd(_mm256_castps256_ps128(a.v)));
    high = _mm256_add_pd(high, _mm256_cvtps_pd(_mm256_extractf128_ps(a.v, 1)));
  }
  MS_MEMBER void add_product(Vec a, Vec b) {
    low = _mm256_fmadd_pd(_mm256_cvtps_pd(_mm256_castps256_ps128(a.v)), _mm256_cvtps_pd(_mm256_castps256_ps128(b.v)), low);
    high = _mm256_fmadd_pd(_mm256_cvtps_pd(_mm256_extractf128_ps(a.v, 1)), _mm256_cvtps_pd(_mm256_extractf128_ps(b.v, 1)), high);
  }
  MS_MEMBER double total() const {
    double s[4];
    _mm256_storeu_pd(s, _mm256_add_pd(low, high));
    return (s[0] + s[2]) + (s[1] + s[3]);
  }
};

}  // namespace mendset::cpu::avx2
