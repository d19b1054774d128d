#include "cuda/sequence.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "cuda/cuda_operations.h"
#include "cuda/rounded_weights.h"

namespace mendset::cuda {

namespace {

constexpr size_t kMostKnown = 64;  // a training step has about five, decoding one per number of live samples

int32_t start_one(Context& context, int32_t operation, const void* args, size_t bytes) {
  begin_operation(context, operation, args, bytes);
  switch (operation) {
#define MS_CASE(name)         \
  case MS_OPERATION_##name:   \
    return finish_operation(context, #name, name(context, *static_cast<const ms_##name##_args*>(args)));
    MS_OPERATIONS(MS_CASE)
#undef MS_CASE
    default:
      return fail(context, MS_INVALID_ARGUMENT, "there is no operation %d", operation);
  }
}

}  // namespace

void Sequences::append(int32_t operation, const void* args, size_t bytes) {
  const size_t words = ceil_div<size_t>(bytes, sizeof(uint64_t)), at = held_.size();
  held_.resize(at + 2 + words, 0);
  held_[at] = static_cast<uint64_t>(operation);
  held_[at + 1] = words;
  std::memcpy(held_.data() + at + 2, args, bytes);
}

int32_t Sequences::start(Context& context, const Key& held) {
  for (size_t at = 0; at < held.size(); at += 2 + held[at + 1]) MS_CUDA_TRY(start_one(context, static_cast<int32_t>(held[at]), held.data() + at + 2, held[at + 1] * sizeof(uint64_t)));
  return MS_OK;
}

// Rounded weights that the operations read, made before anything is recorded.
int32_t Sequences::prepare_weights(Context& context, const Key& held) {
  if (context.weights == nullptr) return MS_OK;
  for (size_t at = 0; at < held.size(); at += 2 + held[at + 1]) MS_CUDA_TRY(context.weights->prepare(context, static_cast<int32_t>(held[at]), held.data() + at + 2));
  return MS_OK;
}

void Sequences::note_replay(Context& context, const Key& held) {
  if (context.weights == nullptr) return;
  for (size_t at = 0; at < held.size(); at += 2 + held[at + 1]) context.weights->note(static_cast<int32_t>(held[at]), held.data() + at + 2, held[at + 1] * sizeof(uint64_t));
}

// Whatever keeps the device from recording them (an operation that reads back), the operations are started one by one as before.
int32_t Sequences::record(Context& context, Known& known) {
  int32_t result = begin_recording(context);
  if (result == MS_OK) {
    const int32_t started = start(context, known.key);
    result = end_recording(context, &known.recording);
    if (started != MS_OK) result = started;
  }
  if (result == MS_OK) {
    ++counts_.recorded;
    return replay(context, known.recording);
  }
  if (known.recording != nullptr) destroy_recording(context, std::exchange(known.recording, nullptr));
  known.refused = true;
  ++counts_.refused;
  context.left = {};  // of operations that were noted only
  return required_ ? result : start(context, known.key);
}

int32_t Sequences::end(Context& context) {
  open_ = false;
  context.left = {};  // what a sequence does is decided by the sequence alone
  int32_t result = prepare_weights(context, held_);
  if (result != MS_OK) {
    held_.clear();
    return result;
  }
  Known* const known = find(held_);
  if (known == nullptr) {
    result = start(context, held_);
    ++counts_.started;
    if (result == MS_OK && !held_.empty()) remember(context);
  } else {
    known->used = ++time_;
    if (known->recording != nullptr) {
      ++counts_.replayed;
      context.last_operation = "operations replayed together";
      note_replay(context, held_);
      result = replay(context, known->recording);
    } else if (known->refused) {
      result = start(context, held_);
    } else {
      result = record(context, *known);
    }
  }
  held_.clear();
  context.left = {};
  return result;
}

Sequences::Known* Sequences::find(const Key& held) {
  for (Known& known : known_) {
    if (known.key == held) return &known;
  }
  return nullptr;
}

// In the place of the one that was not used for longest, once there are many.
void Sequences::remember(Context& context) {
  if (known_.size() < kMostKnown) {
    known_.emplace_back();
  } else {
    const auto oldest = std::min_element(known_.begin(), known_.end(), [](const Known& a, const Known& b) { return a.used < b.used; });
    if (oldest->recording != nullptr) destroy_recording(context, oldest->recording);
    *oldest = Known();
    std::swap(*oldest, known_.back());
  }
  known_.back().key = held_;
  known_.back().used = ++time_;
}

void Sequences::forget(Context& context) {
  for (const Known& known : known_) {
    if (known.recording != nullptr) destroy_recording(context, known.recording);
  }
  known_.clear();
}

}  // namespace mendset::cuda
