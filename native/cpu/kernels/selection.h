// What happens to a tile of canonical dot products whose rows are centres and whose columns are rows of x (GemmKernels::columns of them).
#pragma once

#include <cstdint>

namespace mendset::cpu {

// The two nearest centres of each row of a panel so far, GemmKernels::columns entries each.
struct NearestState {
  float* best;
  int32_t* label;
  float* second;  // nullable: the second nearest is not wanted
  int32_t* second_label;
};

struct DistancePanel {
  int64_t d, rows_used;  // rows_used: rows of x in the panel
  const float* x;        // [rows_used, d]
  const float* x_norms;  // padded to the panel's width
  float* m;              // likewise
  int32_t* nearest;      // likewise; always written, whoever does not want it drops it
};

struct SelectionKernels {
  // Centres first .. first+centres-1, in ascending order; c_norms starts at centre `first`.
  void (*fold_nearest)(const float* tile, int64_t centres, const float* c_norms, int32_t first, const NearestState& state);
  // Canonical squared distances into the minimum. c and c_norms start at the tile's first centre, whose number is first_number.
  void (*fold_distance)(const float* tile, int64_t centres, const float* c, const float* c_norms, int32_t first_number, const DistancePanel& panel);
  // norms[w] = chain of panel[p][w]^2 over p, continued from norms[w]; the panel is [depth][GemmKernels::columns].
  void (*chain_squares)(const float* panel, int64_t depth, float* norms);
  // Largest untaken m and its lowest place; place -1 when all are taken.
  void (*largest)(const float* m, const uint8_t* taken, int64_t n, float* value, int64_t* place);
};

}  // namespace mendset::cpu
