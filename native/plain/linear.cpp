// Linear maps with the activation in front, and their gradients. Products accumulate in fp64.
#include <vector>

#include "plain/activation.h"
#include "plain/plain_operations.h"
#include "plain/weight_element.h"

namespace mendset {
namespace {

// Element (i, o) of a weight matrix in either layout.
int64_t weight_index(int32_t layout, int64_t in, int64_t out, int64_t i, int64_t o) {
  return layout == MS_LAYOUT_IN_OUT ? i * out + o : o * in + i;
}

// f(x) of a [rows, in] matrix, dense.
std::vector<double> activated(const float* x, int64_t ld_x, int64_t rows, int64_t in, int32_t kind) {
  std::vector<double> values(static_cast<size_t>(rows * in));
  for (int64_t t = 0; t < rows; ++t) {
    for (int64_t i = 0; i < in; ++i) values[static_cast<size_t>(t * in + i)] = activation(kind, x[t * ld_x + i]);
  }
  return values;
}

}  // namespace

int32_t plain_linear_forward(ms_context*, const ms_linear_forward_args* a) {
  const std::vector<double> x = activated(a->x, a->ld_x, a->rows, a->in, a->x_activation);
  for (int64_t t = 0; t < a->rows; ++t) {
    for (int64_t o = 0; o < a->out; ++o) {
      double sum = 0;
      for (int64_t i = 0; i < a->in; ++i) {
        sum += x[static_cast<size_t>(t * a->in + i)] * weight_element(a->w, a->w_type, weight_index(a->layout, a->in, a->out, i, o));
      }
      if (a->bias) sum += a->bias[o];
      if (a->residual) sum += a->residual[t * a->ld_y + o];
      a->y[t * a->ld_y + o] = static_cast<float>(sum);
    }
  }
  return MS_OK;
}

int32_t plain_linear_backward_input(ms_context*, const ms_linear_backward_input_args* a) {
  for (int64_t t = 0; t < a->rows; ++t) {
    for (int64_t i = 0; i < a->in; ++i) {
      double sum = 0;
      for (int64_t o = 0; o < a->out; ++o) {
        sum += static_cast<double>(a->d_y[t * a->ld_y + o]) * weight_element(a->w, a->w_type, weight_index(a->layout, a->in, a->out, i, o));
      }
      if (a->x_activation != MS_ACTIVATION_NONE) sum *= activation_derivative(a->x_activation, a->x[t * a->ld_x + i]);
      float* d_x = a->d_x + t * a->ld_x + i;
      *d_x = static_cast<float>(a->beta == 0 ? sum : static_cast<double>(a->beta) * *d_x + sum);
    }
  }
  return MS_OK;
}

int32_t plain_linear_backward_weight(ms_context*, const ms_linear_backward_weight_args* a) {
  const auto update = [beta = static_cast<double>(a->beta)](float* value, double sum) {
    *value = static_cast<float>(beta == 0 ? sum : beta * *value + sum);
  };
  if (a->d_w) {
    const std::vector<double> x = activated(a->x, a->ld_x, a->rows, a->in, a->x_activation);
    for (int64_t i = 0; i < a->in; ++i) {
      for (int64_t o = 0; o < a->out; ++o) {
        double sum = 0;
        for (int64_t t = 0; t < a->rows; ++t) sum += x[static_cast<size_t>(t * a->in + i)] * a->d_y[t * a->ld_y + o];
        update(a->d_w + weight_index(a->layout, a->in, a->out, i, o), sum);
      }
    }
  }
  if (a->d_bias) {
    for (int64_t o = 0; o < a->out; ++o) {
      double sum = 0;
      for (int64_t t = 0; t < a->rows; ++t) sum += a->d_y[t * a->ld_y + o];
      update(a->d_bias + o, sum);
    }
  }
  return MS_OK;
}

}  // namespace mendset
