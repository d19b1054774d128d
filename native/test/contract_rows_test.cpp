// The contract of embeddings, norms, their per-sample gradient norms, and element-wise operations.
#include <numeric>
#include <utility>

#include "test/contract.h"
#include "test/narrow_values.h"
#include "test/packed_samples.h"

using namespace mendset;
using namespace mendset::test;

namespace {

void embedding() {
  for (const auto& [rows, width] : {std::pair<int64_t, int64_t>{0, 5}, {1, 1}, {31, 33}, {257, 192}, {40, 4097}}) {
    constexpr int kVocab = 61, kContext = 50;
    const auto ids = integer_values(rows, kVocab, 1), positions = integer_values(rows, kContext, 2);
    const auto token = normal_values(kVocab * width, 3), position = normal_values(kContext * width, 4),
               d_out = normal_values(rows * width, 5);
    for (const bool with_positions : {true, false}) {
      contract(sized("embed_forward", {rows, width}), {}, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
        Guarded<float> out(rows * width);
        const ms_embed_forward_args args{
            rows,       width,  ids.data(), positions.data(), token.data(), with_positions ? position.data() : nullptr,
            out.data(), nullptr, MS_TYPE_F32};
        outputs.result(table.embed_forward(context, &args));
        outputs.add("out", out);
        ms_embed_forward_args biased = args;
        biased.bias = position.data();
        outputs.result(table.embed_forward(context, &biased));
        outputs.add("out with bias", out);
        for (const int32_t type : {MS_TYPE_BF16, MS_TYPE_F16}) {  // the bits of the same table in fp32
          const std::vector<uint16_t> narrow = narrow_values(kVocab * width, type);
          const std::vector<float> wide = widened(narrow, type);
          Guarded<float> expected(rows * width), actual(rows * width);
          ms_embed_forward_args held = args;
          held.token_table = wide.data();
          held.out = expected.data();
          outputs.result(table.embed_forward(context, &held));
          outputs.add("out of a rounded table", expected);
          held.token_table = narrow.data();
          held.token_type = type;
          held.out = actual.data();
          const bool holds = (table.weight_types >> type & 1) != 0;
          CHECK(table.embed_forward(context, &held) == (holds ? MS_OK : MS_UNSUPPORTED));
          if (holds) CHECK(std::memcmp(actual.data(), expected.data(), static_cast<size_t>(rows * width) * sizeof(float)) == 0);
        }
      });
      contract(sized("embed_backward", {rows, width}), {}, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
        Guarded<float> d_token(token), d_position(position);
        const ms_embed_backward_args args{rows,
                                          width,
                                          ids.data(),
                                          positions.data(),
                                          d_out.data(),
                                          d_token.data(),
                                          with_positions ? d_position.data() : nullptr};
        outputs.result(table.embed_backward(context, &args));
        outputs.add("d_token", d_token);
        outputs.add("d_position", d_position);
      });
    }
  }
}

