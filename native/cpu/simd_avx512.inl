// Vec over AVX-512 F, BW, DQ, VL: 16 lanes. The meaning of every function stands in cpu/simd_generic.inl.
namespace mendset::cpu::avx512 {

inline constexpr int kLanes = 16;
inline constexpr int kRegisters = 32;
struct Vec { __m512 v; };
struct Mask { __mmask16 m; };
struct IVec { __m512i v; };

MS_INLINE __mmask16 first_lanes(int64_t n) { return static_cast<__mmask16>((1u << n) - 1u); }

MS_INLINE Vec zero() { return {_mm512_setzero_ps()}; }
MS_INLINE Vec set1(float a) { return {_mm512_set1_ps(a)}; }
MS_INLINE Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
MS_INLINE Vec load_partial(const float* p, int64_t n) { return {_mm512_maskz_loadu_ps(first_lanes(n), p)}; }
MS_INLINE void store(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
MS_INLINE void store_partial(float* p, Vec a, int64_t n) { _mm512_mask_storeu_ps(p, first_lanes(n), a.v); }
MS_INLINE Vec load_bf16(const uint16_t* p) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16))};
}
MS_INLINE Vec load_f16(const uint16_t* p) { return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))}; }
MS_INLINE Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
MS_INLINE Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
MS_INLINE Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
MS_INLINE Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
MS_INLINE Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
MS_INLINE Vec fma_exact(Vec a, Vec b, Vec c) { return fma(a, b, c); }
MS_INLINE Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
MS_INLINE Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
MS_INLINE Vec sqrt(Vec a) { return {_mm512_sqrt_ps(a.v)}; }
MS_INLINE Vec abs(Vec a) { return {_mm512_abs_ps(a.v)}; }
MS_INLINE Vec nearest(Vec a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
MS_INLINE Vec power_of_two(Vec n) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n.v), _mm512_set1_epi32(127)), 23))};
}
MS_INLINE Mask less(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
MS_INLINE Vec select(Mask m, Vec yes, Vec no) { return {_mm512_mask_blend_ps(m.m, no.v, yes.v)}; }
MS_INLINE bool any(Mask m) { return m.m != 0; }
MS_INLINE uint32_t bits(Mask m) { return m.m; }

MS_INLINE IVec iset1(int32_t a) { return {_mm512_set1_epi32(a)}; }
MS_INLINE IVec iota(int32_t first) {
  return {_mm512_add_epi32(_mm512_set1_epi32(first), _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))};
}
MS_INLINE IVec iload(const int32_t* p) { return {_mm512_loadu_si512(p)}; }
MS_INLINE void istore(int32_t* p, IVec a) { _mm512_storeu_si512(p, a.v); }
MS_INLINE IVec iselect(Mask m, IVec yes, IVec no) { return {_mm512_mask_blend_epi32(m.m, no.v, yes.v)}; }

// table[index] lane by lane; the table has `size` numbers.
MS_INLINE Vec lookup(const float* table, int64_t size, const int32_t* index) {
  const __m512i places = _mm512_loadu_si512(index);
  if (size > 2 * kLanes) return {_mm512_i32gather_ps(places, table, 4)};
  if (size <= kLanes) return {_mm512_permutexvar_ps(places, load_partial(table, size).v)};
  return {_mm512_permutex2var_ps(_mm512_loadu_ps(table), places, load_partial(table + kLanes, size - kLanes).v)};
}

MS_INLINE float reduce_add(Vec a) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
MS_INLINE float reduce_max(Vec a) {
  const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

// Lane i of vector j becomes lane j of vector i.
MS_INLINE void transpose(Vec (&rows)[kLanes]) {
  __m512 a[16], b[16];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    a[2 * i] = _mm512_unpacklo_ps(rows[2 * i].v, rows[2 * i + 1].v);
    a[2 * i + 1] = _mm512_unpackhi_ps(rows[2 * i].v, rows[2 * i + 1].v);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    b[4 * i] = _mm512_shuffle_ps(a[4 * i], a[4 * i + 2], 0x44);
    b[4 * i + 1] = _mm512_shuffle_ps(a[4 * i], a[4 * i + 2], 0xee);
    b[4 * i + 2] = _mm512_shuffle_ps(a[4 * i + 1], a[4 * i + 3], 0x44);
    b[4 * i + 3] = _mm512_shuffle_ps(a[4 * i + 1], a[4 * i + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {  // quarters q of rows 4 g .. 4 g + 3 stand in b[4 g + i]: column 4 q + i
    const __m512 low = _mm512_shuffle_f32x4(b[i], b[4 + i], 0x88), low_odd = _mm512_shuffle_f32x4(b[i], b[4 + i], 0xdd);
    const __m512 high = _mm512_shuffle_f32x4(b[8 + i], b[12 + i], 0x88), high_odd = _mm512_shuffle_f32x4(b[8 + i], b[12 + i], 0xdd);
    rows[i].v = _mm512_shuffle_f32x4(low, high, 0x88);
    rows[4 + i].v = _mm512_shuffle_f32x4(low_odd, high_odd, 0x88);
    rows[8 + i].v = _mm512_shuffle_f32x4(low, high, 0xdd);
    rows[12 + i].v = _mm512_shuffle_f32x4(low_odd, high_odd, 0xdd);
  }
}

struct Sum64 {
  __m512d low, high;
  MS_MEMBER Sum64() : low(_mm512_setzero_pd()), high(_mm512_setzero_pd()) {}  // an implicit one would be compiled for the baseline
  MS_MEMBER static __m512d first_half(Vec a) { return _mm512_cvtps_pd(_mm512_castps512_ps256(a.v)); }
  MS_MEMBER static __m512d second_half(Vec a) { return _mm512_cvtps_pd(_mm512_extractf32x8_ps(a.v, 1)); }
  MS_MEMBER void add(Vec a) {
    low = _mm512_add_pd(low, first_half(a));
    high = _mm512_add_pd(high, second_half(a));
  }
  MS_MEMBER void add_product(Vec a, Vec b) {
    low = _mm512_fmadd_pd(first_half(a), first_half(b), low);
    high = _mm512_fmadd_pd(second_half(a), second_half(b), high);
  }
  MS_MEMBER double total() const {
    double s[8];
    _mm512_storeu_pd(s, _mm512_add_pd(low, high));
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
  }
};

}  // namespace mendset::cpu::avx512
