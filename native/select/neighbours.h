// The k nearest other rows of every row, exact: blocks of candidates against chunks of rows.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "core/staged_task.h"
#include "select/input_matrix.h"

namespace mendset {

struct NeighbourOptions {
  int64_t k = 1;  // 1 .. n - 1
  Metric metric = Metric::euclidean;
};

struct NeighbourResult {
  std::vector<int32_t> indices;  // [n, k] ascending by (distance, index)
  std::vector<float> distances;  // [n, k] Euclidean, or 1 - cosine (half the squared distance of rows of length 1)
};

class NearestNeighbours final : public StagedTask {
 public:
  // x is borrowed until the task ends.
  static Status create(std::shared_ptr<Backend> backend, MatrixView x, const NeighbourOptions& options, std::unique_ptr<NearestNeighbours>* out);

  Progress progress() const override;
  const NeighbourResult& result() const { return result_; }
  NeighbourResult take_result() { return std::move(result_); }

 private:
  NearestNeighbours() = default;
  Status open();
  Status read_rows();
  Status begin_search();
  Status search();
  Status fetch_indices();
  Status fetch_distances();
  Status set_zero_rows_apart();

  std::shared_ptr<Backend> backend_;
  InputMatrix x_;
  NeighbourOptions options_;
  bool searching_ = false;
  int64_t candidate_ = 0;  // first of the block in hand
  Buffer x_norms_, distances_, indices_;
  NeighbourResult result_;
};

}  // namespace mendset