void norm() {
  for (const auto& [rows, width] : {std::pair<int64_t, int64_t>{0, 5}, {1, 1}, {31, 33}, {129, 192}, {4097, 31}, {70, 1600}}) {
    auto x = normal_values(rows * width, 1, 3.0f);
    for (float& value : x) value += 0.5f;
    const auto gain = normal_values(width, 2), bias = normal_values(width, 3), d_y = normal_values(rows * width, 4),
               residual = normal_values(rows * width, 5);
    for (const int32_t kind : {MS_NORM_LAYER, MS_NORM_RMS}) {
      const char* suffix = kind == MS_NORM_LAYER ? " layer" : " rms";
      contract(sized("norm_forward", {rows, width}) + suffix, {2e-6, 2e-6},
               [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
                 Guarded<float> y(rows * width), mean(rows), rstd(rows), bare(rows * width);
                 ms_norm_forward_args args{rows,        width,       kind, 1e-5f, x.data(), gain.data(), bias.data(), y.data(),
                                           mean.data(), rstd.data(), 0,    0,     0};
                 outputs.result(table.norm_forward(context, &args));
                 args.bias = nullptr, args.mean = nullptr, args.rstd = nullptr, args.y = bare.data();
                 outputs.result(table.norm_forward(context, &args));
                 outputs.add("y", y);
                 if (kind == MS_NORM_LAYER) outputs.add("mean", mean);
                 outputs.add("rstd", rstd);
                 outputs.add("y without bias", bare);
               });
      std::vector<float> mean(static_cast<size_t>(rows)), rstd(static_cast<size_t>(rows)), y(static_cast<size_t>(rows * width));
      const ms_norm_forward_args forward{rows,        width,       kind, 1e-5f, x.data(), gain.data(), bias.data(), y.data(),
                                         mean.data(), rstd.data(), 0,    0,     0};
      mendset_plain_backend()->norm_forward(nullptr, &forward);
      for (const int variant :
           {0, 1, 2, 3}) {  // separate output; in place of the residual; of d_y, no parameters; parameters only
        contract(sized("norm_backward", {rows, width, variant}) + suffix, {5e-5, 1e-5},
                 [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
                   Guarded<float> d_x(variant == 1 ? residual : d_y), d_gain(gain), d_bias(bias);
                   ms_norm_backward_args args{
                       rows,       width,           kind,       x.data(),      gain.data(),   mean.data(), rstd.data(),
                       d_y.data(), residual.data(), d_x.data(), d_gain.data(), d_bias.data(), 0,           0,
                       0};
                   if (variant == 1) args.d_residual = d_x.data();
                   if (variant == 2) args.d_y = d_x.data(), args.d_residual = nullptr, args.d_gain = args.d_bias = nullptr;
                   if (variant == 3) args.d_x = nullptr;
                   outputs.result(table.norm_backward(context, &args));
                   outputs.add("d_x", d_x);
                   outputs.add("d_gain", d_gain);
                   outputs.add("d_bias", d_bias);
                 });
      }
    }
  }
}

void sample_norms() {
  const auto offsets = offsets_of(kLengths), positions = positions_of(kLengths);
  const int64_t rows = offsets.back(), samples = static_cast<int64_t>(kLengths.size());
  constexpr int64_t kStride = 3;
  for (const int64_t width : {1, 31, 192}) {
    const auto x = normal_values(rows * width, 1), d_y = normal_values(rows * width, 2), mean = normal_values(rows, 3, 0.1f);
    const std::vector<float> rstd(static_cast<size_t>(rows), 1.1f);
    for (const int32_t kind : {MS_NORM_LAYER, MS_NORM_RMS}) {
      contract(sized("norm_sample_norm", {width, kind}), {1e-4, 1e-5},
               [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
                 Guarded<double> gain(samples * kStride, 1.0), bias(samples * kStride, 2.0);
                 const ms_norm_sample_norm_args args{rows,        width,       samples,     kind,       offsets.data(),
                                                     x.data(),    mean.data(), rstd.data(), d_y.data(), gain.data(),
                                                     bias.data(), kStride,     0,           0,          0};
                 outputs.result(table.norm_sample_norm(context, &args));
                 outputs.add("gain", gain);
                 outputs.add("bias", bias);
               });
    }
    constexpr int64_t kVocab = 40;  // small: tokens repeat inside a sample
    const auto ids = integer_values(rows, kVocab, 4);
    const auto hidden = normal_values(rows * width, 5), p = normal_values(rows * kVocab, 6, 0.1f);
    std::vector<int64_t> column_offsets;
    int64_t elements = 0;
    std::vector<int32_t> sample_of, row_of;
    for (int64_t s = 0; s < samples; ++s) {
      const int64_t length = kLengths[static_cast<size_t>(s)];
      column_offsets.push_back(elements);
      elements += length * length;
      for (int64_t t = 0; t < length; ++t)
        sample_of.push_back(static_cast<int32_t>(s)), row_of.push_back(offsets[static_cast<size_t>(s)] + static_cast<int32_t>(t));
    }
    const auto gather = [&](const ms_backend& table, ms_context* context, float* columns) {
      const ms_gather_columns_args args{
          rows, kVocab, p.data(), row_of.data(), sample_of.data(), offsets.data(), ids.data(), column_offsets.data(), columns};
      return table.gather_columns(context, &args);
    };
    contract("gather_columns", {}, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
      Guarded<float> columns(elements);
      outputs.result(gather(table, context, columns.data()));
      outputs.add("columns", columns);
    });
    std::vector<float> columns(static_cast<size_t>(elements));
    gather(*mendset_plain_backend(), nullptr, columns.data());
    for (const bool tied : {false, true}) {
      contract(sized("embed_sample_norm", {width, tied}), {2e-3, 1e-5},
               [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
                 Guarded<double> token(samples * kStride, 1.0), position(samples * kStride, 2.0);
                 const ms_embed_sample_norm_args args{rows,
                                                      width,
                                                      samples,
                                                      offsets.data(),
                                                      ids.data(),
                                                      positions.data(),
                                                      d_y.data(),
                                                      tied ? hidden.data() : nullptr,
                                                      tied ? columns.data() : nullptr,
                                                      column_offsets.data(),
                                                      token.data(),
                                                      position.data(),
                                                      kStride};
                 outputs.result(table.embed_sample_norm(context, &args));
                 outputs.add("token", token);
                 outputs.add("position", position);
               });
    }
  }
}

