// Time, GFLOP/s and GB/s of the operations that a language model's step is made of, at the shapes of GPT-2 small on 4 x 128 and 4 x 256
// tokens and of the 3 M-parameter demo model, for every instruction set here, one JSON line each.
//   model_operation_bench [--threads N] [--filter TEXT] [--plain]     --plain: the plain backend too (slow)
#include <cmath>

#include "bench/operation_timing.h"

using namespace mendset;
using namespace mendset::bench;

namespace {

size_t at(int64_t count) { return static_cast<size_t>(count); }
double real(int64_t count) { return static_cast<double>(count); }

std::vector<int32_t> equal_samples(int64_t samples, int64_t length) {
  std::vector<int32_t> offsets;
  for (int64_t s = 0; s <= samples; ++s) offsets.push_back(static_cast<int32_t>(s * length));
  return offsets;
}

void linear(const Bench& bench, int64_t rows, int64_t in, int64_t out, int32_t layout, int32_t activation = MS_ACTIVATION_NONE) {
  const double flops = 2 * real(rows) * real(in) * real(out), bytes = 4 * (real(rows) * real(in) + real(in) * real(out) + real(rows) * real(out));
  const std::vector<float> x = values(rows * in, 1), w = values(in * out, 2), bias = values(out, 3);
  std::vector<float> y = values(rows * out, 4), d_x(at(rows * in)), d_w(at(in * out)), d_bias(at(out));
  const std::string suffix = text(" %ldx%ldx%ld %s%s", rows, in, out, layout == MS_LAYOUT_IN_OUT ? "in_out" : "out_in", activation == MS_ACTIVATION_NONE ? "" : " gelu");
  const ms_linear_forward_args forward{rows, in, out, x.data(), in, activation, w.data(), layout, bias.data(), nullptr, y.data(), out, MS_TYPE_F32};
  bench.measure("linear_forward" + suffix, flops, bytes, [&] { bench.table().linear_forward(bench.context(), &forward); });
  const ms_linear_backward_input_args input{rows, in, out, y.data(), out, w.data(), layout, x.data(), activation, d_x.data(), in, 0.0f, MS_TYPE_F32};
  bench.measure("linear_backward_input" + suffix, flops, bytes, [&] { bench.table().linear_backward_input(bench.context(), &input); });
  const ms_linear_backward_weight_args weight{rows, in, out, x.data(), in, activation, y.data(), out, d_w.data(), layout, d_bias.data(), 0.0f};
  bench.measure("linear_backward_weight" + suffix, flops, bytes, [&] { bench.table().linear_backward_weight(bench.context(), &weight); });
}

void sample_norm(const Bench& bench, int64_t samples, int64_t length, int64_t in, int64_t out) {
  const int64_t rows = samples * length;
  const std::vector<float> x = values(rows * in, 1), d_y = values(rows * out, 2);
  const std::vector<int32_t> offsets = equal_samples(samples, length);
  std::vector<double> weights(at(samples)), biases(at(samples));
  const ms_linear_sample_norm_args args{rows, in, out, samples, offsets.data(), length, x.data(), in, MS_ACTIVATION_NONE, d_y.data(), out, weights.data(), biases.data(), 1};
  const double gram = real(rows) * real(length) * real(in + out), direct = 2 * real(rows) * real(in) * real(out);
  bench.measure(text("linear_sample_norm %ldx%ld %ldx%ld", samples, length, in, out), std::min(gram, direct), 4 * real(rows) * real(in + out),
                [&] { bench.table().linear_sample_norm(bench.context(), &args); });
}

void attention(const Bench& bench, int64_t samples, int64_t length, int32_t heads, int32_t head_dim) {
  const int64_t rows = samples * length, width = int64_t{heads} * head_dim, ld = 3 * width;
  const std::vector<int32_t> offsets = equal_samples(samples, length);
  const std::vector<float> qkv = values(rows * ld, 1), d_out = values(rows * width, 2);
  std::vector<float> out(at(rows * width)), lse(at(rows * heads)), d_qkv(at(rows * ld));
  const float* q = qkv.data();
  const float scale = 1 / std::sqrt(static_cast<float>(head_dim));
  // causal: half of the length^2 pairs; scores and weighted values are one product each, the gradient five
  const double pairs = real(rows) * real(length + 1) / 2 * real(width), bytes = 16 * real(rows) * real(width);
  const std::string shape = text(" %ldx%ld %dx%d", samples, length, heads, head_dim);
  const ms_attention_forward_args forward{rows, samples, offsets.data(), length, heads, heads, head_dim, static_cast<int32_t>(length), scale,
                                          q, q + width, q + 2 * width, ld, out.data(), width, lse.data(), 0};
  bench.measure("attention_forward" + shape, 4 * pairs, bytes, [&] { bench.table().attention_forward(bench.context(), &forward); });
  bench.table().attention_forward(bench.context(), &forward);
  const ms_attention_backward_args backward{rows, samples, offsets.data(), length, heads, heads, head_dim, static_cast<int32_t>(length), scale, q, q + width,
                                            q + 2 * width, ld, out.data(), d_out.data(), width, lse.data(), d_qkv.data(), d_qkv.data() + width, d_qkv.data() + 2 * width};
  bench.measure("attention_backward" + shape, 10 * pairs, 2 * bytes, [&] { bench.table().attention_backward(bench.context(), &backward); });
}

void norm(const Bench& bench, int64_t rows, int64_t width) {
  const std::vector<float> x = values(rows * width, 1), gain = values(width, 2), bias = values(width, 3), d_y = values(rows * width, 4);
  std::vector<float> y(at(rows * width)), mean(at(rows)), rstd(at(rows)), d_x(at(rows * width)), d_gain(at(width)), d_bias(at(width));
  const double bytes = 4 * real(rows) * real(width);
  const std::string shape = text(" %ldx%ld", rows, width);
  const ms_norm_forward_args forward{rows, width, MS_NORM_LAYER, 1e-5f, x.data(), gain.data(), bias.data(), y.data(), mean.data(), rstd.data(), 0, 0, 0};
  bench.measure("norm_forward" + shape, 0, 2 * bytes, [&] { bench.table().norm_forward(bench.context(), &forward); });
  bench.table().norm_forward(bench.context(), &forward);
  const ms_norm_backward_args backward{rows, width, MS_NORM_LAYER, x.data(), gain.data(), mean.data(), rstd.data(), d_y.data(), d_y.data(), d_x.data(), d_gain.data(), d_bias.data(), 0, 0, 0};
  bench.measure("norm_backward" + shape, 0, 4 * bytes, [&] { bench.table().norm_backward(bench.context(), &backward); });
}

void token_loss(const Bench& bench, int64_t rows, int64_t vocab) {
  std::vector<float> logits = values(rows * vocab, 1);
  const std::vector<float> reference = values(rows * vocab, 2), weight(at(rows), 1e-3f);
  const std::vector<int32_t> targets(at(rows), 7);
  std::vector<double> log_prob(at(rows)), kl(at(rows));
  const double bytes = 4 * real(rows) * real(vocab);
  const std::string shape = text(" %ldx%ld", rows, vocab);
  ms_token_loss_args args{};
  args.rows = rows;
  args.vocab = vocab;
  args.logits = logits.data();
  args.targets = targets.data();
  args.ce_weight = weight.data();
  args.write_gradient = 1;
  args.log_prob = log_prob.data();
  bench.measure("token_loss ce" + shape, 0, 2 * bytes, [&] { bench.table().token_loss(bench.context(), &args); });
  args.reference = reference.data();
  args.kl_weight = weight.data();
  args.kl_direction = MS_KL_FORWARD;
  args.kl = kl.data();
  bench.measure("token_loss ce+kl" + shape, 0, 3 * bytes, [&] { bench.table().token_loss(bench.context(), &args); });
}

void embedding(const Bench& bench, int64_t rows, int64_t width, int64_t vocab) {
  const std::vector<float> tokens = values(vocab * width, 1), positions = values(1024 * width, 2), d_out = values(rows * width, 3);
  std::vector<float> out(at(rows * width)), d_tokens(at(vocab * width)), d_positions(at(1024 * width));
  std::vector<int32_t> ids, places;
  for (int64_t t = 0; t < rows; ++t) {
    ids.push_back(static_cast<int32_t>(t * 7919 % vocab));
    places.push_back(static_cast<int32_t>(t % 128));
  }
  const double bytes = 4 * real(rows) * real(width);
  const std::string shape = text(" %ldx%ld", rows, width);
  const ms_embed_forward_args forward{rows, width, ids.data(), places.data(), tokens.data(), positions.data(), out.data(), nullptr, MS_TYPE_F32};
  bench.measure("embed_forward" + shape, 0, 3 * bytes, [&] { bench.table().embed_forward(bench.context(), &forward); });
  const ms_embed_backward_args backward{rows, width, ids.data(), places.data(), d_out.data(), d_tokens.data(), d_positions.data()};
  bench.measure("embed_backward" + shape, 0, 5 * bytes, [&] { bench.table().embed_backward(bench.context(), &backward); });
}

void optimiser(const Bench& bench, int64_t count) {
  std::vector<float> w = values(count, 1), v(at(count), 1e-3f), m(at(count));
  const std::vector<float> g = values(count, 2);
  const double bytes = 4 * real(count);
  double sum = 0;
  const ms_rmsprop_args rmsprop{count, w.data(), g.data(), v.data(), 1e-6f, 0.99f, 1e-8f, 1.0f};
  bench.measure(text("rmsprop %ld", count), 0, 5 * bytes, [&] { bench.table().rmsprop(bench.context(), &rmsprop); });
  const ms_adamw_args adamw{count, w.data(), g.data(), m.data(), v.data(), 1e-6f, 0.9f, 0.999f, 1e-8f, 0.01f, 1.0f, 1};
  bench.measure(text("adamw %ld", count), 0, 7 * bytes, [&] { bench.table().adamw(bench.context(), &adamw); });
  const ms_sum_squares_args squares{count, g.data(), &sum};
  bench.measure(text("sum_squares %ld", count), 0, bytes, [&] { bench.table().sum_squares(bench.context(), &squares); });
}

void decoding(const Bench& bench, int64_t batch, int64_t length, int32_t heads, int32_t head_dim, int64_t vocab) {
  const int64_t width = int64_t{heads} * head_dim;
  const std::vector<float> qkv = values(batch * 3 * width, 1), logits = values(batch * vocab, 2);
  std::vector<float> keys = values(batch * (length + 1) * width, 3), held = values(batch * (length + 1) * width, 4), out(at(batch * width));
  std::vector<int32_t> slots, lengths(at(batch), static_cast<int32_t>(length)), ids(at(batch));
  for (int64_t b = 0; b < batch; ++b) slots.push_back(static_cast<int32_t>(b));
  const std::vector<double> uniforms(at(batch), 0.5);
  const ms_decode_attention_args attend{batch, length + 1, heads, heads, head_dim, static_cast<int32_t>(length + 1), 1 / std::sqrt(static_cast<float>(head_dim)),
                                        qkv.data(), qkv.data() + width, qkv.data() + 2 * width, 3 * width, slots.data(), lengths.data(), keys.data(), held.data(), out.data()};
  bench.measure(text("decode_attention %ldx%ld %dx%d", batch, length, heads, head_dim), 4 * real(batch) * real(length + 1) * real(width),
                8 * real(batch) * real(length + 1) * real(width), [&] { bench.table().decode_attention(bench.context(), &attend); });
  const ms_sample_tokens_args greedy{batch, vocab, logits.data(), MS_SAMPLE_GREEDY, 0, 1, 1, nullptr, ids.data()};
  bench.measure(text("sample_tokens greedy %ldx%ld", batch, vocab), 0, 4 * real(batch) * real(vocab), [&] { bench.table().sample_tokens(bench.context(), &greedy); });
  const ms_sample_tokens_args nucleus{batch, vocab, logits.data(), MS_SAMPLE_NUCLEUS, 0, 1, 0.9f, uniforms.data(), ids.data()};
  bench.measure(text("sample_tokens nucleus %ldx%ld", batch, vocab), 0, 4 * real(batch) * real(vocab), [&] { bench.table().sample_tokens(bench.context(), &nucleus); });
}

void operations(const Bench& bench) {
  for (const int64_t rows : {int64_t{512}, int64_t{1024}}) {
    linear(bench, rows, 768, 2304, MS_LAYOUT_IN_OUT);
    linear(bench, rows, 768, 768, MS_LAYOUT_IN_OUT);
    linear(bench, rows, 768, 3072, MS_LAYOUT_IN_OUT);
    linear(bench, rows, 3072, 768, MS_LAYOUT_IN_OUT, MS_ACTIVATION_GELU_TANH);
    attention(bench, rows / (rows == 512 ? 128 : 256), rows == 512 ? 128 : 256, 12, 64);
    norm(bench, rows, 768);
  }
  linear(bench, 512, 768, 3072, MS_LAYOUT_OUT_IN);
  linear(bench, 256, 768, 50257, MS_LAYOUT_OUT_IN);
  linear(bench, 128, 192, 768, MS_LAYOUT_IN_OUT);
  linear(bench, 128, 192, 4096, MS_LAYOUT_OUT_IN);
  linear(bench, 16, 768, 3072, MS_LAYOUT_IN_OUT);
  linear(bench, 1, 768, 3072, MS_LAYOUT_IN_OUT);
  token_loss(bench, 256, 50257);
  embedding(bench, 512, 768, 50257);
  for (const int64_t out : {int64_t{768}, int64_t{2304}, int64_t{3072}}) sample_norm(bench, 4, 128, 768, out);
  sample_norm(bench, 1, 512, 768, 3072);
  sample_norm(bench, 16, 32, 192, 768);
  optimiser(bench, int64_t{1} << 23);
  decoding(bench, 16, 40, 12, 64, 50257);
}

}  // namespace

int main(int argc, char** argv) { return run(argc, argv, operations); }
