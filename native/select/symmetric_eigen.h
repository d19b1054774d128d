// Eigendecomposition of a symmetric matrix: Householder tridiagonalisation, then implicit QL. fp64, one thread, deterministic.
#pragma once

#include <cstdint>
#include <vector>

#include "core/status.h"

namespace mendset {

class SymmetricEigen {
 public:
  // matrix: [size, size], symmetric; only its lower triangle is read.
  SymmetricEigen(std::vector<double> matrix, int64_t size);

  // One Householder reflection, one accumulated reflector or one eigenvalue: O(size^2) work for most calls.
  Status advance();
  bool finished() const { return phase_ == Phase::finished; }
  double progress() const;  // 0 .. 1

  // By descending eigenvalue, ties in the order found. vectors: [size, size], one unit eigenvector per row.
  const std::vector<double>& values() const { return values_; }
  const std::vector<double>& vectors() const { return vectors_; }

 private:
  enum class Phase { reduce, accumulate, iterate, finished };

  void reduce_row();
  void accumulate_row();
  Status isolate_eigenvalue();
  void sort();
  double* row(int64_t i) { return a_.data() + i * size_; }

  int64_t size_;
  std::vector<double> a_;  // the matrix; later the transposed orthogonal factor, one vector per row
  std::vector<double> diagonal_, off_diagonal_, scale_, work_;
  std::vector<double> values_, vectors_;
  Phase phase_ = Phase::reduce;
  int64_t next_ = 0;
  double negligible_ = 0;  // off-diagonal entries up to this count as zero
};

}  // namespace mendset
