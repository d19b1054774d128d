// The contract of what Llama and Qwen add: norms of single heads and the gated linear unit.
#include <utility>

#include "test/contract.h"

using namespace mendset;
using namespace mendset::test;

namespace {

std::string sized(const char* name, std::initializer_list<int64_t> sizes) {
  std::string text = name;
  for (const int64_t size : sizes) text.append(1, ' ').append(std::to_string(size));
  return text;
}

// Norms of the heads of queries and keys: stretches of strided rows.
void group_norm() {
  const std::vector<int32_t> offsets{0, 1, 34, 34, 41, 191, 255, 257};
  const int64_t rows = offsets.back(), samples = static_cast<int64_t>(offsets.size()) - 1;
  for (const auto& [groups, width] : {std::pair<int64_t, int64_t>{1, 5}, {3, 8}, {4, 33}, {2, 128}}) {
    const int64_t ld_x = groups * width + 3, ld_y = groups * width + 6;
    const auto x = normal_values(rows * ld_x, 1, 2.0f), gain = normal_values(width, 2), d_y = normal_values(rows * ld_y, 3);
    std::vector<float> rstd(static_cast<size_t>(rows * groups)), y(static_cast<size_t>(rows * ld_y));
    ms_norm_forward_args forward{rows,     width,   MS_NORM_RMS, 1e-6f,  x.data(), gain.data(), nullptr,
                                 y.data(), nullptr, rstd.data(), groups, ld_x,     ld_y};
    mendset_plain_backend()->norm_forward(nullptr, &forward);
    contract(sized("norm_forward of heads", {groups, width}), {2e-6, 2e-6},
             [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
               Guarded<float> out(std::vector<float>(static_cast<size_t>(rows * ld_y), 9.0f)), statistic(rows * groups);
               ms_norm_forward_args args = forward;
               args.y = out.data(), args.rstd = statistic.data();
               outputs.result(table.norm_forward(context, &args));
               outputs.add("y", out);
               outputs.add("rstd", statistic);
             });
    contract(sized("norm_backward of heads", {groups, width}), {5e-5, 1e-5},
             [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
               Guarded<float> d_x(std::vector<float>(static_cast<size_t>(rows * ld_x), 9.0f)), d_gain(gain);
               const ms_norm_backward_args args{rows,          width,       MS_NORM_RMS, x.data(), gain.data(),
                                                nullptr,       rstd.data(), d_y.data(),  nullptr,  d_x.data(),
                                                d_gain.data(), nullptr,     groups,      ld_x,     ld_y};
               outputs.result(table.norm_backward(context, &args));
               outputs.add("d_x", d_x);
               outputs.add("d_gain", d_gain);
             });
    contract(sized("norm_sample_norm of heads", {groups, width}), {1e-4, 1e-5},
             [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
               Guarded<double> squares(samples, 1.0);
               const ms_norm_sample_norm_args args{rows,     width,   samples,     MS_NORM_RMS, offsets.data(),
                                                   x.data(), nullptr, rstd.data(), d_y.data(),  squares.data(),
                                                   nullptr,  1,       groups,      ld_x,        ld_y};
               outputs.result(table.norm_sample_norm(context, &args));
               outputs.add("gain", squares);
             });
  }
}

void glu() {
  for (const auto& [rows, width] : {std::pair<int64_t, int64_t>{0, 5}, {1, 1}, {31, 33}, {5, 4097}}) {
    const auto x = normal_values(rows * 2 * width, 1, 3.0f), d_out = normal_values(rows * width, 2);
    for (const int32_t kind : {MS_ACTIVATION_NONE, MS_ACTIVATION_GELU_TANH, MS_ACTIVATION_GELU_ERF, MS_ACTIVATION_RELU,
                               MS_ACTIVATION_SILU, MS_ACTIVATION_TANH}) {
      contract(sized("glu", {rows, width, kind}), {2e-6, 2e-6},
               [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
                 Guarded<float> out(rows * width), d_x(rows * 2 * width), in_place(x);
                 const ms_glu_forward_args forward{rows, width, kind, x.data(), out.data()};
                 outputs.result(table.glu_forward(context, &forward));
                 ms_glu_backward_args backward{rows, width, kind, x.data(), d_out.data(), d_x.data()};
                 outputs.result(table.glu_backward(context, &backward));
                 backward.x = backward.d_x = in_place.data();
                 outputs.result(table.glu_backward(context, &backward));
                 outputs.add("out", out);
                 outputs.add("d_x", d_x);
                 outputs.add("d_x in place of x", in_place);
               });
    }
  }
}

}  // namespace

int main() {
  group_norm();
  glu();
  return finish();
}
