#include "select/symmetric_eigen.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>

#include "core/random.h"

namespace mendset {

namespace {

// (T - shift) with partial pivoting: rows of an upper triangle of three diagonals, and the multipliers that made it.
class ShiftedTridiagonal {
 public:
  ShiftedTridiagonal(const std::vector<double>& diagonal, const std::vector<double>& off, double shift, double smallest)
      : size_(diagonal.size()), first_(size_), second_(size_), third_(size_), multiplier_(size_), swapped_(size_) {
    double a = diagonal[0] - shift, b = size_ > 1 ? off[0] : 0;
    for (size_t i = 0; i + 1 < size_; ++i) {
      const double below = off[i], next = diagonal[i + 1] - shift, after = i + 2 < size_ ? off[i + 1] : 0;
      swapped_[i] = std::abs(below) > std::abs(a);
      if (swapped_[i]) {
        multiplier_[i] = a / below;
        first_[i] = below;
        second_[i] = next;
        third_[i] = after;
        a = b - multiplier_[i] * next;
        b = -multiplier_[i] * after;
      } else {
        if (std::abs(a) < smallest) a = std::copysign(smallest, a);
        multiplier_[i] = below / a;
        first_[i] = a;
        second_[i] = b;
        a = next - multiplier_[i] * b;
        b = after;
      }
    }
    first_[size_ - 1] = std::abs(a) < smallest ? std::copysign(smallest, a) : a;
  }

  void solve(double* x) const {
    for (size_t i = 0; i + 1 < size_; ++i) {
      if (swapped_[i]) std::swap(x[i], x[i + 1]);
      x[i + 1] -= multiplier_[i] * x[i];
    }
    for (size_t i = size_; i-- > 0;) {
      double value = x[i];
      if (i + 1 < size_) value -= second_[i] * x[i + 1];
      if (i + 2 < size_) value -= third_[i] * x[i + 2];
      x[i] = value / first_[i];
    }
  }

