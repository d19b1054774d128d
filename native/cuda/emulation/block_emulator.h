// Runs a kernel's grid on the host: every thread of a block is a fibre, and the fibres of a block (or warp) meet at its barriers. What a
// kernel computes does then not depend on a GPU: index arithmetic, barriers, warp exchanges and reductions are those of the device code.
// Threads between two barriers run in a chosen order, so a missing barrier shows as a result that depends on the order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mendset::cuda_emulation {

struct Index3 {
  unsigned x = 1, y = 1, z = 1;
};

enum class Order { ascending, descending, shuffled };

// What the running fibre knows about itself.
struct Lane {
  Index3 thread, block, block_size, grid;
};

Lane& lane();
void grid_barrier();
void block_barrier();
void warp_barrier();
// A slot per lane of the running warp for collective operations; call, write the own slot, warp_barrier(), read others. Consecutive calls
// alternate between two sets, so that one barrier per exchange is enough.
constexpr size_t kSlotBytes = 32;
unsigned char* begin_exchange();  // set of 32 slots
unsigned char* shared_memory();   // dynamic, filled with NaN patterns before each block

// Copies of cp.async: not done before the wait that the device would need, so that a missing wait shows.
void copy_later(void* destination, const void* source, size_t bytes, size_t source_bytes);
void commit_copies();
void wait_copies(int groups_left);

struct Launch {
  Index3 grid;
  unsigned threads;
  size_t shared_bytes;
  bool cooperative;  // all blocks at the same time; else one after the other
};
void run_grid(const Launch& launch, Order order, void (*entry)(void*), void* closure);

}  // namespace mendset::cuda_emulation
