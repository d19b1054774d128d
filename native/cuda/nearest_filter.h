// Labels of nearest_centre by a bfloat16 product and a proven error bound.
#pragma once

#include "cuda/context.h"

namespace mendset::cuda {

bool nearest_filter_pays(const Context& context, const ms_nearest_centre_args& a);
int32_t nearest_by_filter(Context& context, const ms_nearest_centre_args& a);

}  // namespace mendset::cuda
