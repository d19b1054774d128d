// The losses' mathematics over any scalar type (docs: cross-entropy, KL in both directions, EL2N, margin, DPO).
#pragma once

#include <cmath>
#include <cstdint>

namespace mendset {

// The larger of two numbers, the first where the second is not a number. (std::fmax in these loops crashes GCC 12 for 64-bit ARM.)
inline double loss_larger(double a, double b) { return b > a ? b : a; }

// log of the sum of exp(z): shift by the largest logit, sums in fp64.
template <typename Scalar>
double loss_log_sum_exp(const Scalar* z, int64_t vocab) {
  double largest = -INFINITY, sum = 0;
  for (int64_t j = 0; j < vocab; ++j) largest = loss_larger(largest, static_cast<double>(z[j]));
  for (int64_t j = 0; j < vocab; ++j) sum += std::exp(static_cast<double>(z[j]) - largest);
  return largest + std::log(sum);
}

// log p_y; the cross-entropy is its negative.
template <typename Scalar>
double loss_log_prob(const Scalar* z, int64_t vocab, int64_t y) {
  return static_cast<double>(z[y]) - loss_log_sum_exp(z, vocab);
}

// |p - onehot_y|
template <typename Scalar>
double loss_el2n(const Scalar* z, int64_t vocab, int64_t y) {
  const double lse = loss_log_sum_exp(z, vocab);
  double sum = 0;
  for (int64_t j = 0; j < vocab; ++j) {
    const double difference = std::exp(static_cast<double>(z[j]) - lse) - (j == y ? 1 : 0);
    sum += difference * difference;
  }
  return std::sqrt(sum);
}

// p_y - max_{j != y} p_j; p_y alone when the vocabulary has one token.
template <typename Scalar>
double loss_margin(const Scalar* z, int64_t vocab, int64_t y) {
  const double lse = loss_log_sum_exp(z, vocab);
  double largest = -INFINITY;
  for (int64_t j = 0; j < vocab; ++j) {
    if (j != y) largest = loss_larger(largest, static_cast<double>(z[j]));
  }
  return std::exp(static_cast<double>(z[y]) - lse) - std::exp(largest - lse);
}

// KL(r || p), r = softmax(reference)
template <typename Scalar>
double loss_kl_forward(const Scalar* z, const Scalar* reference, int64_t vocab) {
  const double lse = loss_log_sum_exp(z, vocab), reference_lse = loss_log_sum_exp(reference, vocab);
  double sum = 0;
  for (int64_t j = 0; j < vocab; ++j) {
    const double log_r = static_cast<double>(reference[j]) - reference_lse;
    sum += std::exp(log_r) * (log_r - (static_cast<double>(z[j]) - lse));
  }
  return sum;
}

// KL(p || r)
template <typename Scalar>
double loss_kl_reverse(const Scalar* z, const Scalar* reference, int64_t vocab) {
  return loss_kl_forward(reference, z, vocab);
}

// gradient[j] += weight (p_j - [j = y])
template <typename Scalar>
void loss_ce_gradient(const Scalar* z, int64_t vocab, int64_t y, double weight, double* gradient) {
  const double lse = loss_log_sum_exp(z, vocab);
  for (int64_t j = 0; j < vocab; ++j) gradient[j] += weight * (std::exp(static_cast<double>(z[j]) - lse) - (j == y ? 1 : 0));
}

// gradient[j] += weight (p_j - r_j)
template <typename Scalar>
void loss_kl_forward_gradient(const Scalar* z, const Scalar* reference, int64_t vocab, double weight, double* gradient) {
  const double lse = loss_log_sum_exp(z, vocab), reference_lse = loss_log_sum_exp(reference, vocab);
  for (int64_t j = 0; j < vocab; ++j) {
    gradient[j] +=
        weight * (std::exp(static_cast<double>(z[j]) - lse) - std::exp(static_cast<double>(reference[j]) - reference_lse));
  }
}

// gradient[j] += weight p_j (log p_j - log r_j - KL(p || r))
template <typename Scalar>
void loss_kl_reverse_gradient(const Scalar* z, const Scalar* reference, int64_t vocab, double weight, double* gradient) {
  const double lse = loss_log_sum_exp(z, vocab), reference_lse = loss_log_sum_exp(reference, vocab);
  const double kl = loss_kl_reverse(z, reference, vocab);
  for (int64_t j = 0; j < vocab; ++j) {
    const double log_p = static_cast<double>(z[j]) - lse, log_r = static_cast<double>(reference[j]) - reference_lse;
    gradient[j] += weight * std::exp(log_p) * (log_p - log_r - kl);
  }
}

// Direct preference optimisation of one pair of summed log-probabilities.
template <typename Scalar>
struct DpoPair {
  Scalar z;         // beta ((chosen - rejected) - (reference_chosen - reference_rejected))
  Scalar loss;      // softplus(-z)
  Scalar d_chosen;  // d loss / d chosen = -beta sigmoid(-z); the rejected side has the opposite sign
};

template <typename Scalar>
DpoPair<Scalar> loss_dpo(Scalar chosen, Scalar rejected, Scalar reference_chosen, Scalar reference_rejected, Scalar beta) {
  const Scalar z = beta * ((chosen - rejected) - (reference_chosen - reference_rejected));
  // exp of a non-positive number only, so that neither form overflows
  const Scalar e = std::exp(-std::abs(z));
  const Scalar loss = (z < 0 ? -z : Scalar(0)) + std::log1p(e);
  const Scalar sigmoid_of_minus_z = z < 0 ? 1 / (1 + e) : e / (1 + e);
  return {z, loss, -beta * sigmoid_of_minus_z};
}

}  // namespace mendset
