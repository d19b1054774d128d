// Low-rank adapters (LoRA, arXiv 2106.09685): y = f(x) W + b + scale (f(x) A^T) B^T beside the linear maps of the blocks; W stays
// frozen.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/model.h"
#include "model/schedule.h"

namespace mendset {

// The pair beside one linear map; indices into Adapter::tensors().
struct LowRankMap {
  int a = -1, b = -1;  // A [rank, in], B [out, rank]
  int64_t in = 0, out = 0;
};

// The backend holds scale * B in B's place, so that no operation needs the factor; optimiser updates and norms of B undo it.
class Adapter {
 public:
  // A uniform in +-1/sqrt(in) from stream (seed, weights, 2^16 + tensor), B zero: the adapted model begins as the model itself.
  static Status create(const Model& model, const AdapterOptions& options, std::shared_ptr<Adapter>* out);

  int64_t rank() const { return rank_; }
  float scale() const { return scale_; }
  const std::vector<TensorInfo>& tensors() const { return tensors_; }  // PEFT's names and shapes
  const std::vector<TensorGroup>& groups() const { return groups_; }   // as the model's; those outside the blocks are empty
  int64_t offset(int tensor) const { return offsets_[static_cast<size_t>(tensor)]; }
  int64_t elements() const { return elements_; }
  float* data() const { return buffer_.as<float>(); }
  const Buffer& buffer() const { return buffer_; }
  float* weight(int tensor) const { return data() + offset(tensor); }
  bool is_b(int tensor) const { return tensor % 2 == 1; }  // A and B take turns
  // The pair beside a linear map of the model, found by its weight; null when it has none.
  const LowRankMap* find(int weight) const;

  // Between a file's values and those held: B's scale, and the model's order of rows.
  void to_stored(const Model& model, int tensor, float* values) const;
  void to_held(const Model& model, int tensor, float* values) const;

  // W += scale B A for every pair.
  Status merge(Model& model) const;

 private:
  int64_t rank_ = 0;
  float scale_ = 1;
  std::vector<TensorInfo> tensors_;
  std::vector<int64_t> offsets_;
  std::vector<TensorGroup> groups_;
  std::vector<int> weights_;  // of the model, one for each pair
  std::vector<LowRankMap> maps_;
  std::vector<int> map_of_weight_;  // -1 = none
  int64_t elements_ = 0;
  Buffer buffer_;
};

// h = f(x) A^T, [rows, rank]; the caller gives it back.
float* build_low_rank_hidden(Builder& builder, const Adapter& adapter, const LowRankMap& map, int64_t rows, const float* x,
                             int32_t activation, int32_t block);
// y += scale h B^T
void build_low_rank_forward(Builder& builder, const Adapter& adapter, const LowRankMap& map, int64_t rows, const float* x,
                            int32_t activation, float* y, int64_t ld_y, int32_t block);
// d_x += gradient of the pair's input.
void build_low_rank_input(Builder& builder, const Adapter& adapter, const LowRankMap& map, int64_t rows, const float* d_y,
                          int64_t ld_y, const float* x, int32_t activation, float* d_x, int32_t block);
// Gradients of A and of scale * B.
void build_low_rank_weights(Builder& builder, const Adapter& adapter, const LowRankMap& map, int64_t rows, const float* x,
                            int32_t activation, const float* d_y, int64_t ld_y, float* d_a, float* d_b, float beta,
                            int32_t block);

}  // namespace mendset
