// Vec over NEON (AArch64): 4 lanes. The meaning of every function stands in cpu/simd_generic.inl.
namespace mendset::cpu::neon {

inline constexpr int kLanes = 4;
inline constexpr int kRegisters = 32;
struct Vec { float32x4_t v; };
struct Mask { uint32x4_t m; };
struct IVec { int32x4_t v; };

MS_INLINE Vec zero() { return {vdupq_n_f32(0.0f)}; }
MS_INLINE Vec set1(float a) { return {vdupq_n_f32(a)}; }
MS_INLINE Vec load(const float* p) { return {vld1q_f32(p)}; }
MS_INLINE Vec load_partial(const float* p, int64_t n) {
  float part[4] = {0.0f, 0.0f, 0.0f, 0.0f};
  for (int64_t i = 0; i < n; ++i) part[i] = p[i];
  return {vld1q_f32(part)};
}
MS_INLINE void store(float* p, Vec a) { vst1q_f32(p, a.v); }
MS_INLINE void store_partial(float* p, Vec a, int64_t n) {
  float part[4];
  vst1q_f32(part, a.v);
  for (int64_t i = 0; i < n; ++i) p[i] = part[i];
}
MS_INLINE Vec load_bf16(const uint16_t* p) { return {vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16))}; }
MS_INLINE Vec load_f16(const uint16_t* p) { return {vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)))}; }
MS_INLINE Vec operator+(Vec a, Vec b) { return {vaddq_f32(a.v, b.v)}; }
MS_INLINE Vec operator-(Vec a, Vec b) { return {vsubq_f32(a.v, b.v)}; }
MS_INLINE Vec operator*(Vec a, Vec b) { return {vmulq_f32(a.v, b.v)}; }
MS_INLINE Vec operator/(Vec a, Vec b) { return {vdivq_f32(a.v, b.v)}; }
MS_INLINE Vec fma(Vec a, Vec b, Vec c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
MS_INLINE Vec fma_exact(Vec a, Vec b, Vec c) { return fma(a, b, c); }
MS_INLINE Vec max(Vec a, Vec b) { return {vbslq_f32(vcgtq_f32(a.v, b.v), a.v, b.v)}; }
MS_INLINE Vec min(Vec a, Vec b) { return {vbslq_f32(vcltq_f32(a.v, b.v), a.v, b.v)}; }
MS_INLINE Vec sqrt(Vec a) { return {vsqrtq_f32(a.v)}; }
MS_INLINE Vec abs(Vec a) { return {vabsq_f32(a.v)}; }
MS_INLINE Vec nearest(Vec a) { return {vrndnq_f32(a.v)}; }
MS_INLINE Vec power_of_two(Vec n) { return {vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(n.v), vdupq_n_s32(127)), 23))}; }
MS_INLINE Mask less(Vec a, Vec b) { return {vcltq_f32(a.v, b.v)}; }
MS_INLINE Vec select(Mask m, Vec yes, Vec no) { return {vbslq_f32(m.m, yes.v, no.v)}; }
MS_INLINE bool any(Mask m) { return vmaxvq_u32(m.m) != 0; }
MS_INLINE uint32_t bits(Mask m) {
  const uint32_t places[4] = {1, 2, 4, 8};
  return vaddvq_u32(vandq_u32(m.m, vld1q_u32(places)));
}

MS_INLINE IVec iset1(int32_t a) { return {vdupq_n_s32(a)}; }
MS_INLINE IVec iota(int32_t first) {
  const int32_t lanes[4] = {0, 1, 2, 3};
  return {vaddq_s32(vdupq_n_s32(first), vld1q_s32(lanes))};
}
MS_INLINE IVec iload(const int32_t* p) { return {vld1q_s32(p)}; }
MS_INLINE void istore(int32_t* p, IVec a) { vst1q_s32(p, a.v); }
MS_INLINE IVec iselect(Mask m, IVec yes, IVec no) { return {vbslq_s32(m.m, yes.v, no.v)}; }

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
  const float32x4_t ab_low = vzip1q_f32(rows[0].v, rows[1].v), ab_high = vzip2q_f32(rows[0].v, rows[1].v);
  const float32x4_t cd_low = vzip1q_f32(rows[2].v, rows[3].v), cd_high = vzip2q_f32(rows[2].v, rows[3].v);
  rows[0].v = vreinterpretq_f32_f64(vzip1q_f64(vreinterpretq_f64_f32(ab_low), vreinterpretq_f64_f32(cd_low)));
  rows[1].v = vreinterpretq_f32_f64(vzip2q_f64(vreinterpretq_f64_f32(ab_low), vreinterpretq_f64_f32(cd_low)));
  rows[2].v = vreinterpretq_f32_f64(vzip1q_f64(vreinterpretq_f64_f32(ab_high), vreinterpretq_f64_f32(cd_high)));
  rows[3].v = vreinterpretq_f32_f64(vzip2q_f64(vreinterpretq_f64_f32(ab_high), vreinterpretq_f64_f32(cd_high)));
}

struct Sum64 {
  float64x2_t low = vdupq_n_f64(0.0), high = vdupq_n_f64(0.0);
  MS_MEMBER void add(Vec a) {
    low = vaddq_f64(low, vcvt_f64_f32(vget_low_f32(a.v)));
    high = vaddq_f64(high, vcvt_high_f64_f32(a.v));
  }
  MS_MEMBER void add_product(Vec a, Vec b) {
    low = vfmaq_f64(low, vcvt_f64_f32(vget_low_f32(a.v)), vcvt_f64_f32(vget_low_f32(b.v)));
    high = vfmaq_f64(high, vcvt_high_f64_f32(a.v), vcvt_high_f64_f32(b.v));
  }
  MS_MEMBER double total() const {
    const float64x2_t s = vaddq_f64(low, high);
    return vgetq_lane_f64(s, 0) + vgetq_lane_f64(s, 1);
  }
};

}  // namespace mendset::cpu::neon
