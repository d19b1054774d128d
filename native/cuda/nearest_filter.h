// Labels of nearest_centre and nearest_bounded by a product of the tensor cores (or an fp32 one) and a proven error bound.
#pragma once

#include "cuda/context.h"

namespace mendset::cuda {

struct NearestQuestion {
  const float* x;          // [n, d]
  const float* centres;    // [k, d]
  const float* c_norms;    // [k]
  const double* centroids; // [k, d], nullable: then the fp64 distances to them decide, and centres are their roundings
  int64_t n, k, d;
  int32_t* labels;
};

bool nearest_filter_pays(const Context& context, const ms_nearest_centre_args& a);
int32_t nearest_by_filter(Context& context, const NearestQuestion& question);

}  // namespace mendset::cuda
