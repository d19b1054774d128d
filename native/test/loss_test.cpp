// Losses: finite differences in fp64, the golden figures of the loss, optimiser and clipping definitions, and token_loss against
// them.
#include <array>
#include <functional>
#include <vector>

#include "plain/losses.h"
#include "plain/plain_operations.h"
#include "test/check.h"

using namespace mendset;
using test::near;

namespace {

constexpr int kVocab = 7;
using Row = std::array<double, kVocab>;

const Row kLogits{0.3, -1.2, 2.1, 0.0, -0.7, 1.4, -2.5};
const Row kReference{-0.4, 0.9, 1.1, -1.6, 0.2, 0.5, -0.1};

void check_gradient(const std::function<double(const Row&)>& loss, const Row& gradient) {
  constexpr double kStep = 1e-6;
  for (size_t j = 0; j < kVocab; ++j) {
    Row above = kLogits, below = kLogits;
    above[j] += kStep;
    below[j] -= kStep;
    CHECK(near((loss(above) - loss(below)) / (2 * kStep), gradient[j], 1e-8));
  }
}

void finite_differences() {
  for (int y = 0; y < kVocab; ++y) {
    Row gradient{};
    loss_ce_gradient(kLogits.data(), kVocab, y, 0.7, gradient.data());
    check_gradient([y](const Row& z) { return -0.7 * loss_log_prob(z.data(), kVocab, y); }, gradient);
  }
  Row forward{}, reverse{};
  loss_kl_forward_gradient(kLogits.data(), kReference.data(), kVocab, 1.3, forward.data());
  check_gradient([](const Row& z) { return 1.3 * loss_kl_forward(z.data(), kReference.data(), kVocab); }, forward);
  loss_kl_reverse_gradient(kLogits.data(), kReference.data(), kVocab, 1.3, reverse.data());
  check_gradient([](const Row& z) { return 1.3 * loss_kl_reverse(z.data(), kReference.data(), kVocab); }, reverse);

  constexpr double kStep = 1e-6;
  for (const double chosen : {-12.0, -40.0, 900.0, -900.0}) {
    const auto loss = [](double c, double r) { return loss_dpo(c, r, -13.0, -14.5, 0.1).loss; };
    const double d_chosen = loss_dpo(chosen, -15.0, -13.0, -14.5, 0.1).d_chosen;
    CHECK(near((loss(chosen + kStep, -15) - loss(chosen - kStep, -15)) / (2 * kStep), d_chosen, 2e-8));
    CHECK(near((loss(chosen, -15 + kStep) - loss(chosen, -15 - kStep)) / (2 * kStep), -d_chosen, 2e-8));
  }
}

void golden_losses() {
  const double z[3] = {2, 1, 0}, r[3] = {1, 1, 1};
  double gradient[3] = {};
  CHECK(near(loss_kl_forward(z, r, 3), 0.308994, 5e-7));
  loss_kl_forward_gradient(z, r, 3, 1, gradient);
  CHECK(near(gradient[0], 0.331908, 5e-7) && near(gradient[1], -0.088605, 5e-7) && near(gradient[2], -0.243303, 5.1e-7));
  double reverse[3] = {};
  CHECK(near(loss_kl_reverse(z, r, 3), 0.266217, 5e-7));
  loss_kl_reverse_gradient(z, r, 3, 1, reverse);
  CHECK(near(reverse[0], 0.282587, 5e-7) && near(reverse[1], -0.140770, 5e-7) && near(reverse[2], -0.141817, 5e-7));
  CHECK(near(-loss_log_prob(z, 3, 1), 1.407606, 5e-7));
  CHECK(near(loss_el2n(z, 3, 1), 1.010488, 5e-7));
  const double lse = loss_log_sum_exp(z, 3);
  CHECK(near(loss_margin(z, 3, 1), std::exp(1 - lse) - std::exp(2 - lse), 1e-15));
  const auto pair = loss_dpo(-12.0, -15.0, -13.0, -14.5, 0.1);
  CHECK(near(pair.z, 0.15, 1e-12) && near(pair.loss, 0.620957, 5e-7) && near(pair.d_chosen, -0.0462570, 5e-8));
}

// token_loss on the golden row: every output at once, and the weights of the two terms add up in the gradient.
void golden_token_loss() {
  for (const int direction : {MS_KL_FORWARD, MS_KL_REVERSE}) {
    float logits[6] = {2, 1, 0, 2, 1, 0};
    const float reference[6] = {1, 1, 1, 1, 1, 1}, ce_weight[2] = {0.5f, 9.0f}, kl_weight[2] = {2.0f, 0.0f};
    const int32_t targets[2] = {1, -1};
    double log_prob[2], el2n[2], margin[2], kl[2];
    int32_t argmax[2];
    const ms_token_loss_args args{.rows = 2,
                                  .vocab = 3,
                                  .logits = logits,
                                  .targets = targets,
                                  .ce_weight = ce_weight,
                                  .reference = reference,
                                  .kl_weight = kl_weight,
                                  .kl_direction = direction,
                                  .write_gradient = 1,
                                  .log_prob = log_prob,
                                  .el2n = el2n,
                                  .margin = margin,
                                  .kl = kl,
                                  .argmax = argmax};
    CHECK(plain_token_loss(nullptr, &args) == MS_OK);
    CHECK(near(log_prob[0], -1.407606, 5e-7) && log_prob[1] == 0);
    CHECK(near(el2n[0], 1.010488, 5e-7) && el2n[1] == 0 && margin[1] == 0);
    CHECK(near(kl[0], direction == MS_KL_FORWARD ? 0.308994 : 0.266217, 5e-7) && near(kl[1], kl[0], 1e-12));
    CHECK(argmax[0] == 0 && argmax[1] == 0);
    double expected[3] = {};
    const double z[3] = {2, 1, 0}, r[3] = {1, 1, 1};
    loss_ce_gradient(z, 3, 1, 0.5, expected);
    if (direction == MS_KL_FORWARD)
      loss_kl_forward_gradient(z, r, 3, 2, expected);
    else
      loss_kl_reverse_gradient(z, r, 3, 2, expected);
    for (int j = 0; j < 3; ++j) CHECK(near(logits[j], expected[j], 1e-7) && logits[3 + j] == 0);
  }
}

void golden_optimizers() {
  {
    float w = 1, v = 0, g = 0.5f;
    const ms_rmsprop_args args{
        .count = 1, .w = &w, .g = &g, .v = &v, .lr = 0.01f, .alpha = 0.99f, .epsilon = 1e-8f, .grad_scale = 1};
    plain_rmsprop(nullptr, &args);
    CHECK(near(w, 0.90000002, 2e-7));
    g = -0.2f;
    plain_rmsprop(nullptr, &args);
    CHECK(near(w, 0.93730021, 2e-7));
  }
  {
    float w = 1, m = 0, v = 0, g = 0.5f;
    ms_adamw_args args{.count = 1,
                       .w = &w,
                       .g = &g,
                       .m = &m,
                       .v = &v,
                       .lr = 0.01f,
                       .beta1 = 0.9f,
                       .beta2 = 0.999f,
                       .epsilon = 1e-8f,
                       .weight_decay = 0.01f,
                       .grad_scale = 1,
                       .step = 1};
    plain_adamw(nullptr, &args);
    CHECK(near(w, 0.9899000002, 2e-7));
    g = -0.2f;
    args.step = 2;
    plain_adamw(nullptr, &args);
    CHECK(near(w, 0.9863449518, 2e-7));
  }
  {
    // factor min(1, limit / (norm + 1e-6)) applied through grad_scale: with alpha 0 and epsilon 0 the squares hold the clipped
    // gradient
    const float g[2] = {3, 4};
    double squares = 0;
    const ms_sum_squares_args sum{.count = 2, .x = g, .out = &squares};
    plain_sum_squares(nullptr, &sum);
    const double factor = std::fmin(1, 0.5 / (std::sqrt(squares) + 1e-6));
    CHECK(near(factor * 3, 0.29999994, 5e-9) && near(factor * 4, 0.39999992, 5e-9));
    float w[2] = {}, v[2] = {};
    const ms_rmsprop_args args{
        .count = 2, .w = w, .g = g, .v = v, .lr = 0, .alpha = 0, .epsilon = 1, .grad_scale = static_cast<float>(factor)};
    plain_rmsprop(nullptr, &args);
    CHECK(near(std::sqrt(v[0]), 0.29999994, 1e-7) && near(std::sqrt(v[1]), 0.39999992, 1e-7));
  }
}

}  // namespace

int main() {
  finite_differences();
  golden_losses();
  golden_token_loss();
  golden_optimizers();
  return test::finish();
}
