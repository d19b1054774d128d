// One function per operation of mendset/backend.h, each in the file named after its group.
#pragma once

#include "cuda/context.h"

namespace mendset::cuda {

#define MS_DECLARE(name) int32_t name(Context&, const ms_##name##_args&);
MS_OPERATIONS(MS_DECLARE)
#undef MS_DECLARE

}  // namespace mendset::cuda
