// Eigendecomposition of a symmetric matrix: Householder tridiagonalisation, then for a few leading vectors bisection and inverse iteration on the
// tridiagonal form (LAPACK's dstebz and dstein); for many, or where that leaves vectors that are not orthogonal, implicit QL with accumulated
// rotations. fp64, one thread, deterministic, the same bits on every instruction set.
#pragma once

#include <cstdint>
#include <vector>

#include "backend/host_algebra.h"
#include "core/aligned_vector.h"
#include "core/status.h"

namespace mendset {

class SymmetricEigen {
 public:
  // matrix: [size, size], symmetric; only its lower triangle is read. vectors: how many of the leading ones are wanted.
  SymmetricEigen(AlignedVector<double> matrix, int64_t size, int64_t vectors);

  // One Householder reflection, one reflector applied, one halving of all intervals, one eigenvalue or one vector: O(size^2) work for most calls.
  Status advance();
  bool finished() const { return phase_ == Phase::finished; }
  double progress() const;  // 0 .. 1

  // At least as many values as vectors are wanted, by descending size. vectors: as many unit eigenvectors as wanted, one per row of `size`.
  const std::vector<double>& values() const { return values_; }
  const AlignedVector<double>& vectors() const { return vectors_; }

 private:
  enum class Phase { reduce, accumulate, iterate, bisect, inverse, transform, finished };

  void reduce_row();
  void accumulate_row();
  Status isolate_eigenvalue();
  void sort();
  void begin_accumulation();
  void measure();
  void begin_iteration();
  void begin_bisection();
  void bisect();
  void invert();
  bool trusted() const;
  void transform();
  double* row(int64_t i) { return a_.data() + i * size_; }

  int64_t size_, wanted_;
  bool pending_ = false;  // the trailing block lacks the update of the column before
  bool leading_;  // bisection and inverse iteration, not accumulated rotations
  const cpu::DenseKernels& algebra_;
  AlignedVector<double> a_;  // the matrix; later the transposed orthogonal factor, one vector per row
  std::vector<double> diagonal_, off_diagonal_, scale_, products_;
  AlignedVector<double> work_;
  std::vector<double> tridiagonal_, tridiagonal_off_;  // kept for inverse iteration
  std::vector<int64_t> below_;
  std::vector<double> low_, high_;                     // bounds of the leading values, in units
  std::vector<double> values_;
  AlignedVector<double> vectors_;
  Phase phase_ = Phase::reduce;
  int64_t next_ = 0;
  double unit_ = 1;        // what the iteration's numbers are multiples of
  double negligible_ = 0;  // off-diagonal entries up to this count as zero
};

}  // namespace mendset
