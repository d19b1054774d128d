// Softmax statistics, losses and the gradient of one row of logits.
namespace mendset::cpu::MENDSET_ISA {

static float loss_largest(const float* z, int64_t n) {
  const Vec lowest = set1(-std::numeric_limits<float>::infinity());
  Vec a = lowest, b = lowest;
  int64_t j = 0;
  for (; j + 2 * kLanes <= n; j += 2 * kLanes) {
    a = max(load(z + j), a);
    b = max(load(z + j + kLanes), b);
  }
  over_vectors(n - j, [&](auto lanes, int64_t i) { a = max(lanes.keep(lanes.get(z + j + i), lowest), a); });
  return reduce_max(max(a, b));
}

static int32_t loss_first_equal(const float* z, int64_t n, float value) {
  // `value` is the maximum: blocks whose elements are all less are passed over
  constexpr int64_t kBlock = 256;
  int64_t j = 0;
  while (j + kBlock <= n && loss_largest(z + j, kBlock) < value) j += kBlock;
  for (; j < n; ++j) {
    if (z[j] == value) return static_cast<int32_t>(j);
  }
  return 0;
}

// NaN or +infinity anywhere: the maxima above and exp() would hide it.
static bool loss_is_broken(const float* z, int64_t n) {
  Vec poison = zero();
  over_vectors(n, [&](auto lanes, int64_t j) { poison = fma(lanes.get(z + j), zero(), poison); });
  if (reduce_add(poison) == 0) return false;
  for (int64_t j = 0; j < n; ++j) {
    if (!(z[j] < std::numeric_limits<float>::infinity())) return true;
  }
  return false;
}

struct ExponentialSums {
  double first, squares;
};

// Sums of e^(z - shift) and, if asked, of its squares; the exponentials go to `out` (which may be z) unless it is null.
template <bool with_squares, bool with_output>
MS_INLINE ExponentialSums loss_sum_exponentials(const float* z, int64_t n, float shift, float* out) {
  Sum64 sum, squares;
  const Vec top = set1(shift);
  over_vectors(n, [&](auto lanes, int64_t j) {
    const Vec e = lanes.keep(exp(lanes.get(z + j) - top), zero());
    sum.add(e);
    if (with_squares) squares.add_product(e, e);
    if (with_output) lanes.put(out + j, e);
  });
  return {sum.total(), with_squares ? squares.total() : 0};
}
static ExponentialSums loss_exponential_sums(const float* z, int64_t n, float shift, bool with_squares, float* out) {
  if (with_squares)
    return out ? loss_sum_exponentials<true, true>(z, n, shift, out) : loss_sum_exponentials<true, false>(z, n, shift, out);
  return out ? loss_sum_exponentials<false, true>(z, n, shift, out) : loss_sum_exponentials<false, false>(z, n, shift, out);
}

static void loss_row(TokenLossRow& row) {
  const int64_t n = row.vocab, y = row.target;
  float* const z = row.logits;
  row.log_prob = row.el2n = row.margin = row.kl = 0;
  if (loss_is_broken(z, n) || (row.reference && loss_is_broken(row.reference, n))) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    if (y >= 0) row.log_prob = row.el2n = row.margin = nan;
    if (row.reference) row.kl = nan;
    if (row.write_gradient) {
      for (int64_t j = 0; j < n; ++j) z[j] = static_cast<float>(nan);
    }
    return;
  }

  // The target is left out of maxima and sums, so that 1 - p_y has no cancellation when p_y is nearly 1.
  const int64_t before = y >= 0 ? y : n;
  const float target_logit = y >= 0 ? z[y] : -std::numeric_limits<float>::infinity();
  float others = loss_largest(z, before);
  if (y >= 0) {
    const float behind = loss_largest(z + y + 1, n - y - 1);
    if (behind > others) others = behind;
  }
  const float shift = target_logit > others ? target_logit : others;
  float* const p = row.reference ? row.scratch : row.write_gradient ? z : nullptr;  // e^(Z - Z_max); KL still needs the logits
  ExponentialSums others_sums = loss_exponential_sums(z, before, shift, row.want_el2n, p);
  if (y >= 0) {
    const ExponentialSums behind = loss_exponential_sums(z + y + 1, n - y - 1, shift, row.want_el2n, p ? p + y + 1 : nullptr);
    others_sums.first += behind.first;
    others_sums.squares += behind.squares;
  }
  const double rest = others_sums.first, target = y >= 0 ? std::exp(static_cast<double>(target_logit) - shift) : 0,
               sum = rest + target;
  const double log_sum = shift == target_logit ? std::log1p(rest) : std::log(sum);  // then target = 1
  if (y >= 0) {
    row.log_prob = static_cast<double>(target_logit) - shift - log_sum;
    if (row.want_el2n) row.el2n = std::sqrt(others_sums.squares + rest * rest) / sum;
    row.margin = (target - std::exp(static_cast<double>(others) - shift)) / sum;
  }

