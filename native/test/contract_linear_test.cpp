// Linear maps, their gradients and per-sample gradient norms.
#include "test/contract.h"
#include "test/narrow_values.h"

using namespace mendset;
using namespace mendset::test;

namespace {

struct Shape {
  int64_t rows, in, out;
};
constexpr Shape kShapes[] = {{0, 5, 7}, {1, 1, 1}, {1, 31, 33}, {31, 33, 97}, {33, 97, 31}, {97, 31, 4097}, {5, 4097, 33}, {97, 0, 5}, {1100, 300, 40}, {13, 400, 33}};
constexpr int32_t kActivations[] = {MS_ACTIVATION_NONE, MS_ACTIVATION_GELU_TANH, MS_ACTIVATION_GELU_ERF, MS_ACTIVATION_RELU, MS_ACTIVATION_SILU, MS_ACTIVATION_TANH};

std::string label(const char* operation, Shape s, int32_t activation, int32_t layout) {
  return std::string(operation) + " " + std::to_string(s.rows) + "x" + std::to_string(s.in) + "x" + std::to_string(s.out) + " activation " + std::to_string(activation) +
         " layout " + std::to_string(layout);
}

// fp32 chains of `depth` products of normal values: errors grow like the root of the depth, here with a wide margin.
Bound chain_bound(int64_t depth) { return {4e-7 * static_cast<double>(depth) + 2e-6, 2e-6}; }

void forward(Shape s, int32_t activation, int32_t layout) {
  const int64_t ld_x = s.in + 3, ld_y = s.out + 5;
  const Guarded<float> x(normal_values(s.rows * ld_x, 1, 2.0f)), w(normal_values(s.in * s.out, 2)), bias(normal_values(s.out, 3));
  for (const int residual : {0, 1, 2}) {  // none, another buffer, y itself
    const std::vector<float> initial = normal_values(s.rows * ld_y, 4);
    const Guarded<float> other(initial);
    contract(label("linear_forward", s, activation, layout), chain_bound(s.in), [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
      Guarded<float> y(initial);
      const ms_linear_forward_args args{s.rows, s.in, s.out, x.data(), ld_x, activation, w.data(), layout, residual > 0 ? bias.data() : nullptr,
                                        residual == 0 ? nullptr : residual == 1 ? other.data() : y.data(), y.data(), ld_y, MS_TYPE_F32};
      outputs.result(table.linear_forward(context, &args));
      outputs.add("y", y);
    });
  }
}

void backward_input(Shape s, int32_t activation, int32_t layout) {
  const int64_t ld_x = s.in + 3, ld_y = s.out + 5;
  const Guarded<float> x(normal_values(s.rows * ld_x, 1, 2.0f)), w(normal_values(s.in * s.out, 2)), d_y(normal_values(s.rows * ld_y, 3));
  for (const float beta : {0.0f, 1.0f, 0.5f}) {
    contract(label("linear_backward_input", s, activation, layout), chain_bound(s.out), [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
      Guarded<float> d_x = beta == 0.0f ? Guarded<float>(s.rows * ld_x) : Guarded<float>(normal_values(s.rows * ld_x, 5));
      const ms_linear_backward_input_args args{s.rows, s.in, s.out, d_y.data(), ld_y, w.data(), layout, x.data(), activation, d_x.data(), ld_x, beta, MS_TYPE_F32};
      outputs.result(table.linear_backward_input(context, &args));
      outputs.add("d_x", d_x);
    });
  }
}

// Weights of 16 bits: within the bound of the plain backend, and the bits of the same weights in fp32. Backends that hold fp32 alone
// refuse them.
void narrow(Shape s, int32_t layout, int32_t type) {
  const std::vector<uint16_t> values = narrow_values(s.in * s.out, type);
  const Guarded<uint16_t> w(values);
  const Guarded<float> wide(widened(values, type));
  const Guarded<float> x(normal_values(s.rows * s.in, 1)), d_y(normal_values(s.rows * s.out, 3)), bias(normal_values(s.out, 4));
  const std::string name = label("16-bit weights", s, MS_ACTIVATION_GELU_TANH, layout) + (type == MS_TYPE_F16 ? " F16" : " BF16");
  const double largest = 65536.0;
  const auto bound = [&](int64_t depth) { return Bound{largest * chain_bound(depth).absolute, 2e-6}; };
  const auto run = [&](const ms_backend& table, ms_context* context, const void* weights, int32_t weight_type, Guarded<float>& y, Guarded<float>& d_x) {
    const ms_linear_forward_args forward{s.rows, s.in, s.out, x.data(), s.in, MS_ACTIVATION_GELU_TANH, weights, layout, bias.data(), nullptr, y.data(), s.out, weight_type};
    const ms_linear_backward_input_args backward{s.rows, s.in, s.out, d_y.data(), s.out, weights, layout, x.data(), MS_ACTIVATION_GELU_TANH, d_x.data(), s.in, 0.0f, weight_type};
    const int32_t result = table.linear_forward(context, &forward);
    return result != MS_OK ? result : table.linear_backward_input(context, &backward);
  };
  contract(name, bound(std::max(s.in, s.out)), [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
    Guarded<float> y(s.rows * s.out), d_x(s.rows * s.in), wide_y(s.rows * s.out), wide_d_x(s.rows * s.in);
    const bool holds = (table.weight_types >> type & 1) != 0;
    const int32_t narrow_result = run(table, context, w.data(), type, y, d_x);
    outputs.result(run(table, context, wide.data(), MS_TYPE_F32, wide_y, wide_d_x));
    CHECK(narrow_result == (holds ? MS_OK : MS_UNSUPPORTED));
    outputs.add("y", holds ? y : wide_y);
    outputs.add("d_x", holds ? d_x : wide_d_x);
    if (!holds) return;
    CHECK(std::memcmp(y.data(), wide_y.data(), static_cast<size_t>(y.count()) * sizeof(float)) == 0);
    CHECK(std::memcmp(d_x.data(), wide_d_x.data(), static_cast<size_t>(d_x.count()) * sizeof(float)) == 0);
  });
}

void backward_weight(Shape s, int32_t activation, int32_t layout) {
  const int64_t ld_x = s.in + 3, ld_y = s.out + 5;
  const Guarded<float> x(normal_values(s.rows * ld_x, 1, 2.0f)), d_y(normal_values(s.rows * ld_y, 3));
  for (const float beta : {0.0f, 1.0f}) {
    contract(label("linear_backward_weight", s, activation, layout), chain_bound(s.rows), [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
      Guarded<float> d_w = beta == 0.0f ? Guarded<float>(s.in * s.out) : Guarded<float>(normal_values(s.in * s.out, 5));
      Guarded<float> d_bias = beta == 0.0f ? Guarded<float>(s.out) : Guarded<float>(normal_values(s.out, 6));
      const ms_linear_backward_weight_args args{s.rows, s.in, s.out, x.data(), ld_x, activation, d_y.data(), ld_y, d_w.data(), layout, d_bias.data(), beta};
      outputs.result(table.linear_backward_weight(context, &args));
      outputs.add("d_w", d_w);
      outputs.add("d_bias", d_bias);
    });
  }
}

void sample_norm(int64_t in, int64_t out, const std::vector<int32_t>& lengths, int32_t activation, bool cancelling) {
  std::vector<int32_t> offsets{0};
  int32_t longest = 0;
  for (const int32_t length : lengths) {
    offsets.push_back(offsets.back() + length);
    longest = std::max(longest, length);
  }
  const int64_t rows = offsets.back(), ld_x = in + 1, ld_y = out + 2, samples = static_cast<int64_t>(lengths.size()), stride = 3;
  std::vector<float> x_values = normal_values(rows * ld_x, 1), d_y_values = normal_values(rows * ld_y, 2);
  if (cancelling) {  // equal inputs, opposite gradients but for a small remainder
    for (int64_t t = 1; t < rows; t += 2) {
      for (int64_t i = 0; i < ld_x; ++i) x_values[static_cast<size_t>(t * ld_x + i)] = x_values[static_cast<size_t>((t - 1) * ld_x + i)];
      for (int64_t o = 0; o < ld_y; ++o) d_y_values[static_cast<size_t>(t * ld_y + o)] = -(1.0f + 0x1p-10f) * d_y_values[static_cast<size_t>((t - 1) * ld_y + o)];
    }
  }
  const Guarded<float> x(x_values), d_y(d_y_values);
  const std::string name = "linear_sample_norm " + std::to_string(in) + "x" + std::to_string(out) + " rows " + std::to_string(rows) + (cancelling ? " cancelling" : "");
  contract(name, {1e-12, 2e-5}, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
    Guarded<double> weights(samples * stride, 0.25), biases(samples * stride, 0.5);
    const ms_linear_sample_norm_args args{rows, in, out, samples, offsets.data(), longest, x.data(), ld_x, activation, d_y.data(), ld_y, weights.data(), biases.data(), stride};
    outputs.result(table.linear_sample_norm(context, &args));
    outputs.add("weights", weights);
    outputs.add("biases", biases);
  });
}

}  // namespace

