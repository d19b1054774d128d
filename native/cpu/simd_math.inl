// Functions over Vec that are the same on every instruction set. Polynomials are minimax fits of ours (weighted least squares,
// Lawson's iteration) on the stated interval.
namespace mendset::cpu::MENDSET_ISA {

// e^x to 2 units in the last place for -87.3 <= x <= 88.3; 0 below, the value at 88.3 above.
MS_INLINE Vec exp(Vec x) {
  const Vec lowest = set1(-87.3f);
  const Vec bounded = max(min(x, set1(88.3f)), lowest);
  const Vec n = nearest(bounded * set1(1.44269504f));
  Vec r = fma(n, set1(-0x1.62ep-1f), bounded);   // ln 2 in two parts: n times the first is exact
  r = fma(n, set1(-0x1.0bfbe8p-15f), r);
  Vec p = set1(0x1.6a242cp-10f);                 // (e^r - 1 - r) / r^2, |r| <= 0.3466
  p = fma(p, r, set1(0x1.1239e8p-7f));
  p = fma(p, r, set1(0x1.5558f2p-5f));
  p = fma(p, r, set1(0x1.555492p-3f));
  p = fma(p, r, set1(0x1.fffffcp-2f));
  const Vec value = fma(r * r, p, r) + set1(1.0f);
  return select(less(x, lowest), zero(), value * power_of_two(n));
}

MS_INLINE Vec relu(Vec x) { return max(x, zero()); }
MS_INLINE Vec relu_derivative(Vec x) { return select(less(zero(), x), set1(1.0f), zero()); }

MS_INLINE Vec sigmoid(Vec x) { return set1(1.0f) / (set1(1.0f) + exp(zero() - x)); }
MS_INLINE Vec silu(Vec x) { return x * sigmoid(x); }
MS_INLINE Vec silu_derivative(Vec x) {
  const Vec s = sigmoid(x);
  return s * fma(x, set1(1.0f) - s, set1(1.0f));
}

// tanh x = x - x^3 P(x^2) for |x| < 0.5 (Taylor's terms to x^13 leave 1e-7 of x), else 1 - 2 / (e^(2|x|) + 1) with x's sign.
MS_INLINE Vec tanh(Vec x) {
  const Vec square = x * x;
  Vec p = set1(21844.0f / 6081075.0f);
  p = fma(p, square, set1(-1382.0f / 155925.0f));
  p = fma(p, square, set1(62.0f / 2835.0f));
  p = fma(p, square, set1(-17.0f / 315.0f));
  p = fma(p, square, set1(2.0f / 15.0f));
  p = fma(p, square, set1(-1.0f / 3.0f));
  const Vec small = fma(x * square, p, x);
  const Vec magnitude = abs(x), e = exp(magnitude + magnitude);
  const Vec large = set1(1.0f) - set1(2.0f) / (e + set1(1.0f));
  const Vec signed_large = select(less(x, zero()), zero() - large, large);
  return select(less(magnitude, set1(0.5f)), small, signed_large);
}
MS_INLINE Vec tanh_derivative(Vec x) {
  const Vec t = tanh(x);
  return fma(zero() - t, t, set1(1.0f));
}

// 0.5 x (1 + tanh(u)) = x / (1 + e^(-2u)), u = sqrt(2/pi) (x + 0.044715 x^3).
MS_INLINE Vec gelu_tanh(Vec x) {
  const Vec minus_2u = x * fma(x * x, set1(-2.0f * 0.79788456f * 0.044715f), set1(-2.0f * 0.79788456f));
  return x / (set1(1.0f) + exp(minus_2u));
}
MS_INLINE Vec gelu_tanh_derivative(Vec x) {
  const Vec square = x * x;
  const Vec minus_2u = x * fma(square, set1(-2.0f * 0.79788456f * 0.044715f), set1(-2.0f * 0.79788456f));
  const Vec slope = fma(square, set1(6.0f * 0.79788456f * 0.044715f), set1(2.0f * 0.79788456f));  // d(2u)/dx
  const Vec s = set1(1.0f) / (set1(1.0f) + exp(minus_2u));
  return fma(x * s * (set1(1.0f) - s), slope, s);
}

// The normal distribution function, from e^(z^2) erfc(z) = t P(t), t = 1 / (1 + z / 2), z = |x| / sqrt 2 (relative error 4.3e-8).
// `gauss` receives e^(-x^2/2).
MS_INLINE Vec normal_cdf(Vec x, Vec* gauss) {
  const Vec t = set1(1.0f) / fma(abs(x), set1(0.35355339f), set1(1.0f));
  Vec p = set1(-0.05893135443329811f);
  p = fma(p, t, set1(0.28390100598335266f));
  p = fma(p, t, set1(-0.48579835891723633f));
  p = fma(p, t, set1(0.2764558494091034f));
  p = fma(p, t, set1(-0.02550940029323101f));
  p = fma(p, t, set1(0.20221149921417236f));
  p = fma(p, t, set1(0.24322479963302612f));
  p = fma(p, t, set1(0.2823585271835327f));
  p = fma(p, t, set1(0.28208738565444946f));
  *gauss = exp(x * x * set1(-0.5f));
  const Vec tail = set1(0.5f) * *gauss * (t * p);
  return select(less(x, zero()), tail, set1(1.0f) - tail);
}
MS_INLINE Vec gelu_erf(Vec x) {
  Vec gauss;
  return x * normal_cdf(x, &gauss);
}
MS_INLINE Vec gelu_erf_derivative(Vec x) {
  Vec gauss;
  const Vec cdf = normal_cdf(x, &gauss);
  return fma(x * set1(0.39894228f), gauss, cdf);
}

}  // namespace mendset::cpu::MENDSET_ISA
