// The first entries of a Fisher-Yates permutation.
#pragma once

#include <cstdint>
#include <vector>

#include "core/random.h"
#include "core/status.h"

namespace mendset {

// Entries 0 .. count-1 of the permutation of 0 .. n-1 that swaps i = n-1 .. 1 with below(i + 1). All draws are needed, whatever the count.
Status permutation_prefix(RandomStream stream, int64_t n, int64_t count, std::vector<int32_t>* out);

// Fisher-Yates in place: for i = count-1 .. 1 swap i with below(i + 1).
void shuffle(RandomStream& stream, int32_t* values, int64_t count);

}  // namespace mendset
