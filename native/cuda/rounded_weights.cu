#include "cuda/rounded_weights.h"

#include <algorithm>
#include <cstring>

#include "cuda/sequence.h"

namespace mendset::cuda {

namespace {

constexpr size_t kSpareShare = 4;  // a copy takes at most this part of what is free

size_t bytes_of(const WeightMatrix& w) {
  const int64_t rows = w.transposed ? w.depth : w.rows, columns = w.transposed ? w.rows : w.depth;
  return rows > 0 && columns > 0 ? static_cast<size_t>((rows - 1) * w.ld + columns) * sizeof(float) : 0;
}

bool inside(const Allocation& allocation, const void* place) { return place >= allocation.begin && place < allocation.begin + allocation.bytes; }

bool overlap(const void* a, size_t a_bytes, const void* b, size_t b_bytes) {
  const auto first = reinterpret_cast<uintptr_t>(a), second = reinterpret_cast<uintptr_t>(b);
  return first < second + b_bytes && second < first + a_bytes;
}

// Operands among a model's weights that an operation does not write.
bool reads_only(int32_t operation, size_t at) {
  switch (operation) {
    case MS_OPERATION_linear_forward:
      return at == offsetof(ms_linear_forward_args, w) || at == offsetof(ms_linear_forward_args, bias);
    case MS_OPERATION_linear_backward_input:
      return at == offsetof(ms_linear_backward_input_args, w);
    case MS_OPERATION_norm_forward:
      return at == offsetof(ms_norm_forward_args, gain) || at == offsetof(ms_norm_forward_args, bias);
    case MS_OPERATION_norm_backward:
      return at == offsetof(ms_norm_backward_args, gain);
    case MS_OPERATION_embed_forward:
      return at == offsetof(ms_embed_forward_args, token_table) || at == offsetof(ms_embed_forward_args, position_table) || at == offsetof(ms_embed_forward_args, bias);
    default:
      return false;
  }
}

}  // namespace

RoundedWeights::Copies::iterator RoundedWeights::take(Context& context, const WeightMatrix& weights) {
  if (const auto known = copies_.find(weights); known != copies_.end() || full_) return known;
  // what the table has not allocated may change behind its back
  Allocation allocation;
  if (!find_allocation(context, weights.data, &allocation) || !inside(allocation, reinterpret_cast<const std::byte*>(weights.data) + bytes_of(weights) - 1)) return copies_.end();
  const auto bytes = static_cast<size_t>(operand_bytes(context.precision, weights.rows, weights.depth));
  std::byte* const memory = bytes <= spare_bytes(context) / kSpareShare ? allocate_spare(context, bytes) : nullptr;
  if (memory == nullptr) return copies_.end();
  if (std::none_of(allocations_.begin(), allocations_.end(), [&](const Allocation& each) { return each.begin == allocation.begin; })) allocations_.push_back(allocation);
  return copies_.insert({weights, Copy{allocation.begin, memory, {}, false}}).first;
}

int32_t RoundedWeights::prepare(Context& context, int32_t operation, const void* args) {
  WeightMatrix weights;
  if (operation == MS_OPERATION_linear_forward) weights = weights_of(*static_cast<const ms_linear_forward_args*>(args));
  if (operation == MS_OPERATION_linear_backward_input) weights = weights_of(*static_cast<const ms_linear_backward_input_args*>(args));
  if (weights.data == nullptr || weights.rows == 0 || weights.depth == 0) return MS_OK;
  const auto found = take(context, weights);
  if (found == copies_.end() || found->second.current) return MS_OK;
  Copy& copy = found->second;
  MS_CUDA_TRY(pack_operand(context, context.precision, weights.source(), weights.rows, weights.depth, copy.memory, &copy.operand));
  copy.current = true;
  ++counts_.made;
  return MS_OK;
}

void RoundedWeights::forget(const Allocation& allocation) {
  for (auto& [weights, copy] : copies_) {
    if (copy.allocation == allocation.begin) copy.current = false;
  }
}

void RoundedWeights::note(int32_t operation, const void* args, size_t bytes) {
  if (copies_.empty()) return;
  size_t updated = SIZE_MAX;  // where the pointer to what an optimiser updates lies
  const auto updates = [&](const auto& a, size_t at) {
    written(a.w, static_cast<size_t>(a.count) * sizeof(float));
    updated = at;
  };
  if (operation == MS_OPERATION_rmsprop) updates(*static_cast<const ms_rmsprop_args*>(args), offsetof(ms_rmsprop_args, w));
  if (operation == MS_OPERATION_adamw) updates(*static_cast<const ms_adamw_args*>(args), offsetof(ms_adamw_args, w));
  for (size_t at = 0; at + sizeof(void*) <= bytes; at += sizeof(void*)) {
    const void* word;
    std::memcpy(&word, static_cast<const unsigned char*>(args) + at, sizeof word);
    for (const Allocation& allocation : allocations_) {
      if (inside(allocation, word) && at != updated && !reads_only(operation, at)) forget(allocation);
    }
  }
}

void RoundedWeights::written(const void* data, size_t bytes) {
  for (auto& [weights, copy] : copies_) {
    if (overlap(weights.data, bytes_of(weights), data, bytes)) copy.current = false;
  }
}

void RoundedWeights::released(Context& context, const void* memory) {
  const auto gone = [&](const Allocation& allocation) { return allocation.begin == memory; };
  if (std::erase_if(allocations_, gone) == 0) return;
  if (context.sequences != nullptr) context.sequences->forget(context);  // their records name the copies
  std::erase_if(copies_, [&](const Copies::value_type& each) {
    if (each.second.allocation != memory) return false;
    release(context, each.second.memory);
    return true;
  });
}

bool RoundedWeights::find(const WeightMatrix& weights, Operand* out) {
  const auto found = copies_.find(weights);
  if (found == copies_.end() || !found->second.current) return false;
  ++counts_.read;
  *out = found->second.operand;
  return true;
}

bool RoundedWeights::drop(Context& context) {
  const bool any = !copies_.empty();
  full_ = true;
  close(context);
  return any;
}

void RoundedWeights::close(Context& context) {
  if (!copies_.empty() && context.sequences != nullptr) context.sequences->forget(context);
  for (const auto& [weights, copy] : copies_) release(context, copy.memory);
  copies_.clear();
  allocations_.clear();
}

}  // namespace mendset::cuda
