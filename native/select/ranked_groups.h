// The members of each group by descending value.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/status.h"

namespace mendset {

// ranked: all indices by (group, descending value, index); ends[g]: where group g ends in it. labels are 0 .. groups - 1; NaN is an error.
Status rank_groups(std::span<const double> values, std::span<const int32_t> labels, std::span<int32_t> ranked, std::span<int32_t> ends);

}  // namespace mendset
