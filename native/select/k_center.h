// K-Center greedy (farthest first), exact: canonical distances, lowest index on ties.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "core/staged_task.h"
#include "select/input_matrix.h"

namespace mendset {

enum class FirstCentre { given, farthest_from_mean, greedy };  // greedy: the farthest from the warm-start rows

struct KCenterOptions {
  int64_t k = 0;  // centres to choose, the first one included: 0 .. rows that may be chosen
  FirstCentre first = FirstCentre::given;
  int64_t first_index = 0;
  std::vector<int64_t> warm_start;  // rows that are centres already; not counted and never chosen
  bool exclude_taken = true;        // false: the published code, which repeats index 0 once every distance is 0
  bool want_nearest = false;
  // cosine: distances are 1 - cosine, half the squared distance of rows scaled to length 1 (once, in a copy); a row of length 0 stays 0.
  Metric metric = Metric::euclidean;
};

struct KCenterResult {
  std::vector<int64_t> order;
  std::vector<double> radii;     // distance of each centre to the earlier ones when it was picked; infinity for the very first
  std::vector<double> coverages;  // after each choice: largest distance of a row to its nearest centre
  double coverage = 0;  // the last of them, or that of the warm start alone; infinity without centres
  std::vector<int32_t> nearest;  // [n] number of the nearest centre, warm-start rows first; empty unless asked for
};

// What both forms share: the checked options, the rows and their norms.
class KCenterTask : public StagedTask {
 public:
  const KCenterResult& result() const { return result_; }
  KCenterResult take_result() { return std::move(result_); }

 protected:
  // Enters the stages that read the rows once and find the row farthest from their mean, where it is asked for: opened() follows them, with
  // that row as the given first centre.
  Status begin(std::shared_ptr<Backend> backend, MatrixView x, KCenterOptions options);
  virtual Status opened() = 0;

  // Squares are what the algorithm compares; results are in the metric's own measure.
  double measured(float square) const;
  void record(int64_t row, float square);
  // The covering radius after a choice is the distance of the next one; after the last it is `coverage`.
  void conclude(double coverage);

  std::shared_ptr<Backend> backend_;
  InputMatrix x_;
  KCenterOptions options_;
  Buffer x_norms_;
  KCenterResult result_;

 private:
  Status open();
  Status read_rows();
  Status begin_from_mean();
  Status find_first();

  Buffer mean_row_, mean_norm_, from_mean_;  // of find_first: [d], [1], [rows of a chunk]
  std::vector<uint8_t> excluded_;            // [n]
  float farthest_ = -1;
};

// The faster of the two forms: the lazy one unless repeated choices are wanted. x is borrowed until the task ends.
Status k_center_task(std::shared_ptr<Backend> backend, MatrixView x, KCenterOptions options, std::unique_ptr<KCenterTask>* out);

// The plain form, and the judge of the lazy one: every centre is applied to every row.
class KCenter final : public KCenterTask {
 public:
  static Status create(std::shared_ptr<Backend> backend, MatrixView x, KCenterOptions options, std::unique_ptr<KCenterTask>* out);

  Progress progress() const override;

 private:
  KCenter() = default;
  Status opened() override;
  Status pick();
  Status argmax(int64_t* index);
  Status spread();
  Status finish();

  int64_t applied_ = 0;  // centres, warm-start rows included, whose distances are in minimum_
  int64_t centre_ = 0;   // the row being applied
  Buffer minimum_;       // [n] squared distance to the nearest centre
  Buffer nearest_;       // [n]
  Buffer taken_;         // [n] bytes
  Buffer value_, index_;
};

}  // namespace mendset
