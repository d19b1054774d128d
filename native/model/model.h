// A model: its architecture, and its tensors in one backend buffer in the checkpoint's own layout.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "model/architecture.h"
#include "model/arena.h"
#include "model/language_model.h"
#include "model/schedule.h"

namespace mendset {

// Indices into Model::tensors(); -1 = absent.
struct LinearMap {
  int weight = -1, bias = -1;
  int64_t in = 0, out = 0;
  int32_t layout = MS_LAYOUT_IN_OUT;
};
struct NormMap {
  int gain = -1, bias = -1;
};
struct BlockMap {
  NormMap norm1, norm2;
  std::array<LinearMap, 3> qkv;  // side by side in the [rows, qkv width] buffer
  int qkv_count = 0;
  NormMap q_norm, k_norm;  // of each head
  LinearMap attention_out, mlp_in, mlp_out;
  LinearMap mlp_up;  // beside mlp_in when the MLP is gated
};
// The linear maps of a block, in the order of the checkpoint.
std::vector<const LinearMap*> block_linears(const BlockMap& block);

struct TensorMap {
  int token_embedding = -1, position_embedding = -1;
  std::vector<BlockMap> blocks;
  NormMap final_norm;
  LinearMap head;  // [vocab, width], out x in; the token embedding itself when tied
  // Encoders only.
  int token_type_embedding = -1;
  NormMap embedding_norm;
  LinearMap pooler, classifier;
};

// Tensors that are always trained together, adjacent in the buffer: group 0 holds the embeddings, 1 .. L the blocks, L + 1 the
// rest.
struct TensorGroup {
  size_t first, last;  // tensor indices [first, last)
  int64_t begin, end;  // element range in the buffer, multiples of 16
};

// Where a group's numbers lie: in fp32 throughout, or narrow, which is as the checkpoint stores them: weights of linear maps and
// the token embedding in 16 bits, the rest in fp32. A narrow group is never written to, so copies and snapshots share it.
struct GroupMemory {
  std::shared_ptr<Buffer> buffer;  // null before allocation
  size_t begin = 0;                // bytes
  bool narrow = false;
};

class Model {
 public:
  // Lays out the tensors; no weight memory yet, so that a checkpoint can be compared with the layout first.
  static std::shared_ptr<Model> create(const std::shared_ptr<Backend>& backend, Architecture architecture, Json config,
                                       const std::string& prefix);
  // Before `allocate`: how the tensors are stored (MS_TYPE_*); groups with 16-bit weights are held narrow. Fails where the
  // backend cannot read them.
  Status hold_narrow(const std::vector<int32_t>& stored_types);
  // Of these tensors alone 16 bits are kept.
  bool may_be_narrow(int tensor) const;
  Status allocate();
  Status copy(std::shared_ptr<Model>* out) const;
  // The head alone, as it is now: all that a reference whose hidden states are known is needed for. It has no other tensors.
  Status copy_head(std::shared_ptr<Model>* out) const;

  const std::shared_ptr<Backend>& backend() const { return backend_; }
  const Architecture& architecture() const { return architecture_; }
  const Json& config() const { return config_; }
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  const TensorMap& map() const { return map_; }
  const std::vector<TensorGroup>& groups() const { return groups_; }
  // Element offset of a tensor in the buffer.
  int64_t offset(int tensor) const { return offsets_[static_cast<size_t>(tensor)]; }
  int64_t elements() const { return elements_; }
  size_t group_of(int tensor) const {
    const int32_t block = tensors_[static_cast<size_t>(tensor)].block;
    return block >= 0 ? static_cast<size_t>(block) + 1 : static_cast<size_t>(tensor) < groups_[0].last ? 0 : groups_.size() - 1;
  }
  int32_t block_of_group(size_t group) const {
    return group == 0 || group + 1 == groups_.size() ? -1 : static_cast<int32_t>(group) - 1;
  }
  bool allocated() const;
  // [rotary_dims / 2] on the backend
  const double* rotary_frequencies() const { return rotary_.as<double>(); }
  // Before `allocate` addresses that nothing may touch: enough to plan passes and forecast their memory. Those of a group change
  // when it is widened.
  const void* matrix(int tensor) const { return place(tensor); }
  int32_t type(int tensor) const;  // MS_TYPE_* of matrix(tensor)
  float* weight(int tensor) const {
    return tensor < 0 ? nullptr : static_cast<float*>(place(tensor));
  }                                                                                                // of a tensor held in fp32
  float* group_data(size_t group) const { return reinterpret_cast<float*>(base(memory(group))); }  // [begin, end) of a wide group
  bool is_narrow(size_t group) const { return memory(group).narrow; }
  int64_t group_bytes(size_t group, bool narrow) const;
  int64_t bytes() const;  // of all weights, as they are held now
  // Of the weights that may be narrow, MS_TYPE_F32 when all groups began in fp32.
  int32_t stored_type() const;
  // Holds a group in fp32 from now on, with the same values. Tasks keep the old memory until they end; not the caller itself,
  // whose leases are `own_leases`: it uses no address of the group from before.
  Status widen(size_t group, int own_leases);
  // The weights as they are now, and back; `kept` may hold an earlier state, whose memory is used again.
  Status keep(std::vector<GroupMemory>* kept) const;
  Status put_back(const std::vector<GroupMemory>& kept);
  Status take(Model& from);
  // One tensor between host and backend, in the backend's order: written as type(tensor), while loading and into wide groups
  // only; read as fp32.
  Status write(int tensor, const void* values) const {
    return write(tensor, 0, tensors_[static_cast<size_t>(tensor)].count, values);
  }
  Status write(int tensor, int64_t first, int64_t count, const void* values) const;  // elements [first, first + count)
  Status read(int tensor, float* values) const { return read(tensor, 0, tensors_[static_cast<size_t>(tensor)].count, values); }
  Status read(int tensor, int64_t first, int64_t count, float* values) const;
  int find(const std::string& name) const;  // -1 when there is none

