// The contract of losses over rows of logits, and the choice of tokens.
#include <numeric>
#include <utility>

#include "test/contract.h"
#include "test/packed_samples.h"

using namespace mendset;
using namespace mendset::test;

namespace {

void token_loss() {
  for (const auto& [rows, vocab] : {std::pair<int64_t, int64_t>{0, 3}, {3, 1}, {5, 2}, {31, 33}, {40, 4097}, {2, 50257}}) {
    for (const float spread : {0.02f, 3.0f, 40.0f}) {
      const auto logits = normal_values(rows * vocab, 1, spread);
      auto reference = normal_values(rows * vocab, 2, spread);
      for (size_t i = 0; i < reference.size(); ++i) reference[i] = logits[i] + 0.1f * reference[i];
      auto targets = integer_values(rows, static_cast<uint32_t>(vocab), 3);
      for (size_t t = 0; t < targets.size(); t += 4)
        targets[t] = t % 8 == 0 ? -1 : static_cast<int32_t>(t % 3 == 0 ? 0 : vocab - 1);
      std::vector<float> ce(static_cast<size_t>(rows), 0.25f), kl(static_cast<size_t>(rows), 0.5f);
      // statistics only; CE; CE + forward KL; CE + reverse KL; forward KL statistics; CE and no statistics but log p
      for (const int variant : {0, 1, 2, 3, 4, 5}) {
        contract(sized("token_loss", {rows, vocab, variant}) + " spread " + std::to_string(spread), {3e-6, 3e-6},
                 [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
                   Guarded<float> z(logits);
                   Guarded<double> log_prob(rows), el2n(rows), margin(rows), divergence(rows);
                   Guarded<int32_t> argmax(rows);
                   const bool with_kl = variant >= 2 && variant <= 4, gradient = variant >= 1 && variant != 4, few = variant == 5;
                   const ms_token_loss_args args{rows,
                                                 vocab,
                                                 z.data(),
                                                 targets.data(),
                                                 variant >= 1 ? ce.data() : nullptr,
                                                 with_kl ? reference.data() : nullptr,
                                                 with_kl ? kl.data() : nullptr,
                                                 variant == 3 ? MS_KL_REVERSE : MS_KL_FORWARD,
                                                 gradient,
                                                 log_prob.data(),
                                                 few ? nullptr : el2n.data(),
                                                 few ? nullptr : margin.data(),
                                                 few ? nullptr : divergence.data(),
                                                 few ? nullptr : argmax.data()};
                   outputs.result(table.token_loss(context, &args));
                   outputs.add("logits", z);
                   outputs.add("log_prob", log_prob);
                   if (few) return;
                   outputs.add("el2n", el2n);
                   outputs.add("margin", margin);
                   outputs.add("kl", divergence);
                   outputs.add("argmax", argmax);
                 });
      }
    }
  }
  // a logit that is not a number must not pass for a loss
  for (const float broken : {std::nanf(""), INFINITY}) {
    contract("token_loss of a broken row", {}, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
      Guarded<float> z(normal_values(35, 1));
      z.data()[17] = broken;
      const std::vector<int32_t> targets{4};
      Guarded<double> log_prob(1);
      const ms_token_loss_args args{.rows = 1,
                                    .vocab = 35,
                                    .logits = z.data(),
                                    .targets = targets.data(),
                                    .ce_weight = nullptr,
                                    .reference = nullptr,
                                    .kl_weight = nullptr,
                                    .kl_direction = 0,
                                    .write_gradient = 0,
                                    .log_prob = log_prob.data(),
                                    .el2n = nullptr,
                                    .margin = nullptr,
                                    .kl = nullptr,
                                    .argmax = nullptr};
      outputs.result(table.token_loss(context, &args));
      CHECK(!std::isfinite(log_prob.data()[0]));
    });
  }
}

void sampling() {
  for (const auto& [count, vocab] : {std::pair<int64_t, int64_t>{0, 3}, {3, 1}, {40, 33}, {64, 4097}}) {
    for (const float spread : {0.0f, 0.02f, 4.0f}) {
      auto logits = normal_values(count * vocab, 1, spread);
      for (float& value : logits) value = std::round(value * 8) / 8;  // ties
      for (size_t i = 3; i < logits.size(); i += 50) logits[i] = -INFINITY;
      std::vector<double> uniforms(static_cast<size_t>(count));
      RandomStream stream(5, 1);
      for (double& u : uniforms) u = stream.uniform();
      if (count > 2) uniforms[0] = 0, uniforms[1] = 1 - 0x1p-53;
      struct Sampling {
        int32_t mode, top_k;
        float temperature, top_p;
      };
      for (const Sampling& s : {Sampling{MS_SAMPLE_GREEDY, 0, 1, 1},
                                {MS_SAMPLE_NUCLEUS, 0, 1, 1},
                                {MS_SAMPLE_NUCLEUS, 0, 0.7f, 0.9f},
                                {MS_SAMPLE_NUCLEUS, 50, 1, 1},
                                {MS_SAMPLE_NUCLEUS, 7, 1.3f, 0.5f},
                                {MS_SAMPLE_NUCLEUS, 0, 1, 0.01f}}) {
        contract(sized("sample_tokens", {count, vocab, s.mode, s.top_k}), {},
                 [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
                   Guarded<int32_t> ids(count);
                   const ms_sample_tokens_args args{count,         vocab,   logits.data(),   s.mode,    s.top_k,
                                                    s.temperature, s.top_p, uniforms.data(), ids.data()};
                   outputs.result(table.sample_tokens(context, &args));
                   outputs.add("ids", ids);
                 });
      }
    }
  }
}

// A logit that is not a number is never chosen, and a row of nothing else does no harm.
void sampling_of_broken_rows() {
  const int64_t vocab = 300;
  auto logits = normal_values(2 * vocab, 1);
  for (int64_t j = 0; j < vocab; ++j) {
    logits[static_cast<size_t>(vocab + j)] = std::nanf("");
    if (j % 3 == 0) logits[static_cast<size_t>(j)] = std::nanf("");
  }
  const std::vector<double> uniforms{0.7, 0.7};
  ms_context* context = nullptr;
  const ms_backend& cpu = *mendset_cpu_backend();
  CHECK(cpu.create(2, &context) == MS_OK);
  for (const int32_t mode : {MS_SAMPLE_GREEDY, MS_SAMPLE_NUCLEUS}) {
    for (const int32_t top_k : {0, 5, 250}) {
      for (const float top_p : {0.9f, 1.0f}) {
        Guarded<int32_t> ids(2);
        const ms_sample_tokens_args args{2, vocab, logits.data(), mode, top_k, 1.0f, top_p, uniforms.data(), ids.data()};
        CHECK(cpu.sample_tokens(context, &args) == MS_OK);
        CHECK(ids.data()[0] >= 0 && ids.data()[0] < vocab && ids.data()[0] % 3 != 0 && ids.data()[1] == 0 && ids.intact());
      }
    }
  }
  cpu.destroy(context);
}

}  // namespace

int main() {
  token_loss();
  sampling();
  sampling_of_broken_rows();
  return finish();
}
