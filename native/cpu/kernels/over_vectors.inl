// Loops over arrays whose length is not a multiple of the lanes.
namespace mendset::cpu::MENDSET_ISA {

struct Whole {
  MS_MEMBER Vec get(const float* p) const { return load(p); }
  MS_MEMBER void put(float* p, Vec a) const { store(p, a); }
  MS_MEMBER Vec keep(Vec a, Vec) const { return a; }
};

struct Part {
  int64_t n;  // 0 < n < kLanes
  MS_MEMBER Vec get(const float* p) const { return load_partial(p, n); }
  MS_MEMBER void put(float* p, Vec a) const { store_partial(p, a, n); }
  // a in the first n lanes, `otherwise` behind them
  MS_MEMBER Vec keep(Vec a, Vec otherwise) const {
    alignas(64) static constexpr float kOnes[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    return select(less(zero(), load_partial(kOnes, n)), a, otherwise);
  }
};

// body(lanes, index) for vectors at 0, kLanes, 2 kLanes ..; `lanes` loads and stores what is left of n.
template <typename Body>
MS_INLINE void over_vectors(int64_t n, Body body) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) body(Whole{}, i);
  if (i < n) body(Part{n - i}, i);
}

// n elements of MS_TYPE_BF16 or MS_TYPE_F16 as fp32
static inline void widen(float* y, const uint16_t* x, int32_t type, int64_t n) {
  int64_t i = 0;
  if (type == MS_TYPE_BF16) {
    for (; i + kLanes <= n; i += kLanes) store(y + i, load_bf16(x + i));
    for (; i < n; ++i) y[i] = float_from_bfloat16(x[i]);
  } else {
    for (; i + kLanes <= n; i += kLanes) store(y + i, load_f16(x + i));
    for (; i < n; ++i) y[i] = float_from_float16(x[i]);
  }
}

static inline double sum_of_squares(const float* x, int64_t n) {
  Sum64 sum;
  over_vectors(n, [&](auto lanes, int64_t i) {
    const Vec v = lanes.get(x + i);
    sum.add_product(v, v);
  });
  return sum.total();
}

// y += x
static inline void add_to(float* y, const float* x, int64_t n) {
  over_vectors(n, [&](auto lanes, int64_t i) { lanes.put(y + i, lanes.get(y + i) + lanes.get(x + i)); });
}

}  // namespace mendset::cpu::MENDSET_ISA