  // Converts between the checkpoint's order of rows and the one held on the backend (they differ for QkvStorage::per_head only).
  // `values`: one tensor on the host, rewritten in place.
  void to_backend_order(int tensor, float* values) const { reorder(tensor, values, true); }
  void to_backend_order(int tensor, uint16_t* values) const { reorder(tensor, values, true); }
  void to_stored_order(int tensor, float* values) const { reorder(tensor, values, false); }
  bool is_reordered(int tensor) const;
  // The same for another matrix whose rows are the output rows of a linear map, given by the map's weight.
  template <typename T>
  void reorder_rows(int weight, T* values, int64_t count, bool to_backend) const;

  // Work memory for one task: an idle arena, or a new one. Give it back when the task is destroyed.
  std::unique_ptr<Arena> borrow_arena();
  void give_back_arena(std::unique_ptr<Arena> arena);
  // While there are leases, memory that a task may still read is kept.
  void lease();
  void end_lease();
  int64_t idle_arena_bytes() const;

  std::string stored_dtype = "F32";        // of the first tensor, the token embedding
  std::vector<std::string> stored_dtypes;  // of every tensor in its file; empty for fresh models

 private:
  void lay_out(const std::string& prefix);
  template <typename T>
  void reorder(int tensor, T* values, bool to_backend) const {
    reorder_rows(tensor, values, tensors_[static_cast<size_t>(tensor)].count, to_backend);
  }

  GroupMemory memory(size_t group) const;
  static std::byte* base(const GroupMemory& memory);
  size_t offset_in_group(int tensor, bool narrow) const;  // bytes
  void* place(int tensor) const;
  void replace(size_t group, GroupMemory memory, int own_leases);
  Status allocate_rotary();
  Status allocate_groups(std::vector<GroupMemory>* out) const;
  Status allocate_group(size_t group, bool narrow, GroupMemory* out) const;
  Status copy_group(size_t group, const GroupMemory& from, const GroupMemory& to) const;

  std::shared_ptr<Backend> backend_;
  Architecture architecture_;
  Json config_;
  std::vector<TensorInfo> tensors_;
  std::vector<int64_t> offsets_;
  std::vector<TensorGroup> groups_;
  TensorMap map_;
  int64_t elements_ = 0;
  std::vector<int32_t> types_;          // of each tensor as stored
  std::vector<size_t> narrow_offsets_;  // of each tensor in its narrow group, bytes
  std::vector<GroupMemory> memory_;     // of each group
  Buffer rotary_;
  mutable std::mutex mutex_;  // tasks are made and dropped on other threads than the one that steps
  int leases_ = 0;
  std::vector<GroupMemory> retired_;
  std::unique_ptr<Arena> idle_arena_;
};

// "F32", "BF16" or "F16" of MS_TYPE_*.
const char* type_name(int32_t type);

// Of a pass that holds the weights and nothing else between its operations.
MemoryForecast forecast_of(const Model& model, const PlannedMemory& planned);

// Addresses of the model's weights stay readable as long as this lives. Null model: none.
class WeightsLease {
 public:
  explicit WeightsLease(std::shared_ptr<Model> model) : model_(std::move(model)) {
    if (model_ != nullptr) model_->lease();
  }
  ~WeightsLease() {
    if (model_ != nullptr) model_->end_lease();
  }
  WeightsLease(const WeightsLease&) = delete;
  WeightsLease& operator=(const WeightsLease&) = delete;

 private:
  std::shared_ptr<Model> model_;
};

// An arena that returns to its model, for one task.
class ArenaLease {
 public:
  explicit ArenaLease(std::shared_ptr<Model> model)
      : model_(std::move(model)), weights_(model_), arena_(model_->borrow_arena()) {}
  ~ArenaLease() { model_->give_back_arena(std::move(arena_)); }
  ArenaLease(const ArenaLease&) = delete;
  ArenaLease& operator=(const ArenaLease&) = delete;
  Arena& operator*() const { return *arena_; }

 private:
  std::shared_ptr<Model> model_;
  WeightsLease weights_;
  std::unique_ptr<Arena> arena_;
};

}  // namespace mendset
