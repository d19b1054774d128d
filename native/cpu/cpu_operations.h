// The fast operations, one function per entry of the table.
#pragma once

#include "mendset/backend.h"

namespace mendset {
#define MS_CPU_OPERATION(name) int32_t cpu_##name(ms_context* context, const ms_##name##_args* args);
MS_OPERATIONS(MS_CPU_OPERATION)
#undef MS_CPU_OPERATION
}  // namespace mendset
