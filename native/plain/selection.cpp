// Nearest centres, farthest-first distances, and the matrix statistics behind PCA.
#include <algorithm>
#include <cmath>
#include <vector>

#include "plain/canonical.h"
#include "plain/plain_operations.h"

namespace mendset {

int32_t plain_row_norms(ms_context*, const ms_row_norms_args* a) {
  for (int64_t i = 0; i < a->n; ++i) a->norms[i] = canonical_dot(a->x + i * a->d, a->x + i * a->d, a->d);
  return MS_OK;
}

int32_t plain_nearest_centre(ms_context*, const ms_nearest_centre_args* a) {
  for (int64_t i = 0; i < a->n; ++i) {
    int32_t label = -1, second_label = -1;
    float best = INFINITY, second = INFINITY;
    for (int32_t j = 0; j < a->k; ++j) {
      const float v = std::fma(-2.0f, canonical_dot(a->x + i * a->d, a->centres + j * a->d, a->d), a->c_norms[j]);
      if (label < 0 || v < best) {
        second = best;
        second_label = label;
        best = v;
        label = j;
      } else if (second_label < 0 || v < second) {
        second = v;
        second_label = j;
      }
    }
    a->labels[i] = label;
    if (a->best) a->best[i] = best;
    if (a->second_label) a->second_label[i] = second_label;
    if (a->second) a->second[i] = second;
  }
  return MS_OK;
}

int32_t plain_min_distance(ms_context*, const ms_min_distance_args* a) {
  for (int64_t i = 0; i < a->n; ++i) {
    for (int32_t j = 0; j < a->centres; ++j) {
      const float r = canonical_squared_distance(a->x + i * a->d, a->x_norms[i], a->c + j * a->d, a->c_norms[j], a->d);
      if (!(r < a->m[i])) continue;
      a->m[i] = r;
      if (a->nearest) a->nearest[i] = a->first_number + j;
    }
  }
  return MS_OK;
}

int32_t plain_pack_rows(ms_context*, const ms_pack_rows_args* a) {
  for (int64_t i = 0; i < a->n; ++i) std::copy_n(a->x + a->index[i] * a->d, a->d, a->packed + i * a->d);
  return MS_OK;
}

int32_t plain_pick_farthest(ms_context*, const ms_pick_farthest_args* a) {
  *a->count = 0;
  while (*a->count < a->most) {
    int64_t best = -1, open = 0;
    for (int64_t i = 0; i < a->n; ++i) {
      if (!(a->m[i] >= a->threshold)) continue;
      ++open;
      if (best < 0 || a->m[i] > a->m[best]) best = i;
    }
    if (best < 0 || a->m[best] == 0 || (*a->count > 0 && open < a->fewest)) break;
    a->picks[*a->count] = static_cast<int32_t>(best);
    a->squares[(*a->count)++] = a->m[best];
    a->m[best] = -INFINITY;
    const float* const centre = a->packed + best * a->d;
    for (int64_t i = 0; i < a->n; ++i) a->m[i] = std::fmin(a->m[i], canonical_squared_distance(a->packed + i * a->d, a->x_norms[i], centre, a->x_norms[best], a->d));
  }
  return MS_OK;
}

int32_t plain_refresh_minimum(ms_context*, const ms_refresh_minimum_args* a) {
  for (int64_t i = 0; i < a->rows; ++i) {
    const int64_t row = a->index[i];
    while (a->applied[i] < a->centres && a->m[i] >= a->threshold) {
      const int64_t centre = a->centre[a->applied[i]++];
      a->m[i] = std::fmin(a->m[i], canonical_squared_distance(a->x + row * a->d, a->x_norms[row], a->x + centre * a->d, a->x_norms[centre], a->d));
    }
  }
  return MS_OK;
}

int32_t plain_argmax(ms_context*, const ms_argmax_args* a) {
  *a->index = -1;
  *a->value = -INFINITY;
  for (int64_t i = 0; i < a->n; ++i) {
    if (a->taken[i] || (*a->index >= 0 && !(a->m[i] > *a->value))) continue;
    *a->index = i;
    *a->value = a->m[i];
  }
  return MS_OK;
}

int32_t plain_label_sums(ms_context*, const ms_label_sums_args* a) {
  std::fill_n(a->sums, a->k * a->d, 0.0);
  std::fill_n(a->counts, a->k, 0);
  for (int64_t i = 0; i < a->n; ++i) {
    ++a->counts[a->labels[i]];
    for (int64_t c = 0; c < a->d; ++c) a->sums[a->labels[i] * a->d + c] += a->x[i * a->d + c];
  }
  return MS_OK;
}

int32_t plain_column_means(ms_context*, const ms_column_means_args* a) {
  for (int64_t c = 0; c < a->d; ++c) {
    double sum = 0;
    for (int64_t i = 0; i < a->n; ++i) sum += a->x[i * a->d + c];
    a->mean[c] = a->n > 0 ? sum / static_cast<double>(a->n) : 0;
  }
  return MS_OK;
}

int32_t plain_covariance(ms_context*, const ms_covariance_args* a) {
  for (int64_t p = 0; p < a->d; ++p) {
    for (int64_t q = 0; q <= p; ++q) {
      double sum = 0;
      for (int64_t i = 0; i < a->n; ++i) sum += (a->x[i * a->d + p] - a->mean[p]) * (a->x[i * a->d + q] - a->mean[q]);
      a->out[p * a->d + q] = a->out[q * a->d + p] = sum / static_cast<double>(a->n - 1);
    }
  }
  return MS_OK;
}

int32_t plain_project(ms_context*, const ms_project_args* a) {
  for (int64_t i = 0; i < a->n; ++i) {
    for (int64_t r = 0; r < a->r; ++r) {
      double sum = 0;
      for (int64_t c = 0; c < a->d; ++c) sum += (a->x[i * a->d + c] - a->mean[c]) * a->components[r * a->d + c];
      a->y[i * a->r + r] = static_cast<float>(sum);
    }
  }
  return MS_OK;
}

}  // namespace mendset
