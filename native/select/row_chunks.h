// How many rows one chunk of a stepped task covers. Chosen by the problem alone, so where a step ends never changes a bit.
#pragma once

#include <algorithm>
#include <cstdint>

namespace mendset {

// A multiple of 1024 rows worth about `target` multiply-adds (a few milliseconds on two cores), at least 1024.
inline int64_t chunk_rows(int64_t multiply_adds_per_row, int64_t target = int64_t{1} << 26) {
  const int64_t rows = target / std::max<int64_t>(multiply_adds_per_row, 1) / 1024 * 1024;
  return std::clamp<int64_t>(rows, 1024, int64_t{1} << 20);
}

// Of a pass that only reads the rows, some 32 MiB: a chunk is short even where they come from a disk or are scaled on one core.
inline int64_t pass_rows(int64_t d) { return chunk_rows(d, int64_t{1} << 23); }

}  // namespace mendset
