// Moving and summing rows.
#include <algorithm>
#include <cmath>
#include <vector>

#include "plain/plain_operations.h"

namespace mendset {

int32_t plain_gather_rows(ms_context*, const ms_gather_rows_args* a) {
  for (int64_t i = 0; i < a->rows; ++i) std::copy_n(a->x + a->index[i] * a->width, a->width, a->out + i * a->width);
  return MS_OK;
}

int32_t plain_scatter_rows(ms_context*, const ms_scatter_rows_args* a) {
  for (int64_t i = 0; i < a->rows; ++i) std::copy_n(a->x + i * a->width, a->width, a->out + a->index[i] * a->width);
  return MS_OK;
}

int32_t plain_mean_pool(ms_context*, const ms_mean_pool_args* a) {
  std::vector<double> mean(static_cast<size_t>(a->width));
  for (int64_t s = 0; s < a->samples; ++s) {
    const int64_t begin = a->offsets[s], end = a->offsets[s + 1];
    double squares = 0;
    for (int64_t c = 0; c < a->width; ++c) {
      double sum = 0;
      for (int64_t t = begin; t < end; ++t) sum += a->x[t * a->width + c];
      mean[static_cast<size_t>(c)] = end > begin ? sum / static_cast<double>(end - begin) : 0;
      squares += mean[static_cast<size_t>(c)] * mean[static_cast<size_t>(c)];
    }
    const double divisor = a->normalize ? std::max(std::sqrt(squares), 1e-12) : 1;
    for (int64_t c = 0; c < a->width; ++c) a->out[s * a->width + c] = static_cast<float>(mean[static_cast<size_t>(c)] / divisor);
  }
  return MS_OK;
}

int32_t plain_fill(ms_context*, const ms_fill_args* a) {
  std::fill_n(a->out, a->count, a->value);
  return MS_OK;
}

int32_t plain_sum_squares(ms_context*, const ms_sum_squares_args* a) {
  double sum = 0;
  for (int64_t i = 0; i < a->count; ++i) sum += static_cast<double>(a->x[i]) * a->x[i];
  *a->out += sum;
  return MS_OK;
}

}  // namespace mendset
