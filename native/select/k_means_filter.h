// Decides, pass by pass, whether the filter of nearest_filtered pays, and keeps what it needs: principal directions of a sample, the part
// of every row that lies along them, and bounds from one pass to the next. Nothing here changes a label.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "select/input_matrix.h"

namespace mendset {

class KMeansFilter {
 public:
  // Nullptr where a filter cannot pay: few rows, columns or clusters.
  static std::unique_ptr<KMeansFilter> create(std::shared_ptr<Backend> backend, const InputMatrix& x, int64_t k);

  // Leading directions that the filter would use; 0 where it cannot pay.
  static int64_t directions_for(int64_t n, int64_t d, int64_t k);

  // One step of the preparation.
  Status prepare();
  bool prepared() const { return prepared_; }

  // Labels start anew.
  void begin_restart();
  // rounded: the pass's centres [k, d], on the host and on the device.
  Status begin_pass(const std::vector<float>& rounded, const float* centres, const float* c_norms);
  // Rows [first, last) of the pass; chunks are the same in every pass. Counts what was evaluated.
  Status assign(int64_t first, int64_t last, int32_t* labels);
  // The label of this row was changed by hand.
  Status forget(int64_t row);

  int64_t filtered() const { return evaluated_[0]; }
  int64_t distances() const { return evaluated_[1]; }

 private:
  KMeansFilter(std::shared_ptr<Backend> backend, const InputMatrix& x, int64_t k);
  Status sample();
  Status improve_directions();
  Status unfiltered(int64_t first, int64_t last, int32_t* labels);

  std::shared_ptr<Backend> backend_;
  const InputMatrix& x_;
  int64_t k_, r_;
  bool prepared_ = false;
  int64_t round_ = -1;
  double head_error_ = 0;
  std::vector<double> directions_;  // [r, d]
  Buffer mean_, rounded_directions_, zero_mean_, covariance_, components_, product_;
  Buffer heads_, squares_, upper_, lower_, c_heads_, c_squares64_, c_squares_, moved_, counters_;
  double c_length_ = 0, c_spread_ = 0;

  int64_t heads_done_ = 0;  // rows whose heads exist, from the first on
  std::vector<float> previous_;
  std::vector<int64_t> bounded_;  // by chunk: the pass that left bounds, -1 none
  int64_t pass_ = -1, next_decision_ = 0;
  bool on_ = true;
  int64_t chunk_ = 0, seen_rows_ = 0, seen_[2] = {0, 0};
  const float* centres_ = nullptr;
  const float* c_norms_ = nullptr;
  int64_t evaluated_[2] = {0, 0};
};

}  // namespace mendset
