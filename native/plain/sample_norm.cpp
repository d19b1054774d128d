// Per-sample squared gradient norms: forms each sample's gradient and squares it.
#include <map>
#include <vector>

#include "plain/activation.h"
#include "plain/plain_operations.h"

namespace mendset {
namespace {

double sum_of_squares(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += v * v;
  return sum;
}

// sum over distinct keys of |sum of the rows of e with that key|^2, rows begin .. end-1
double grouped_squares(const int32_t* keys, const float* e, int64_t width, int64_t begin, int64_t end) {
  std::map<int32_t, std::vector<double>> sums;
  for (int64_t t = begin; t < end; ++t) {
    auto& sum = sums[keys[t]];
    sum.resize(static_cast<size_t>(width));
    for (int64_t c = 0; c < width; ++c) sum[static_cast<size_t>(c)] += e[t * width + c];
  }
  double squares = 0;
  for (const auto& [key, sum] : sums) squares += sum_of_squares(sum);
  return squares;
}

}  // namespace

int32_t plain_linear_sample_norm(ms_context*, const ms_linear_sample_norm_args* a) {
  for (int64_t s = 0; s < a->samples; ++s) {
    std::vector<double> d_w(static_cast<size_t>(a->weight_squares ? a->in * a->out : 0)), d_bias(static_cast<size_t>(a->out));
    for (int64_t t = a->offsets[s]; t < a->offsets[s + 1]; ++t) {
      const float* d_y = a->d_y + t * a->ld_y;
      for (int64_t o = 0; o < a->out; ++o) d_bias[static_cast<size_t>(o)] += d_y[o];
      if (!a->weight_squares) continue;
      for (int64_t i = 0; i < a->in; ++i) {
        const double x = activation(a->x_activation, a->x[t * a->ld_x + i]);
        for (int64_t o = 0; o < a->out; ++o) d_w[static_cast<size_t>(i * a->out + o)] += x * d_y[o];
      }
    }
    if (a->weight_squares) a->weight_squares[s * a->stride] += sum_of_squares(d_w);
    if (a->bias_squares) a->bias_squares[s * a->stride] += sum_of_squares(d_bias);
  }
  return MS_OK;
}

int32_t plain_norm_sample_norm(ms_context*, const ms_norm_sample_norm_args* a) {
  for (int64_t s = 0; s < a->samples; ++s) {
    std::vector<double> d_gain(static_cast<size_t>(a->width)), d_bias(static_cast<size_t>(a->width));
    const int64_t groups = a->groups > 0 ? a->groups : 1;
    const int64_t ld_x = a->groups > 0 ? a->ld_x : a->width, ld_y = a->groups > 0 ? a->ld_y : a->width;
    for (int64_t t = a->offsets[s]; t < a->offsets[s + 1]; ++t) {
      const double mean = a->kind == MS_NORM_LAYER ? a->mean[t] : 0;
      for (int64_t g = 0; g < groups; ++g) {
        for (int64_t c = 0; c < a->width; ++c) {
          const double d_y = a->d_y[t * ld_y + g * a->width + c];
          d_gain[static_cast<size_t>(c)] += (a->x[t * ld_x + g * a->width + c] - mean) * a->rstd[t * groups + g] * d_y;
          d_bias[static_cast<size_t>(c)] += d_y;
        }
      }
    }
    if (a->gain_squares) a->gain_squares[s * a->stride] += sum_of_squares(d_gain);
    if (a->bias_squares) a->bias_squares[s * a->stride] += sum_of_squares(d_bias);
  }
  return MS_OK;
}

int32_t plain_embed_sample_norm(ms_context*, const ms_embed_sample_norm_args* a) {
  for (int64_t s = 0; s < a->samples; ++s) {
    const int64_t begin = a->offsets[s], end = a->offsets[s + 1], length = end - begin;
    if (a->token_squares) {
      double squares = grouped_squares(a->ids, a->e, a->width, begin, end);
      if (a->hidden) {
        const float* columns = a->columns + a->column_offsets[s];
        for (int64_t u = 0; u < length; ++u) {
          for (int64_t t = 0; t < length; ++t) {
            double dot = 0;
            for (int64_t c = 0; c < a->width; ++c) {
              dot += static_cast<double>(a->hidden[(begin + u) * a->width + c]) * a->e[(begin + t) * a->width + c];
            }
            squares += 2 * columns[u * length + t] * dot;
          }
        }
      }
      a->token_squares[s * a->stride] += squares;
    }
    if (a->position_squares) a->position_squares[s * a->stride] += grouped_squares(a->positions, a->e, a->width, begin, end);
  }
  return MS_OK;
}

int32_t plain_gather_columns(ms_context*, const ms_gather_columns_args* a) {
  for (int64_t i = 0; i < a->rows; ++i) {
    const int32_t sample = a->sample_of[i];
    const int64_t begin = a->offsets[sample], length = a->offsets[sample + 1] - begin;
    float* column = a->columns + a->column_offsets[sample] + (a->row_of[i] - begin) * length;
    for (int64_t t = 0; t < length; ++t) column[t] = a->p[i * a->vocab + a->ids[begin + t]];
  }
  return MS_OK;
}

}  // namespace mendset
