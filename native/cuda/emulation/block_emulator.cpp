#include "cuda/emulation/block_emulator.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <numeric>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace mendset::cuda_emulation {
namespace {

constexpr size_t kStackBytes = 64 << 10;
constexpr unsigned kWarp = 32;

#if defined(__x86_64__)
// Saves the callee-saved registers on the old stack and continues on the new one.
extern "C" void mendset_switch_stack(void** save, void* load);
asm(R"(
.text
.p2align 4
.type mendset_switch_stack, @function
mendset_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size mendset_switch_stack, .-mendset_switch_stack
)");
using Stack = void*;
void switch_stack(Stack* from, Stack* to) { mendset_switch_stack(from, *to); }
void prepare_stack(Stack* stack, unsigned char* memory, void (*start)()) {
  auto** top = reinterpret_cast<void**>(memory + kStackBytes - 64);
  *--top = nullptr;  // keeps the stack 16-byte aligned at the entry, as after a call
  *--top = reinterpret_cast<void*>(start);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  *stack = top;
}
#else
using Stack = ucontext_t;
void switch_stack(Stack* from, Stack* to) { swapcontext(from, to); }
void prepare_stack(Stack* stack, unsigned char* memory, void (*start)()) {
  getcontext(stack);
  stack->uc_stack.ss_sp = memory;
  stack->uc_stack.ss_size = kStackBytes;
  stack->uc_link = nullptr;
  makecontext(stack, start, 0);
}
#endif

enum class State : uint8_t { ready, at_warp, at_block, at_grid, done };

struct Copy {
  void* destination;
  const void* source;
  size_t bytes, source_bytes;
};

struct Block;

struct Fibre {
  Stack stack;
  std::unique_ptr<unsigned char[]> memory{new unsigned char[kStackBytes]};  // of the stack
  State state = State::ready;
  Lane lane;
  Block* block = nullptr;
  unsigned parity = 0;                    // the next exchange's set
  std::vector<Copy> open;                 // not committed
  std::vector<std::vector<Copy>> groups;  // committed, oldest first
};

struct Warp {
  alignas(16) unsigned char slots[2][kWarp * kSlotBytes];
};

struct Block {
  std::vector<Fibre> fibres;
  std::vector<Warp> warps;
  std::vector<double> shared;  // storage only
};

struct Emulator {
  std::mutex one_grid;
  std::vector<std::unique_ptr<Block>> blocks;  // those that run at the same time
  Stack home;
  Fibre* current = nullptr;
  void (*entry)(void*) = nullptr;
  void* closure = nullptr;
};

Emulator& emulator() {
  static Emulator* const instance = new Emulator;
  return *instance;
}

[[noreturn]] void broken(const char* what) {
  std::fprintf(stderr, "kernel emulation: %s\n", what);
  std::abort();
}

void leave(State state) {
  Emulator& e = emulator();
  e.current->state = state;
  switch_stack(&e.current->stack, &e.home);
}

void start() {
  Emulator& e = emulator();
  e.entry(e.closure);
  if (!e.current->open.empty() || !e.current->groups.empty()) broken("a thread ended with asynchronous copies under way");
  leave(State::done);
}

// Fibres of [first, last) in a state.
unsigned count(const Block& block, State state, size_t first, size_t last) {
  unsigned waiting = 0;
  for (size_t t = first; t < last; ++t) waiting += block.fibres[t].state == state;
  return waiting;
}
unsigned count(const Block& block, State state) { return count(block, state, 0, block.fibres.size()); }

// Releases the warps and the block whose threads have all arrived. False when nothing could move.
bool release(Block& block) {
  bool moved = false;
  for (size_t first = 0; first < block.fibres.size(); first += kWarp) {
    if (count(block, State::at_warp, first, first + kWarp) < kWarp) continue;
    for (size_t t = first; t < first + kWarp; ++t) block.fibres[t].state = State::ready;
    moved = true;
  }
  if (moved) return true;
  const unsigned waiting = count(block, State::at_block);
  if (waiting == 0) return false;
  if (waiting < block.fibres.size()) broken("only some threads of a block reached a barrier");
  for (Fibre& fibre : block.fibres) fibre.state = State::ready;
  return true;
}

// The threads of a block, which begin when it is run.
void prepare(Block& block, const Launch& launch, Index3 at) {
  block.fibres.resize(launch.threads);
  block.warps.resize(launch.threads / kWarp);
  block.shared.resize(launch.shared_bytes / sizeof(double) + 16);
  std::memset(block.shared.data(), 0xff, block.shared.size() * sizeof(double));
  for (unsigned t = 0; t < launch.threads; ++t) {
    Fibre& fibre = block.fibres[t];
    fibre.state = State::ready;
    fibre.lane = {{t, 0, 0}, at, {launch.threads, 1, 1}, launch.grid};
    fibre.block = &block;
    fibre.parity = 0;
    prepare_stack(&fibre.stack, fibre.memory.get(), start);
  }
}

// Until every thread has ended or waits for other blocks. True when they have ended.
bool run_block(Block& block, const std::vector<unsigned>& order) {
  Emulator& e = emulator();
  for (;;) {
    bool ran = false;
    for (const unsigned t : order) {
      if (block.fibres[t].state != State::ready) continue;
      ran = true;
      e.current = &block.fibres[t];
      switch_stack(&e.home, &block.fibres[t].stack);
    }
    if (!ran && !release(block)) break;
  }
  e.current = nullptr;
  const size_t threads = block.fibres.size();
  if (count(block, State::at_grid) == threads) return false;
  if (count(block, State::at_grid) > 0) broken("only some threads of a block reached a barrier of all blocks");
  if (count(block, State::done) < threads) broken("only some lanes of a warp reached a collective operation");
  return true;
}

// Between two barriers of all blocks they run one after the other.
void run_together(uint64_t blocks, Order order, const std::vector<unsigned>& threads_in_order) {
  Emulator& e = emulator();
  for (;;) {
    uint64_t ended = 0;
    for (uint64_t step = 0; step < blocks; ++step) ended += run_block(*e.blocks[order == Order::ascending ? step : blocks - 1 - step], threads_in_order);
    if (ended == blocks) return;
    if (ended > 0) broken("only some blocks reached a barrier of all blocks");
    for (uint64_t b = 0; b < blocks; ++b) {
      for (Fibre& fibre : e.blocks[b]->fibres) fibre.state = State::ready;
    }
  }
}

}  // namespace

