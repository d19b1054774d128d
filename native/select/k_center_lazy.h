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

  Status step(Deadline deadline) override;
  Progress progress() const override;

 private:
  enum class Phase { allocate, check, spread, threshold, refresh, pool, pick, nearest, finished };

  // Rows gathered into contiguous device memory with their norms and distances.
  struct Gathered {
    Buffer index, x, norms, minimum;
    int64_t capacity = 0;
  };

  LazyKCenter() = default;
  Status advance();
  Status allocate();
  Status advance_check();
  Status begin_first();
  Status advance_spread();
  Status lower_threshold();
  Status advance_refresh();
  bool next_batch();
  Status form_pool();
  void limit_pool();
  Status gather_pool();
  Status pick();
  Status finish(double coverage);
  Status advance_nearest();

  int64_t chosen() const { return static_cast<int64_t>(centres_.size()); }
  Status choose(int64_t row, float square);
  Status store(int64_t place, int64_t row);
  Status allocate(Gathered* gathered, int64_t capacity);
  Status gather(const std::vector<int32_t>& rows, Gathered* out);
  Status pack(const std::vector<int32_t>& rows, Gathered* out);
  Status gather_centres(int64_t first, int64_t last);
  void write_back();

  std::shared_ptr<Backend> backend_;
  InputMatrix x_;
  KCenterOptions options_;
  Phase phase_ = Phase::allocate;
  bool first_done_ = false;
  int64_t row_ = 0;

  Buffer nearest_;
  Buffer x_norms_, spread_minimum_;
  std::vector<int64_t> centres_;  // warm-start rows, then the order
  std::vector<float> minimum_;    // [n] squared distance to the first applied_[i] centres
  std::vector<int32_t> applied_;  // [n]
  std::vector<uint8_t> taken_;    // [n]
  int64_t taken_count_ = 0;

  Gathered batch_, pool_, block_;  // block_: centres
  Gathered store_;                 // all centres, unless they are too many
  const float* block_rows_ = nullptr;
  const float* block_norms_ = nullptr;
  int64_t block_first_ = 0, block_last_ = 0;
  std::vector<int32_t> candidates_, batch_rows_, pool_rows_;
  size_t next_candidate_ = 0;
  std::vector<float> batch_values_;
  bool batch_packed_ = false;  // batch_ holds batch_rows_ and their values
  int64_t batch_applied_ = 0;  // centres applied to every row of the batch
  std::vector<float> pool_minimum_;
  float threshold_ = 0;
  int64_t wanted_ = 0;  // rows that the next threshold should leave
  int64_t most_ = 0;    // rows that a pool holds at most
  int64_t picks_ = 0;   // from the current pool
};

}  // namespace mendset
