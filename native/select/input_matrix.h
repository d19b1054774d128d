// A caller's matrix as a task sees it: host rows for checks and fp64 passes, device rows for operations.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "select/row_chunks.h"

namespace mendset {

// Borrowed row-major fp32 [n, d]; must outlive the task.
struct MatrixView {
  const float* data = nullptr;
  int64_t n = 0, d = 0;
  const float* row(int64_t i) const { return data + i * d; }
};

// cosine: rows are scaled to length 1 (fp64 lengths, one rounding) in a copy; rows of length 0 stay as they are.
enum class Metric { euclidean, cosine };

class InputMatrix {
 public:
  // Checks the shape and borrows the rows.
  Status describe(MatrixView view);
  // Backends that compute on host memory use the caller's array in place; others get a copy. host() and device_row() are the scaled rows
  // from here on when the metric asks for that.
  Status open(const std::shared_ptr<Backend>& backend, Metric metric = Metric::euclidean);
  // The same in pieces, for stepped tasks: begin, then load for all rows in ascending order.
  Status begin(const std::shared_ptr<Backend>& backend, Metric metric);
  Status load(int64_t first, int64_t last);

  const MatrixView& host() const { return view_; }
  MatrixView given() const { return {given_ != nullptr ? given_ : view_.data, view_.n, view_.d}; }  // the caller's rows
  bool on_host() const { return on_host_; }
  int64_t n() const { return view_.n; }
  int64_t d() const { return view_.d; }
  const float* device_row(int64_t i) const { return device_ + i * view_.d; }
  // Rows of one operation, once open: see row_chunks.h. A device gets a thousand times the work, as it computes that much faster.
  int64_t chunk_rows(int64_t multiply_adds_per_row, int64_t target = int64_t{1} << 26) const {
    return mendset::chunk_rows(multiply_adds_per_row, on_host_ ? target : target << 10);
  }

 private:
  MatrixView view_;
  const float* device_ = nullptr;
  const float* given_ = nullptr;  // the caller's rows, where view_ becomes scaled ones
  bool on_host_ = true;
  Buffer copy_;
  std::unique_ptr<float[]> scaled_;
};

// Canonical squared norms of all rows, [n] fp32 on the device. non_finite when one overflows fp32, and, with its
// column, when a row holds NaN or infinity.
Status row_norms(const std::shared_ptr<Backend>& backend, const InputMatrix& x, Buffer* out);
// Of rows [first, last), into `norms` of all rows.
Status row_norms(const std::shared_ptr<Backend>& backend, const InputMatrix& x, int64_t first, int64_t last, const Buffer& norms);

// non_finite with row and column of the first NaN or infinity in rows [first, last).
// largest: raised to the largest magnitude found, nullable.
Status check_finite(const MatrixView& view, int64_t first, int64_t last, float* largest = nullptr);

// The grid on which sums of n numbers of at most `magnitude` are exact in fp64: see ms_move_rows_args.
double exact_grid(float magnitude, int64_t n);

}  // namespace mendset