Lane& lane() { return emulator().current->lane; }
void grid_barrier() { leave(State::at_grid); }
void block_barrier() { leave(State::at_block); }
void warp_barrier() { leave(State::at_warp); }

unsigned char* begin_exchange() {
  Fibre& fibre = *emulator().current;
  return fibre.block->warps[fibre.lane.thread.x / kWarp].slots[fibre.parity++ % 2];
}

unsigned char* shared_memory() { return reinterpret_cast<unsigned char*>(emulator().current->block->shared.data()); }

void copy_later(void* destination, const void* source, size_t bytes, size_t source_bytes) {
  emulator().current->open.push_back({destination, source, bytes, source_bytes});
}
void commit_copies() {
  Fibre& fibre = *emulator().current;
  fibre.groups.push_back(std::move(fibre.open));
  fibre.open.clear();
}
void wait_copies(int groups_left) {
  auto& groups = emulator().current->groups;
  while (groups.size() > static_cast<size_t>(groups_left)) {
    for (const Copy& copy : groups.front()) {
      if (copy.source_bytes > 0) std::memcpy(copy.destination, copy.source, copy.source_bytes);
      std::memset(static_cast<char*>(copy.destination) + copy.source_bytes, 0, copy.bytes - copy.source_bytes);
    }
    groups.erase(groups.begin());
  }
}

void run_grid(const Launch& launch, Order order, void (*entry)(void*), void* closure) {
  Emulator& e = emulator();
  std::lock_guard lock(e.one_grid);
  const auto& [grid, threads, shared_bytes, cooperative] = launch;
  if (threads == 0 || threads > 1024 || threads % kWarp != 0) broken("a block's size is not a multiple of a warp up to 1024");
  if (grid.y > 65535 || grid.z > 65535 || grid.x > 0x7fffffff) broken("a grid is too large");
  e.entry = entry;
  e.closure = closure;
  std::vector<unsigned> threads_in_order(threads);
  std::iota(threads_in_order.begin(), threads_in_order.end(), 0u);
  if (order == Order::descending) std::iota(threads_in_order.rbegin(), threads_in_order.rend(), 0u);
  uint32_t random = 12345;
  if (order == Order::shuffled) {
    for (unsigned i = threads - 1; i > 0; --i) {
      random = random * 1664525u + 1013904223u;
      std::swap(threads_in_order[i], threads_in_order[(random >> 8) % (i + 1)]);
    }
  }
  const uint64_t blocks = uint64_t{grid.x} * grid.y * grid.z;
  while (e.blocks.size() < (cooperative ? blocks : 1)) e.blocks.push_back(std::make_unique<Block>());
  for (uint64_t step = 0; step < blocks; ++step) {
    const uint64_t block = order == Order::ascending ? step : blocks - 1 - step;
    const Index3 at{static_cast<unsigned>(block % grid.x), static_cast<unsigned>(block / grid.x % grid.y), static_cast<unsigned>(block / grid.x / grid.y)};
    prepare(*e.blocks[cooperative ? block : 0], launch, at);
    if (!cooperative && !run_block(*e.blocks[0], threads_in_order)) broken("a kernel that waits for all blocks was not started for that");
  }
  if (cooperative) run_together(blocks, order, threads_in_order);
}

}  // namespace mendset::cuda_emulation