int main() {
  for (const Shape shape : kShapes) {
    for (const int32_t layout : {MS_LAYOUT_IN_OUT, MS_LAYOUT_OUT_IN}) {
      for (const int32_t activation : kActivations) {
        if (activation == MS_ACTIVATION_GELU_ERF && shape.rows > 40) continue;
#if defined(MENDSET_CONTRACT_EMULATED)
        if (shape.rows * shape.in * shape.out > 50'000 && activation != MS_ACTIVATION_GELU_TANH) continue;
#endif
        forward(shape, activation, layout);
        backward_input(shape, activation, layout);
        backward_weight(shape, activation, layout);
      }
    }
  }
  for (const Shape shape : kShapes) {
    for (const int32_t layout : {MS_LAYOUT_IN_OUT, MS_LAYOUT_OUT_IN}) {
      for (const int32_t type : {MS_TYPE_BF16, MS_TYPE_F16}) narrow(shape, layout, type);
    }
  }
  for (const int32_t activation : kActivations) {
    sample_norm(31, 33, {1, 5, 0, 33, 2}, activation, false);  // Gram and direct products, by length
    sample_norm(97, 400, {31, 97, 1}, activation, false);
  }
  sample_norm(33, 31, {97, 100}, MS_ACTIVATION_NONE, false);  // direct
  sample_norm(200, 97, {128}, MS_ACTIVATION_GELU_TANH, false);
  sample_norm(97, 200, {20, 8}, MS_ACTIVATION_NONE, true);
  sample_norm(4, 4, {}, MS_ACTIVATION_NONE, false);
  return finish();
}
