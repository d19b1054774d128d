// Operations that the engine hands over as one. The first time they are started one by one, the second time they are recorded, and from then on the
// record is replayed: by one call, whatever their number. "The same" means the same operations with equal argument structs, byte for byte (sizes,
// scalars, addresses): all that decides what is launched, but for the scratch, whose growth gives up every record.
#pragma once

#include <cstdint>
#include <vector>

#include "cuda/context.h"

namespace mendset::cuda {

struct Recording;  // launches as the device keeps them: device_runtime.cu

// What the device must offer. Between the first two nothing is done on the device, only noted.
int32_t begin_recording(Context& context);
int32_t end_recording(Context& context, Recording** out);
int32_t replay(Context& context, Recording* recording);
void destroy_recording(Context& context, Recording* recording);

class Sequences {
 public:
  struct Counts {
    int64_t started = 0, recorded = 0, replayed = 0, refused = 0;  // sequences
  };

  // required: what the device cannot record is an error, for tests.
  explicit Sequences(bool required) : required_(required) {}

  bool open() const { return open_; }
  void begin() { open_ = true; }
  // The arguments are copied.
  template <typename Args>
  void hold(int32_t operation, const Args& args) {
    Args copy = args;
    __builtin_clear_padding(&copy);
    append(operation, &copy, sizeof copy);
  }
  int32_t end(Context& context);
  // Gives up every record.
  void forget(Context& context);
  const Counts& counts() const { return counts_; }

 private:
  using Key = std::vector<uint64_t>;  // per operation: number, words of arguments, arguments
  struct Known {
    Key key;
    Recording* recording = nullptr;
    bool refused = false;  // the device could not record it
    int64_t used = 0;
  };
  static_assert(alignof(ms_linear_forward_args) <= alignof(uint64_t));

  void append(int32_t operation, const void* args, size_t bytes);
  static int32_t start(Context& context, const Key& held);
  static int32_t prepare_weights(Context& context, const Key& held);
  static void note_replay(Context& context, const Key& held);
  int32_t record(Context& context, Known& known);
  Known* find(const Key& held);
  void remember(Context& context);

  const bool required_;
  bool open_ = false;
  Key held_;
  std::vector<Known> known_;
  int64_t time_ = 0;
  Counts counts_;
};

}  // namespace mendset::cuda