void rows() {
  for (const auto& [count, width] : {std::pair<int64_t, int64_t>{0, 3}, {1, 1}, {33, 31}, {1000, 192}}) {
    const auto x = normal_values(1000 * width, 1);
    std::vector<int32_t> index(static_cast<size_t>(count));
    for (size_t i = 0; i < index.size(); ++i) index[i] = static_cast<int32_t>((i * 7 + 3) % 1000);
    contract(sized("gather_rows", {count, width}), {}, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
      Guarded<float> out(count * width);
      const ms_gather_rows_args args{count, width, index.data(), x.data(), out.data()};
      outputs.result(table.gather_rows(context, &args));
      outputs.add("out", out);
    });
    contract(sized("scatter_rows", {count, width}), {}, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
      Guarded<float> out(1000 * width, 7.0f);
      const ms_scatter_rows_args args{count, width, index.data(), x.data(), out.data()};
      outputs.result(table.scatter_rows(context, &args));
      outputs.add("out", out);
    });
  }
  const auto offsets = offsets_of(kLengths);
  const int64_t samples = static_cast<int64_t>(kLengths.size());
  for (const int64_t width : {1, 33, 1600}) {
    const auto x = normal_values(offsets.back() * width, 1);
    for (const int32_t normalize : {0, 1}) {
      contract(sized("mean_pool", {width, normalize}), {1e-7, 1e-6},
               [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
                 Guarded<float> out(samples * width);
                 const ms_mean_pool_args args{samples, width, offsets.data(), x.data(), normalize, out.data()};
                 outputs.result(table.mean_pool(context, &args));
                 outputs.add("out", out);
               });
    }
  }
}

void elements() {
  for (const int64_t count : {0, 1, 31, 4097, 300'001}) {
    const auto w = normal_values(count, 1), g = normal_values(count, 2), m = normal_values(count, 3);
    auto v = normal_values(count, 4);
    for (float& value : v) value *= value;
    contract(sized("fill", {count}), {}, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
      Guarded<float> out(count);
      const ms_fill_args args{count, 1.5f, out.data()};
      outputs.result(table.fill(context, &args));
      outputs.add("out", out);
    });
    contract(sized("sum_squares", {count}), {0, 1e-12}, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
      Guarded<double> out(1, 3.0);
      const ms_sum_squares_args args{count, w.data(), out.data()};
      outputs.result(table.sum_squares(context, &args));
      outputs.add("out", out);
    });
    contract(sized("rmsprop", {count}), {1e-7, 5e-7}, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
      Guarded<float> weight(w), square(v);
      const ms_rmsprop_args args{count, weight.data(), g.data(), square.data(), 1e-3f, 0.99f, 1e-8f, 0.7f};
      outputs.result(table.rmsprop(context, &args));
      outputs.add("w", weight);
      outputs.add("v", square);
    });
    contract(sized("adamw", {count}), {2e-7, 1e-6}, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
      Guarded<float> weight(w), first(m), second(v);
      const ms_adamw_args args{count, weight.data(), g.data(), first.data(), second.data(), 1e-3f,
                               0.9f,  0.999f,        1e-8f,    0.01f,        0.7f,          1000};
      outputs.result(table.adamw(context, &args));
      outputs.add("w", weight);
      outputs.add("m", first);
      outputs.add("v", second);
    });
  }
}

}  // namespace

int main() {
  embedding();
  norm();
  sample_norms();
  rows();
  elements();
  return finish();
}
