// The k best positions of a vector by (value, lowest index).
#pragma once

#include <cstdint>
#include <vector>

#include "core/status.h"

namespace mendset {

// indices: min(k, n) positions of the largest values in descending order, ties to the lowest index. NaN is an error.
Status top_k(const double* values, int64_t n, int64_t k, std::vector<int64_t>* indices);

}  // namespace mendset
