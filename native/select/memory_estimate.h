// How much memory a selection task needs beyond its matrix, before it starts.
#pragma once

#include <cstdint>
#include <string>

#include "core/status.h"

namespace mendset {

// An upper estimate in bytes, results included, from the shape alone: equal on every machine. kind: "k-means", "k-center", "pca",
// "nearest-neighbours" or "facility-location"; k: clusters, centres, components, neighbours or budget. Scaled copies that `cosine` and
// `spherical` make (4 n d) are not counted.
Status selection_memory(const std::string& kind, int64_t n, int64_t d, int64_t k, double* bytes);

}  // namespace mendset
