#include "select/symmetric_eigen.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>

namespace mendset {

// Golub and Van Loan, Matrix Computations, 8.3. The reflector that clears column j is H_j = I - tau_j v_j v_j^T with v_j zero up
// to row j; v_j is kept in row j of a_ (right of the diagonal) so that every inner loop runs over contiguous memory.
SymmetricEigen::SymmetricEigen(std::vector<double> matrix, int64_t size) : size_(size), a_(std::move(matrix)) {
  const size_t n = static_cast<size_t>(size);
  for (int64_t i = 0; i < size; ++i) {
    for (int64_t j = 0; j < i; ++j) row(j)[i] = row(i)[j];
  }
  diagonal_.assign(n, 0.0);
  off_diagonal_.assign(n, 0.0);
  scale_.assign(n, 0.0);
  work_.assign(n, 0.0);
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
    case Phase::finished:
      return {};
  }
  return failure(Code::internal, "The eigendecomposition is in an unknown phase.");
}

double SymmetricEigen::progress() const {
  const double part = static_cast<double>(next_) / static_cast<double>(std::max<int64_t>(size_, 1));
  switch (phase_) {
    case Phase::reduce:
      return 0.25 * part;
    case Phase::accumulate:
      return 0.25 + 0.25 * (1 - part);
    case Phase::iterate:
      return 0.5 + 0.5 * part;
    case Phase::finished:
      return 1;
  }
  return 1;
}

// Column next_: reflect, then the symmetric rank-2 update of the trailing block (full storage, both triangles).
void SymmetricEigen::reduce_row() {
  const int64_t j = next_, n = size_;
  double* v = row(j);
  diagonal_[static_cast<size_t>(j)] = v[j];
  double largest = 0;
  for (int64_t p = j + 1; p < n; ++p) largest = std::max(largest, std::abs(v[p]));
  double tail = 0;
  for (int64_t p = j + 2; p < n; ++p) tail = std::max(tail, std::abs(v[p]));

  if (j + 1 >= n || tail == 0) {  // already tridiagonal here: no reflector
    if (j + 1 < n) off_diagonal_[static_cast<size_t>(j)] = v[j + 1];
    scale_[static_cast<size_t>(j)] = 0;
  } else {
    double square = 0;
    for (int64_t p = j + 1; p < n; ++p) {
      v[p] /= largest;
      square += v[p] * v[p];
    }
    const double norm = std::sqrt(square);
    const double alpha = v[j + 1] > 0 ? -norm : norm;
    off_diagonal_[static_cast<size_t>(j)] = alpha * largest;
    const double head = v[j + 1] - alpha;
    const double tau = 2.0 / (square - v[j + 1] * v[j + 1] + head * head);
    v[j + 1] = head;
    scale_[static_cast<size_t>(j)] = tau;

    // w = tau A v - (tau^2 v^T A v / 2) v, A -= v w^T + w v^T
    double projection = 0;
    for (int64_t i = j + 1; i < n; ++i) {
      const double* a = row(i);
      double sum = 0;
      for (int64_t p = j + 1; p < n; ++p) sum += a[p] * v[p];
      work_[static_cast<size_t>(i)] = tau * sum;
      projection += work_[static_cast<size_t>(i)] * v[i];
    }
    const double half = 0.5 * tau * projection;
    for (int64_t i = j + 1; i < n; ++i) work_[static_cast<size_t>(i)] -= half * v[i];
    for (int64_t i = j + 1; i < n; ++i) {
      double* a = row(i);
      const double vi = v[i], wi = work_[static_cast<size_t>(i)];
      for (int64_t p = j + 1; p < n; ++p) a[p] -= vi * work_[static_cast<size_t>(p)] + wi * v[p];
    }
  }

  if (++next_ < n) return;
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
      double sum = 0;
      for (int64_t p = j + 1; p < n; ++p) sum += q[p] * v[p];
      sum *= tau;
      for (int64_t p = j + 1; p < n; ++p) q[p] -= sum * v[p];
    }
  }
  if (next_ > 0) return;
  // Relative to the whole matrix: among the zero eigenvalues of a rank-deficient one, neighbours are too small to compare with.
  double norm = 0;
  for (int64_t i = 0; i < n; ++i)
    norm = std::max(norm, std::abs(diagonal_[static_cast<size_t>(i)]) + (i + 1 < n ? std::abs(off_diagonal_[static_cast<size_t>(i)]) : 0.0));
  negligible_ = std::max(std::numeric_limits<double>::epsilon() * norm, std::numeric_limits<double>::min());
  phase_ = Phase::iterate;
}

// Implicit QL with Wilkinson's shift until eigenvalue next_ is isolated; rotations act on pairs of rows of vectors_.
Status SymmetricEigen::isolate_eigenvalue() {
  const int64_t n = size_, l = next_;
  double* d = diagonal_.data();
  double* e = off_diagonal_.data();
  for (int iteration = 0;; ++iteration) {
    int64_t m = l;
    for (; m + 1 < n; ++m) {
      if (std::abs(e[m]) <= negligible_) break;
    }
    if (m == l) break;
    if (iteration == 60)
      return failure(Code::internal, "The eigendecomposition did not converge after 60 iterations for one eigenvalue.");

    const double half = (d[l + 1] - d[l]) / (2 * e[l]);
    const double root = std::hypot(half, 1.0);
    double g = d[m] - d[l] + e[l] / (half + std::copysign(root, half));
    double sine = 1, cosine = 1, shift = 0;
    bool split = false;
    for (int64_t i = m - 1; i >= l; --i) {
      const double f = sine * e[i], b = cosine * e[i];
      const double r = std::hypot(f, g);
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
  if (++next_ == n) sort();
  return {};
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
