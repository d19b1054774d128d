// Nearest rows and the gains of facility location.
#include <algorithm>
#include <cmath>

#include "plain/canonical.h"
#include "plain/plain_operations.h"

namespace mendset {

int32_t plain_nearest_rows(ms_context*, const ms_nearest_rows_args* a) {
  for (int64_t i = 0; i < a->n; ++i) {
    float* const distances = a->distances + i * a->k;
    int32_t* const indices = a->indices + i * a->k;
    for (int64_t j = 0; j < a->candidates; ++j) {
      if (a->first_row + i == a->first_candidate + j) continue;
      const float r = canonical_squared_distance(a->x + i * a->d, a->x_norms[i], a->c + j * a->d, a->c_norms[j], a->d);
      int64_t place = a->k;
      while (place > 0 && r < distances[place - 1]) --place;
      if (place == a->k) continue;
      for (int64_t q = a->k - 1; q > place; --q) {
        distances[q] = distances[q - 1];
        indices[q] = indices[q - 1];
      }
      distances[place] = r;
      indices[place] = static_cast<int32_t>(a->first_candidate + j);
    }
  }
  return MS_OK;
}

int32_t plain_coverage_gains(ms_context*, const ms_coverage_gains_args* a) {
  for (int64_t j = 0; j < (a->update ? 1 : a->candidates); ++j) {
    double gain = 0;
    for (int64_t i = 0; i < a->n; ++i) {
      const float* const x = a->x + i * a->d;
      const float* const c = a->c + j * a->d;
      float rise, value;
      if (a->similarity == MS_SIMILARITY_DOT) {
        value = std::fmax(canonical_dot(x, c, a->d), 0.0f);
        rise = value - a->best[i];
      } else {
        value = canonical_squared_distance(x, a->x_norms[i], c, a->c_norms[j], a->d);
        rise = a->best[i] - value;
      }
      if (!(rise > 0)) continue;
      if (a->update) a->best[i] = value;
      gain += (static_cast<double>(rise) + a->grid) - a->grid;
    }
    if (!a->update) a->gains[j] += gain;
  }
  return MS_OK;
}

}  // namespace mendset
