// Orthonormal bases of a few long vectors.
#pragma once

#include <cstdint>

namespace mendset {

// Rows of [count, columns], count <= columns, by Gram-Schmidt, each row twice; one that vanishes is replaced by the next coordinate axis.
void orthonormalise(double* rows, int64_t count, int64_t columns);

}  // namespace mendset
