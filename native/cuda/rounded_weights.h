// Weights as bfloat16 products read them, kept from call to call beside the caller's fp32 weights.
//
// A copy that is out of date is never read. Memory of the table's own allocator changes through the table alone, and every call of it passes here first:
// uploads, copies and frees with their ranges, the optimiser's updates with theirs, and every other operation with all its arguments. Any word of them that
// lies in an allocation of which copies are kept makes those copies be made again, unless it is one of the few operands that are known to be read only
// (`reads_only`). Copies are made anew before the operations of a call, or of a whole sequence, are started, so that a recorded sequence reads them and is
// replayed with the weights of its time; an operation that follows a write in its own sequence rounds for itself.
// When memory runs out the copies give way, for good.
#pragma once

#include <cstdint>
#include <functional>
#include <unordered_map>
#include <vector>

#include "cuda/context.h"
#include "cuda/operand.h"

namespace mendset::cuda {

// The weights of an operation as the right operand of its product: `rows` rows of `depth` numbers. data null: it has none, or reads them as they are.
struct WeightMatrix {
  const float* data = nullptr;
  int64_t ld = 0, rows = 0, depth = 0;
  bool transposed = false;
  OperandSource source() const { return {data, ld, transposed, MS_ACTIVATION_NONE}; }
  bool operator==(const WeightMatrix&) const = default;
};
WeightMatrix weights_of(const ms_linear_forward_args& a);
WeightMatrix weights_of(const ms_linear_backward_input_args& a);

class RoundedWeights {
 public:
  struct Counts {
    int64_t made = 0, read = 0;  // copies
  };

  // Before operations are started, while nothing is recorded: the operation's weights, up to date.
  int32_t prepare(Context& context, int32_t operation, const void* args);
  // Before an operation runs or is recorded, and when it is replayed.
  void note(int32_t operation, const void* args, size_t bytes);
  void written(const void* data, size_t bytes);
  void released(Context& context, const void* allocation);
  // False: the operation rounds them itself.
  bool find(const WeightMatrix& weights, Operand* out);
  // Gives up every copy. True when there were any.
  bool drop(Context& context);
  void close(Context& context);
  const Counts& counts() const { return counts_; }

 private:
  struct Hash {
    size_t operator()(const WeightMatrix& w) const { return std::hash<const float*>()(w.data) + (w.transposed ? 1 : 0); }
  };
  struct Copy {
    const std::byte* allocation;  // that the weights lie in
    std::byte* memory;
    Operand operand;
    bool current;
  };
  using Copies = std::unordered_map<WeightMatrix, Copy, Hash>;
  // End when none is kept and none can be.
  Copies::iterator take(Context& context, const WeightMatrix& weights);
  void forget(const Allocation& allocation);

  Copies copies_;
  std::vector<Allocation> allocations_;  // of all copies
  bool full_ = false;  // memory ran out once
  Counts counts_;
};

}  // namespace mendset::cuda
