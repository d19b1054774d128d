// The labels of a pass: keeps bounds from one pass to the next, and the heads of rows for the filter of nearest_bounded, and decides pass by
// pass which of them pay. Nothing here changes a label.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "select/input_matrix.h"

namespace mendset {

// The centroids of a pass: fp64 and rounded on the host [k, d], and what the device has of them.
struct PassCentroids {
  const std::vector<double>& exact;
  const double* device_exact;
  const float* rounded;
  const float* norms;
  double spread;  // root of the mean squared distance of rows to their centroids in the pass before, 0 in the first
};

class KMeansAssignment {
 public:
  // x is borrowed. prune: false compares every row with every centroid.
  KMeansAssignment(std::shared_ptr<Backend> backend, const InputMatrix& x, int64_t k, bool prune);

  // Leading directions that the filter would use, 0 where it cannot pay; other centroids that a row keeps apart.
  static int64_t directions_for(int64_t n, int64_t d, int64_t k);
  static int64_t near_for(int64_t d, int64_t k);
  static int64_t runners_for(int64_t d, int64_t k);

  // One step of the preparation.
  Status prepare();
  bool prepared() const { return prepared_; }

  // squares: [n] |x|^2 on the device; x_length: at least the length of every row. Labels start anew.
  void begin_restart(const double* squares, double x_length, const std::vector<double>& centroids);
  Status begin_pass(const PassCentroids& centroids);
  // Rows [first, last) of the pass; chunks are the same in every pass.
  Status assign(int64_t first, int64_t last, int32_t* labels);
  // The label of this row was changed by hand.
  Status forget(int64_t row);

  int64_t filtered() const { return evaluated_[0]; }
  int64_t distances() const { return evaluated_[1] + evaluated_[2] + evaluated_[3]; }

 private:
  Status sample();
  Status improve_directions();
  Status begin_filter();
  Status allocate_bounds();
  Status place_runners(double spread);
  Status part_runners();
  Status extend_heads(int64_t last);
  Status compare(int64_t first, int64_t last, bool known, int32_t* labels, int64_t* counts);
  double filtered_cost(const int64_t* counts) const;
  void decide_filter(int64_t rows, const int64_t* counts);
  void decide_bounds(int64_t rows, bool known, const int64_t* counts, const int32_t* labels);
  double spared_ahead(int64_t rows, const int32_t* labels) const;

  std::shared_ptr<Backend> backend_;
  const InputMatrix& x_;
  const int64_t k_, r_, m_, most_running_;
  const bool prune_;
  bool prepared_ = false;
  int64_t round_ = -1;
  double head_error_ = 0;
  std::vector<double> directions_;  // [r, d]
  Buffer mean_, rounded_directions_, zero_mean_, covariance_, components_, product_;
  Buffer heads_, spreads_, c_heads_, c_spreads64_, c_spreads_;  // of the filter
  Buffer upper_, lower_, gap_, near_, near_lower_, runner_lower_, moved_, counters_;
  int64_t heads_done_ = 0;  // rows whose heads exist, from the first on

  const double* squares_ = nullptr;
  double x_length_ = 0, longest_ = 0, c_length_ = 0, c_spread_ = 0;
  const double* exact_ = nullptr;
  const float *rounded_ = nullptr, *norms_ = nullptr;
  std::vector<double> previous_, moved_sums_;
  std::vector<double> steps_;              // by centroid: how far it moved before this pass
  double all_step_ = 0, shrinkage_ = 1;    // the farthest of those that do not run, and what it is of that of the pass before
  double all_moved_ = 0, stretch_ = 0;
  // Centroids that move much farther than most, usually those of a few outlying rows: they have bounds of their own, so that they do not wear out
  // those of all others.
  std::vector<int32_t> runners_;
  std::vector<bool> runs_;
  size_t running_before_ = 0;    // of the pass before
  std::vector<double> joined_;  // by runner
  Buffer runners_device_, joined_device_, apart_, runner_labels_, runner_squares_;
  std::vector<int64_t> bounded_;  // by chunk: the pass that left bounds, -1 none
  int64_t pass_ = -1, chunk_ = 0;
  bool bounds_ = false, filter_ = false;  // of the first chunk, then of the others
  int64_t next_bounds_ = 0, next_filter_ = 0, patience_ = 0, filter_patience_ = 0;
  int64_t evaluated_[4] = {0, 0, 0, 0};
};

}  // namespace mendset
