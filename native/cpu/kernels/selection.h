// What happens to a tile of canonical dot products whose rows are centres and whose columns are rows of x (GemmKernels::columns of them).
#pragma once

#include <cstdint>

namespace mendset::cpu {

// The nearest centres of each row of a panel so far, GemmKernels::columns entries each.
struct NearestState {
  float* best;
  int32_t* label;
  float* second;  // nullable: the second nearest is not wanted
  int32_t* second_label;
  float* third;  // nullable; the value alone
};

struct DistancePanel {
  int64_t d, rows_used;  // rows_used: rows of x in the panel
  const float* x;        // element (row, p) at row * row_stride + p * column_stride
  int64_t row_stride, column_stride;
  const float* x_norms;  // padded to the panel's width
  float* m;              // likewise
  int32_t* nearest;      // likewise; always written, whoever does not want it drops it
};

// Bounds that two nearest centroids give a panel of rows: what nearest_bounded keeps where it keeps no centroids apart (m = 0).
struct TwoNearest {
  const float *best, *second;  // v of the two
  const int32_t* label;        // of the best
  const double* squares;       // |x|^2, a whole panel
  const double* moved;         // by centroid
  double all_moved, longest;   // see ms_nearest_bounded_args
  double gamma, fp64_error, rounding, underflow;  // of e: see nearest_bounded.cpp
  float *upper, *lower, *gap;  // out
};

// What bounds of rows are held against: see ms_nearest_bounded_args. Everything by centroid is rounded so that no label stays by rounding.
struct BoundLimits {
  int64_t k;
  const int32_t* labels;
  const float *upper, *gap;
  const float* still;           // [k] what gap must exceed
  const float* moved;           // [k]
  int64_t running, most_running;
  const float* runner_lower;    // [rows, most_running]
  const float* runner_moved;    // [running]
  const float* apart;           // [running, k]
  float error;                  // 2 e, of the longest row
};

struct SelectionKernels {
  // Centres first .. first+centres-1, in ascending order; c_norms starts at centre `first`.
  void (*fold_nearest)(const float* tile, int64_t centres, const float* c_norms, int32_t first, const NearestState& state);
  // For `rows` (at most a panel's) rows: bounds, and whether the second comes too near the best to be told from it.
  void (*bound_two)(const TwoNearest& two, int64_t rows, uint8_t* close);
  // Writes the rows of [first, last) whose label may change; returns how many.
  int64_t (*unsettled)(const BoundLimits& limits, int64_t first, int64_t last, int32_t* rows);
  // The `entries` least values of every row, ascending, equal ones in the order of their centres: values and labels are [entries][columns].
  void (*fold_least)(const float* tile, int64_t centres, const float* c_norms, int32_t first, int64_t entries, float* values, int32_t* labels);
  // Canonical squared distances into the minimum. c and c_norms start at the tile's first centre, whose number is first_number.
  void (*fold_distance)(const float* tile, int64_t centres, const float* c, const float* c_norms, int32_t first_number, const DistancePanel& panel);
  // Canonical squared distances in place of a tile's products; arguments as in fold_distance, m is not read.
  void (*distances)(float* tile, int64_t centres, const float* c, const float* c_norms, const DistancePanel& panel);
  // panel[p][w] = rows[w][p], zeros for w >= used
  void (*pack_rows)(const float* const* rows, int64_t used, int64_t d, float* panel);
  // One centre and `panels` (1 .. 4) neighbouring panels of packed rows: canonical distances into m; x_norms and m are [panels][columns].
  void (*packed_distance)(const float* packed, int64_t panels, int64_t d, const float* x_norms, const float* c, float c_norm, float* m);
  // Appends to list l (at lists + l * ld_lists, counts[l] long) the centres j of the tile with not fma(-2, tile, squares[j]) > limits[l].
  void (*append_below)(const float* tile, int64_t centres, const float* squares, int32_t first, const float* limits, int32_t* lists, int64_t ld_lists, int32_t* counts);
  // out[i] = x . centres[list[i]], in any order of summation.
  void (*dots)(const float* x, const float* centres, const int32_t* list, int64_t count, int64_t d, float* out);
  // The k nearest of each row of the panel: distances and indices [rows_used][k]; limits[w] is the largest of row w.
  void (*merge_nearest)(const float* tile, int64_t centres, int32_t first_number, int64_t first_row, int64_t rows_used, int64_t k, float* limits, float* distances, int32_t* indices);
  // gains[j][w] += max(0, rise), rounded by grid; see coverage_gains. The tile holds products (dot) or distances.
  void (*add_rises)(const float* tile, int64_t centres, bool dot, const float* best, int64_t rows_used, double grid, double* gains);
  // squares[i] = sums over columns of equal remainder modulo 8 of (x - centroids[label])^2
  void (*label_distances)(const float* x, int64_t rows, int64_t d, const double* centroids, const int32_t* labels, double* squares);
  // The rows where the two differ; returns how many.
  int64_t (*changed)(const int32_t* before, const int32_t* after, int64_t n, int32_t* rows);
  // sums[from] -= x, sums[to] += x, rounded by grid, for the rows and columns given; labels < 0 mean nowhere
  void (*move_rows)(const float* x, int64_t ld, const int32_t* rows, int64_t count, int64_t columns, const int32_t* before, const int32_t* after, double grid, double* sums, int64_t ld_sums);
  // panel[p][w] = x[w][p] - mean[p], zeros for w >= rows_used; squares[w] = (|x|^2, |x - mean|^2)
  void (*centre_panel)(const float* x, int64_t rows_used, int64_t d, const float* mean, float* panel, double* squares);
  // norms[w] = chain of panel[p][w]^2 over p, continued from norms[w]; the panel is [depth][GemmKernels::columns].
  void (*chain_squares)(const float* panel, int64_t depth, float* norms);
  // Largest untaken m and its lowest place; place -1 when all are taken.
  void (*largest)(const float* m, const uint8_t* taken, int64_t n, float* value, int64_t* place);
};

}  // namespace mendset::cpu
