// K-Center greedy that reads few rows per centre, with exactly the order, radii and coverage of the plain form.
//
// A row's distance to its nearest centre only falls, so a value that ignores the newest centres is an upper bound. The rows whose
// bound reaches a threshold are brought up to date and form a pool; while the pool's maximum stays at or above the threshold it
// is the maximum of all rows (every row outside is below it), and only the pool is updated. Then the threshold is lowered.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "select/k_center.h"

namespace mendset {

class LazyKCenter final : public KCenterTask {
 public:
  // Needs exclude_taken.
  static Status create(std::shared_ptr<Backend> backend, MatrixView x, KCenterOptions options, std::unique_ptr<KCenterTask>* out);

  Progress progress() const override;

 private:
  LazyKCenter() = default;
  Status opened() override;
  Status begin_first();
  Status lower_threshold();
  void order_candidates();
  Status refresh();
  Status form_pool();
  void limit_pool();
  Status gather_pool();
  Status pick();
  Status pick_rounds();
  Status finish(double coverage);
  Status begin_nearest();
  Status advance_nearest();

  int64_t chosen() const { return static_cast<int64_t>(centres_.size()); }
  void choose(int64_t row, float square);
  Status upload_centres(size_t first);
  // All centres on some rows of minimum_ and applied_, each until it falls below the threshold.
  Status bring_up_to_date(const int32_t* rows, int64_t count, float threshold);
  void write_back();

  std::vector<int32_t> centres_;  // warm-start rows, then the order
  std::vector<float> minimum_;    // [n] squared distance to the first applied_[i] centres
  std::vector<int32_t> applied_;  // [n]
  std::vector<uint8_t> taken_;    // [n]
  int64_t taken_count_ = 0;
  Buffer centre_rows_;  // centres_ on the device

  Buffer refresh_index_, refresh_minimum_, refresh_applied_;  // [kMostRefreshed]
  std::vector<int32_t> candidates_;                           // by the centres applied to them
  size_t next_candidate_ = 0;

  struct Packed {
    Buffer index, x, norms, minimum;
    Buffer picked;  // Picked: what pick_farthest returns
  } pool_;
  std::vector<int32_t> pool_rows_;
  std::vector<float> pool_minimum_;
  float threshold_ = 0;
  int64_t wanted_ = 0;  // rows that the next threshold should leave
  int64_t most_ = 0;    // rows that a pool holds at most
  int64_t picks_ = 0;   // from the current pool

  struct Nearest {
    Buffer x, norms, minimum, number;  // a block of centres; [n], [n]
    int64_t first = 0, last = 0;       // centres of the block
  } nearest_;
};

}  // namespace mendset
