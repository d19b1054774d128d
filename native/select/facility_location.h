// Facility location by the exact lazy greedy algorithm (Minoux 1978): gains only fall, so a stale gain is an upper bound, and a candidate
// whose fresh gain reaches every other bound is the greedy choice. Gains are sums in exact arithmetic on a grid, so this holds in floating
// point as well and the order equals the plain algorithm's.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "core/staged_task.h"
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

class FacilityLocation final : public StagedTask {
 public:
  // x is borrowed until the task ends.
  static Status create(std::shared_ptr<Backend> backend, MatrixView x, const FacilityLocationOptions& options, std::unique_ptr<FacilityLocation>* out);

  Progress progress() const override;
  const FacilityLocationResult& result() const { return result_; }
  FacilityLocationResult take_result() { return std::move(result_); }

 private:
  FacilityLocation() = default;
  Status open();
  Status read_rows();
  Status begin();
  Status evaluate();
  Status choose();
  Status update();
  int32_t similarity() const { return options_.metric == Metric::cosine ? MS_SIMILARITY_DOT : MS_SIMILARITY_NEARNESS; }

  std::shared_ptr<Backend> backend_;
  InputMatrix x_;
  FacilityLocationOptions options_;
  bool opened_ = false;
  double grid_ = 0;
  Buffer x_norms_, best_, sums_, index_, block_, block_norms_;
  std::vector<int32_t> batch_;      // candidates under evaluation
  size_t batch_first_ = 0;          // of the block of the batch in hand
  std::vector<double> bounds_;      // [n] gain as last computed; negative infinity: chosen
  std::vector<int64_t> computed_;   // [n] number of choices it was computed after
  FacilityLocationResult result_;
};

}  // namespace mendset
