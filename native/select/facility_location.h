// Facility location by the exact lazy greedy algorithm (Minoux 1978): gains only fall, so a stale gain is an upper bound, and a candidate
// whose fresh gain reaches every other bound is the greedy choice. Gains are sums in exact arithmetic on a grid, so this holds in floating
// point as well and the order equals the plain algorithm's.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/task.h"
#include "select/input_matrix.h"

namespace mendset {

struct FacilityLocationOptions {
  int64_t budget = 0;  // 0 .. n
  // cosine: similarity max(0, cosine). euclidean: M - squared distance, M = 4 x the largest squared length.
  Metric metric = Metric::cosine;
  bool lazy = true;  // false: every gain anew for every choice, the judge of the lazy form
};

struct FacilityLocationResult {
  std::vector<int64_t> order;
  std::vector<double> gains;
  double value = 0;
  int64_t evaluations = 0;
};

class FacilityLocation final : public Task {
 public:
  // x is borrowed until the task ends.
  static Status create(std::shared_ptr<Backend> backend, MatrixView x, const FacilityLocationOptions& options, std::unique_ptr<FacilityLocation>* out);

  Status step(Deadline deadline) override;
  Progress progress() const override;
  const FacilityLocationResult& result() const { return result_; }

 private:
  enum class Phase { check, evaluate, choose, update, finished };
  FacilityLocation() = default;
  Status advance();
  Status begin();
  Status advance_evaluate();
  Status advance_update();
  Status choose();

  std::shared_ptr<Backend> backend_;
  InputMatrix x_;
  FacilityLocationOptions options_;
  Phase phase_ = Phase::check;
  int64_t row_ = 0;
  double grid_ = 0;
  Buffer x_norms_, best_, sums_, index_, block_, block_norms_;
  std::vector<int32_t> batch_;      // candidates under evaluation
  size_t batch_first_ = 0;          // of the block of the batch in hand
  std::vector<double> bounds_;      // [n] gain as last computed; negative infinity: chosen
  std::vector<int64_t> computed_;   // [n] number of choices it was computed after
  FacilityLocationResult result_;
};

}  // namespace mendset
