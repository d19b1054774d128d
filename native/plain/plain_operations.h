// One function per operation of mendset/backend.h: plain_embed_forward, plain_norm_forward ... The context is not used.
#pragma once

#include "mendset/backend.h"

namespace mendset {

#define MS_DECLARE(name) int32_t plain_##name(ms_context*, const ms_##name##_args*);
MS_OPERATIONS(MS_DECLARE)
#undef MS_DECLARE

}  // namespace mendset