 private:
  size_t size_;
  std::vector<double> first_, second_, third_, multiplier_;
  std::vector<bool> swapped_;
};

constexpr int kInverseRounds = 3;

}  // namespace

// Golub and Van Loan, Matrix Computations, 8.3. The reflector that clears column j is H_j = I - tau_j v_j v_j^T with v_j zero up
// to row j; v_j is kept in row j of a_ (right of the diagonal) so that every inner loop runs over contiguous memory.
SymmetricEigen::SymmetricEigen(AlignedVector<double> matrix, int64_t size, int64_t vectors)
    : size_(size), wanted_(std::min(vectors, size)), leading_(4 * wanted_ <= size), algebra_(host_algebra()), a_(std::move(matrix)) {
  const size_t n = static_cast<size_t>(size);
  for (int64_t i = 0; i < size; ++i) {
    for (int64_t j = 0; j < i; ++j) row(j)[i] = row(i)[j];
  }
  diagonal_.assign(n, 0.0);
  off_diagonal_.assign(n, 0.0);
  scale_.assign(n, 0.0);
  work_.assign(n, 0.0);
  products_.assign(n, 0.0);
}

Status SymmetricEigen::advance() {
  switch (phase_) {
    case Phase::reduce:
      reduce_row();
      return {};
    case Phase::accumulate:
      accumulate_row();
      return {};
    case Phase::iterate:
      return isolate_eigenvalue();
    case Phase::bisect:
      bisect();
      return {};
    case Phase::inverse:
      invert();
      return {};
    case Phase::transform:
      transform();
      return {};
    case Phase::finished:
      return {};
  }
  return failure(Code::internal, "The eigendecomposition is in an unknown phase.");
}

double SymmetricEigen::progress() const {
  const double part = static_cast<double>(next_) / static_cast<double>(std::max<int64_t>(size_, 1));
  switch (phase_) {
    case Phase::reduce:
      return (leading_ ? 0.7 : 0.25) * part;
    case Phase::accumulate:
      return 0.25 + 0.25 * (1 - part);
    case Phase::iterate:
      return 0.5 + 0.5 * part;
    case Phase::bisect:
      return 0.7 + 0.1 * std::min(1.0, static_cast<double>(next_) / 54);
    case Phase::inverse:
      return 0.8 + 0.1 * static_cast<double>(next_) / static_cast<double>(std::max<int64_t>(wanted_, 1));
    case Phase::transform:
      return 0.9 + 0.1 * (1 - part);
    case Phase::finished:
      return 1;
  }
  return 1;
}

// Column next_: reflect, then the symmetric rank-2 update of the trailing block (full storage, both triangles), which waits for the next
// column's pass over that block: work_ holds its w, the row above its v.
void SymmetricEigen::reduce_row() {
  const int64_t j = next_, n = size_;
  double* v = row(j);
  if (pending_) {
    const double* const before = row(j - 1);
    for (int64_t p = j; p < n; ++p) v[p] -= before[j] * work_[static_cast<size_t>(p)] + work_[static_cast<size_t>(j)] * before[p];
  }
  diagonal_[static_cast<size_t>(j)] = v[j];
  double tail = 0;
  for (int64_t p = j + 2; p < n; ++p) tail = std::max(tail, std::abs(v[p]));

  const bool reflects = j + 1 < n && tail != 0;
  if (!reflects) {  // already tridiagonal here
    if (j + 1 < n) off_diagonal_[static_cast<size_t>(j)] = v[j + 1];
    for (int64_t p = j + 1; p < n; ++p) v[p] = 0;
    scale_[static_cast<size_t>(j)] = 0;
  } else {
    const double largest = std::max(tail, std::abs(v[j + 1]));
    for (int64_t p = j + 1; p < n; ++p) v[p] /= largest;
    const double square = algebra_.dot(v + j + 1, v + j + 1, n - j - 1);
    const double norm = std::sqrt(square);
    const double alpha = v[j + 1] > 0 ? -norm : norm;
    off_diagonal_[static_cast<size_t>(j)] = alpha * largest;
    const double head = v[j + 1] - alpha;
    scale_[static_cast<size_t>(j)] = 2.0 / (square - v[j + 1] * v[j + 1] + head * head);
    v[j + 1] = head;
  }
  if (j + 1 < n && (reflects || pending_)) {
    // w = tau A v - (tau^2 v^T A v / 2) v, A -= v w^T + w v^T
    double* const products = products_.data();
    double* const w = work_.data();
    if (pending_) {
      double* const before = row(j - 1);
      const double head = before[j];  // the reflector's; what stands left of it, and of v, is done with
      for (int64_t p = (j + 1) / 8 * 8; p <= j; ++p) v[p] = w[p] = before[p] = 0;
      algebra_.update_and_multiply(a_.data(), n, j + 1, before, w, v, products);
      before[j] = head;
    } else {
      for (int64_t i = j + 1; i < n; ++i) products[i] = algebra_.dot(row(i) + j + 1, v + j + 1, n - j - 1);
    }
    const double tau = scale_[static_cast<size_t>(j)];
    const double half = 0.5 * tau * tau * algebra_.dot(products + j + 1, v + j + 1, n - j - 1);
    for (int64_t i = j + 1; i < n; ++i) w[i] = tau * products[i] - half * v[i];
  }
  pending_ = reflects;

  if (++next_ < n) return;
  if (leading_) {
    tridiagonal_ = diagonal_;
    tridiagonal_off_ = off_diagonal_;
    begin_bisection();
    return;
  }
  begin_accumulation();
}

void SymmetricEigen::begin_accumulation() {
  const int64_t n = size_;
  vectors_.assign(a_.size(), 0.0);
  for (int64_t i = 0; i < n; ++i) vectors_[static_cast<size_t>(i * n + i)] = 1;
  next_ = n;
  phase_ = Phase::accumulate;
}

// vectors_ holds Q^T (row i: column i of Q = H_0 H_1 ...); reflectors are applied from the last one, Q <- H_j Q.
void SymmetricEigen::accumulate_row() {
  const int64_t n = size_;
  const int64_t j = --next_;
  const double tau = scale_[static_cast<size_t>(j)];
  if (tau != 0) {
    const double* v = row(j);
    for (int64_t i = j + 1; i < n; ++i) {
      double* q = vectors_.data() + i * n;
      algebra_.subtract(tau * algebra_.dot(q + j + 1, v + j + 1, n - j - 1), v + j + 1, q + j + 1, n - j - 1);
    }
  }
  if (next_ == 0) begin_iteration();
}

// Relative to the whole matrix: among the zero eigenvalues of a rank-deficient one, neighbours are too small to compare with.
void SymmetricEigen::measure() {
  double norm = 0;
  for (int64_t i = 0; i < size_; ++i)
    norm = std::max(norm, std::abs(diagonal_[static_cast<size_t>(i)]) + (i + 1 < size_ ? std::abs(off_diagonal_[static_cast<size_t>(i)]) : 0.0));
  negligible_ = std::max(std::numeric_limits<double>::epsilon() * norm, std::numeric_limits<double>::min());
  // By a power of two, so that squares of what is not negligible stay far from both ends of the range.
  unit_ = norm > 0 ? std::ldexp(1.0, std::ilogb(norm)) : 1;
  for (size_t i = 0; i < diagonal_.size(); ++i) {
    diagonal_[i] /= unit_;
    off_diagonal_[i] /= unit_;
  }
}

void SymmetricEigen::begin_iteration() {
  measure();
  next_ = 0;
  phase_ = Phase::iterate;
}

// Implicit QL with Wilkinson's shift until eigenvalue next_ is isolated; rotations act on pairs of rows of vectors_.
Status SymmetricEigen::isolate_eigenvalue() {
  const int64_t n = size_, l = next_;
  double* d = diagonal_.data();
  double* e = off_diagonal_.data();
  const double negligible = negligible_ / unit_;
  for (int iteration = 0;; ++iteration) {
    int64_t m = l;
    for (; m + 1 < n; ++m) {
      if (std::abs(e[m]) <= negligible) break;
    }
    if (m == l) break;
    if (iteration == 60)
      return failure(Code::internal, "The eigendecomposition did not converge after 60 iterations for one eigenvalue.");

    const double half = (d[l + 1] - d[l]) / (2 * e[l]);
    const double root = std::abs(half) < 1e100 ? std::sqrt(half * half + 1) : std::abs(half);
    double g = d[m] - d[l] + e[l] / (half + std::copysign(root, half));
    double sine = 1, cosine = 1, shift = 0;
    bool split = false;
    for (int64_t i = m - 1; i >= l; --i) {
      const double f = sine * e[i], b = cosine * e[i];
      const double r = std::sqrt(f * f + g * g);  // entries are at most 2, and those below the machine's precision of that were cut off
      e[i + 1] = r;
      if (r == 0) {  // the matrix splits here: restart with the smaller block
        d[i + 1] -= shift;
        e[m] = 0;
        split = true;
        break;
      }
      sine = f / r;
      cosine = g / r;
      const double rest = d[i + 1] - shift;
      const double t = (d[i] - rest) * sine + 2 * cosine * b;
      shift = sine * t;
      d[i + 1] = rest + shift;
      g = cosine * t - b;
      double* low = vectors_.data() + i * n;
      double* high = low + n;
      for (int64_t p = 0; p < n; ++p) {
        const double x = high[p], y = low[p];
        high[p] = sine * y + cosine * x;
        low[p] = cosine * y - sine * x;
      }
    }
    if (split) continue;
    d[l] -= shift;
    e[l] = g;
    e[m] = 0;
  }
  if (++next_ < n) return {};
  for (double& value : diagonal_) value *= unit_;
  sort();
  return {};
}

void SymmetricEigen::begin_bisection() {
  measure();
  double bound = 0;  // every eigenvalue lies within +- this (Gershgorin)
  for (size_t i = 0; i < diagonal_.size(); ++i)
    bound = std::max(bound, std::abs(diagonal_[i]) + std::abs(off_diagonal_[i]) + (i > 0 ? std::abs(off_diagonal_[i - 1]) : 0.0));
  for (double& value : off_diagonal_) value *= value;
  if (bound > 0) bound += negligible_ / unit_;
  low_.assign(static_cast<size_t>(wanted_), -bound);
  high_.assign(static_cast<size_t>(wanted_), bound);
  work_.assign(static_cast<size_t>(wanted_), 0.0);
  below_.assign(static_cast<size_t>(wanted_), 0);
  next_ = 0;
  phase_ = Phase::bisect;
}

// Halves the intervals of all leading values, until they are as narrow as the matrix is known or as numbers are dense.
void SymmetricEigen::bisect() {
  bool open = false;
  for (size_t i = 0; i < work_.size(); ++i) {
    work_[i] = 0.5 * (low_[i] + high_[i]);
    open |= high_[i] - low_[i] > 0.25 * negligible_ / unit_ && work_[i] > low_[i] && work_[i] < high_[i];
  }
  if (open) {
    algebra_.count_below(diagonal_.data(), off_diagonal_.data(), size_, std::numeric_limits<double>::min(), work_.data(), wanted_, below_.data());
    for (size_t i = 0; i < work_.size(); ++i) (below_[i] < size_ - static_cast<int64_t>(i) ? low_ : high_)[i] = work_[i];
    ++next_;
    return;
  }
  values_.resize(work_.size());
  for (size_t i = 0; i < work_.size(); ++i) values_[i] = i > 0 ? std::min(work_[i] * unit_, values_[i - 1]) : work_[i] * unit_;
  vectors_.assign(static_cast<size_t>(wanted_ * size_), 0.0);
  next_ = 0;
  phase_ = Phase::inverse;
}

// Vector next_ of the tridiagonal matrix, from a fixed random start; orthogonal to those before it.
void SymmetricEigen::invert() {
  const int64_t n = size_;
  if (next_ < wanted_) {
    RandomStream stream(static_cast<uint64_t>(next_), static_cast<uint32_t>(StreamId::normal_data), 2);
    double* const x = vectors_.data() + next_ * n;
    for (int64_t p = 0; p < n; ++p) x[p] = stream.uniform() - 0.5;
    // Equal eigenvalues get shifts that differ by their rounding error, so that their vectors do too.
    const double shift = values_[static_cast<size_t>(next_)] - static_cast<double>(next_ % 8) * negligible_ / 8;
    const ShiftedTridiagonal matrix(tridiagonal_, tridiagonal_off_, shift, negligible_);
    for (int round = 0; round < kInverseRounds; ++round) {
      matrix.solve(x);
      double largest = 0;
      for (int64_t p = 0; p < n; ++p) largest = std::max(largest, std::abs(x[p]));
      for (int64_t p = 0; p < n; ++p) x[p] /= largest;
      for (int pass = 0; pass < (round == 0 ? 0 : 2); ++pass) {  // the first round only leaves the start behind
        for (int64_t i = 0; i < next_; ++i) algebra_.subtract(algebra_.dot(vectors_.data() + i * n, x, n), vectors_.data() + i * n, x, n);
      }
      const double length = std::sqrt(algebra_.dot(x, x, n));
      for (int64_t p = 0; p < n; ++p) x[p] /= length;
    }
    ++next_;
    return;
  }
  if (!trusted()) {
    leading_ = false;
    diagonal_ = tridiagonal_;
    off_diagonal_ = tridiagonal_off_;
    begin_accumulation();
    return;
  }
  next_ = n;
  phase_ = Phase::transform;
}

// Whether the vectors are what they should be: unit, orthogonal, and T x = value x.
bool SymmetricEigen::trusted() const {
  const int64_t n = size_;
  for (int64_t a = 0; a < wanted_; ++a) {
    const double* const x = vectors_.data() + a * n;
    for (int64_t b = 0; b <= a; ++b) {
      if (!(std::abs(algebra_.dot(x, vectors_.data() + b * n, n) - (a == b ? 1.0 : 0.0)) < 1e-13 * std::sqrt(static_cast<double>(n)))) return false;
    }
    for (int64_t p = 0; p < n; ++p) {
      const size_t at = static_cast<size_t>(p);
      double image = (tridiagonal_[at] - values_[static_cast<size_t>(a)]) * x[p];
      if (p > 0) image += tridiagonal_off_[at - 1] * x[p - 1];
      if (p + 1 < n) image += tridiagonal_off_[at] * x[p + 1];
      if (!(std::abs(image) <= 64 * negligible_)) return false;
    }
  }
  return true;
}

// One reflector on all vectors, from the last one on: x <- H_j x.
void SymmetricEigen::transform() {
  const int64_t n = size_, j = --next_;
  const double tau = scale_[static_cast<size_t>(j)];
  const double* const v = row(j) + j + 1;
  for (int64_t i = 0; i < wanted_ && tau != 0; ++i) {
    double* const x = vectors_.data() + i * n + j + 1;
    algebra_.subtract(tau * algebra_.dot(x, v, n - j - 1), v, x, n - j - 1);
  }
  if (next_ == 0) phase_ = Phase::finished;
}

void SymmetricEigen::sort() {
  const size_t n = static_cast<size_t>(size_);
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return diagonal_[a] > diagonal_[b]; });
  values_.resize(n);
  for (size_t i = 0; i < n; ++i) {
    values_[i] = diagonal_[order[i]];
    std::copy_n(vectors_.begin() + static_cast<ptrdiff_t>(order[i] * n), n, a_.begin() + static_cast<ptrdiff_t>(i * n));
  }
  vectors_.swap(a_);
  phase_ = Phase::finished;
}

}  // namespace mendset
