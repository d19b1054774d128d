// Principal components: column means, covariance and eigenvectors in fp64, sign rule, projection without whitening. Beyond 2048 columns
// subspace iteration takes the place of the covariance (Halko, Martinsson and Tropp 2011, algorithm 4.4): 16 directions more than asked for, 4
// rounds in fp32 products from a fixed random start, then an exact eigendecomposition within the subspace. Deterministic; approximate
// where variances beyond the last component nearly equal it.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "core/task.h"
#include "select/input_matrix.h"
#include "select/symmetric_eigen.h"

namespace mendset {

struct PcaOptions {
  int64_t components = 50;  // at most; never more than min(d, max(n - 1, 1))
  double target_variance =
      0;  // > 0: the smallest number of components (within the limit above) whose share of the variance reaches it
};

struct PcaResult {
  int64_t components = 0;          // r
  std::vector<double> mean;        // [d]
  std::vector<double> directions;  // [r, d], unit rows; the entry of largest magnitude (lowest column on ties) is positive
  std::vector<double> variances;   // [r], descending, divisor n - 1
  double total_variance = 0;
  AlignedVector<float> projected;  // [n, r]
};

class Pca final : public Task {
 public:
  // x is borrowed until the task ends.
  static Status create(std::shared_ptr<Backend> backend, MatrixView x, const PcaOptions& options, std::unique_ptr<Pca>* out);

  Status step(Deadline deadline) override;
  Progress progress() const override;
  const PcaResult& result() const { return result_; }
  PcaResult take_result() { return std::move(result_); }

 private:
  enum class Phase { allocate, check, covariance, spread, sketch, gather, eigen, project, finished };

  Pca() = default;
  Status allocate();
  Status advance();
  Status advance_check();
  Status advance_covariance();
  Status advance_eigen();
  Status choose_components();
  // pca_sketch.cpp
  bool sketched() const;
  Status begin_sketch();
  Status advance_spread();
  Status advance_sketch();
  Status advance_gather();
  int64_t sketch_rows() const;
  int64_t project_rows() const;
  Status advance_project();

  std::shared_ptr<Backend> backend_;
  InputMatrix x_;
  PcaOptions options_;
  Phase phase_ = Phase::allocate;
  int64_t row_ = 0;
  Buffer mean_, chunk_covariance_, directions_, projected_;
  AlignedVector<double> covariance_;
  std::vector<double> host_chunk_;
  std::unique_ptr<SymmetricEigen> eigen_;
  int64_t width_ = 0, round_ = 0;  // sketch: directions in hand
  std::vector<double> basis_;      // [width, d]
  Buffer basis_device_, part_, product_, sums_, zeros_;
  PcaResult result_;
};

}  // namespace mendset