  const auto ce = static_cast<float>(row.ce_weight / sum);
  const double ce_target = y >= 0 ? -static_cast<double>(row.ce_weight) * rest / sum : 0;
  if (!row.reference) {
    if (!row.write_gradient) return;
    const Vec factor = set1(y >= 0 ? ce : 0.0f);
    over_vectors(n, [&](auto lanes, int64_t j) { lanes.put(z + j, lanes.get(z + j) * factor); });
    if (y >= 0) z[y] = static_cast<float>(ce_target);
    return;
  }

  // KL(r || p) = sum r ((R - R_max) - (Z - Z_max)) - log sum e^(R - R_max) + log sum e^(Z - Z_max), and the other way round.
  const float* const reference = row.reference;
  const float reference_shift = loss_largest(reference, n);
  const Vec z_top = set1(shift), r_top = set1(reference_shift);
  float* const r = row.scratch + n;  // e^(R - R_max)
  if (y >= 0) p[y] = static_cast<float>(target);
  Sum64 reference_sum, weighted;
  over_vectors(n, [&](auto lanes, int64_t j) {
    const Vec a = lanes.get(z + j) - z_top, b = lanes.get(reference + j) - r_top;
    const Vec e = lanes.keep(exp(b), zero());
    lanes.put(r + j, e);
    reference_sum.add(e);
    if (row.reverse) {
      weighted.add_product(lanes.get(p + j), a - b);
    } else {
      weighted.add_product(e, b - a);
    }
  });
  const double r_sum = reference_sum.total(), log_r_sum = std::log(r_sum);
  row.kl = row.reverse ? weighted.total() / sum - log_sum + log_r_sum : weighted.total() / r_sum - log_r_sum + log_sum;
  if (!row.write_gradient) return;

  const double ce_of_row = y >= 0 ? row.ce_weight : 0, kl_of_row = row.kl_weight;
  if (row.reverse) {
    // log p - log r - KL = (Z - Z_max) - (R - R_max) + offset
    const Vec offset = set1(static_cast<float>(log_r_sum - log_sum - row.kl));
    const Vec kl_factor = set1(static_cast<float>(kl_of_row)), ce_factor = set1(static_cast<float>(ce_of_row)),
              p_factor = set1(static_cast<float>(1 / sum));
    over_vectors(n, [&](auto lanes, int64_t j) {
      const Vec a = lanes.get(z + j) - z_top, b = lanes.get(reference + j) - r_top;
      lanes.put(z + j, lanes.get(p + j) * p_factor * fma(kl_factor, a - b + offset, ce_factor));
    });
  } else {
    const Vec kl_factor = set1(static_cast<float>(kl_of_row)), ce_factor = set1(static_cast<float>(ce_of_row)),
              p_factor = set1(static_cast<float>(1 / sum));
    const Vec r_factor = set1(static_cast<float>(1 / r_sum));
    over_vectors(n, [&](auto lanes, int64_t j) {
      const Vec probability = lanes.get(p + j) * p_factor;
      lanes.put(z + j, fma(ce_factor, probability, kl_factor * (probability - lanes.get(r + j) * r_factor)));
    });
  }
  if (y >= 0) {
    const double a = static_cast<double>(target_logit) - shift, b = static_cast<double>(reference[y]) - reference_shift;
    const double probability = target / sum;
    const double kl = row.reverse ? probability * (a - b + log_r_sum - log_sum - row.kl) : probability - std::exp(b) / r_sum;
    z[y] = static_cast<float>(ce_target + kl_of_row * kl);
  }
}

static double loss_exponentials(const float* z, int64_t n, float largest, float inverse_temperature, float* p) {
  Sum64 sum;
  over_vectors(n, [&](auto lanes, int64_t j) {
    const Vec e = lanes.keep(exp((lanes.get(z + j) - set1(largest)) * set1(inverse_temperature)), zero());
    sum.add(e);
    lanes.put(p + j, e);
  });
  return sum.total();
}

static const TokenLossKernels token_loss_kernels = {
    .row = loss_row, .largest = loss_largest, .first_equal = loss_first_equal, .exponentials = loss_exponentials};

}  // namespace mendset::cpu::MENDSET_ISA
