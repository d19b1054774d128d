// The passes of k-means as written in the contract: no filter, no bounds.
#include <algorithm>
#include <cmath>
#include <vector>

#include "plain/canonical.h"
#include "plain/plain_operations.h"

namespace mendset {

int32_t plain_each_distance(ms_context*, const ms_each_distance_args* a) {
  for (int64_t j = 0; j < a->centres; ++j) {
    for (int64_t i = 0; i < a->n; ++i) {
      a->squares[j * a->ld_squares + i] = canonical_squared_distance(a->x + i * a->d, a->x_norms[i], a->c + j * a->d, a->c_norms[j], a->d);
    }
  }
  return MS_OK;
}

int32_t plain_label_distances(ms_context*, const ms_label_distances_args* a) {
  for (int64_t i = 0; i < a->n; ++i) {
    double sums[8] = {};
    for (int64_t p = 0; p < a->d; ++p) {
      const double centre = a->centroids ? a->centroids[a->labels[i] * a->d + p] : 0.0;
      const double difference = static_cast<double>(a->x[i * a->d + p]) - centre;
      sums[p % 8] += difference * difference;
    }
    a->squares[i] = ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
  }
  return MS_OK;
}

int32_t plain_move_rows(ms_context*, const ms_move_rows_args* a) {
  for (int64_t i = 0; i < a->n; ++i) {
    const int32_t from = a->before[i], to = a->after[i];
    if (from == to) continue;
    for (int64_t p = 0; p < a->d; ++p) {
      const double value = (static_cast<double>(a->x[i * a->d + p]) + a->grid) - a->grid;
      if (from >= 0) a->sums[from * a->d + p] -= value;
      a->sums[to * a->d + p] += value;
    }
    if (from >= 0) --a->counts[from];
    ++a->counts[to];
  }
  return MS_OK;
}

int32_t plain_filter_heads(ms_context*, const ms_filter_heads_args* a) {
  std::vector<float> centred(static_cast<size_t>(a->d));
  for (int64_t i = 0; i < a->n; ++i) {
    double length = 0, spread = 0, head = 0;
    for (int64_t p = 0; p < a->d; ++p) {
      const double value = static_cast<double>(a->x[i * a->d + p]), difference = value - static_cast<double>(a->mean[p]);
      length += value * value;
      spread += difference * difference;
      centred[static_cast<size_t>(p)] = a->x[i * a->d + p] - a->mean[p];
    }
    float* const out = a->heads + i * (a->r + 1);
    for (int64_t j = 0; j < a->r; ++j) {
      out[j] = canonical_dot(a->directions + j * a->d, centred.data(), a->d);
      head += static_cast<double>(out[j]) * static_cast<double>(out[j]);
    }
    const double tail = std::sqrt(std::max(0.0, spread - head + 3 * a->head_error * spread));
    out[a->r] = std::nextafter(static_cast<float>(tail), INFINITY);
    if (a->lengths) a->lengths[i] = length;
    a->spreads[i] = spread;
  }
  return MS_OK;
}

int32_t plain_nearest_bounded(ms_context* context, const ms_nearest_bounded_args* a) {
  for (int64_t i = 0; i < a->n; ++i) {
    int32_t label = 0;
    double least = INFINITY;
    for (int32_t j = 0; j < a->k; ++j) {
      double square = 0;
      const ms_label_distances_args one{1, a->d, a->x + i * a->d, a->centroids, &j, &square};
      plain_label_distances(context, &one);
      if (!(square < least)) continue;
      least = square;
      label = j;
    }
    a->labels[i] = label;
    if (a->upper) a->lower[i] = a->gap[i] = -INFINITY;
  }
  a->evaluated[3] += a->n * a->k;
  return MS_OK;
}

}  // namespace mendset
