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

enum class State : uint8_t { ready, at_warp, at_block, done };

struct Copy {
  void* destination;
  const void* source;
  size_t bytes, source_bytes;
};

struct Fibre {
  Stack stack;
  State state = State::ready;
  Lane lane;
  unsigned warp = 0;
  std::vector<Copy> open;                 // not committed
  std::vector<std::vector<Copy>> groups;  // committed, oldest first
};

struct Warp {
  alignas(16) unsigned char slots[2][kWarp * kSlotBytes];
};

struct Emulator {
  std::mutex one_grid;
  std::vector<Fibre> fibres;
  std::vector<std::unique_ptr<unsigned char[]>> stacks;
  std::vector<Warp> warps;
  std::vector<unsigned> parity;  // per fibre: the next exchange's set
  std::vector<double> shared;    // storage only
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

// Releases the warps and the block whose threads have all arrived. False when nothing could move.
bool release(Emulator& e, unsigned threads) {
  bool moved = false;
  for (unsigned first = 0; first < threads; first += kWarp) {
    unsigned waiting = 0;
    for (unsigned t = first; t < first + kWarp; ++t) waiting += e.fibres[t].state == State::at_warp;
    if (waiting == 0) continue;
    if (waiting < kWarp) continue;
    for (unsigned t = first; t < first + kWarp; ++t) e.fibres[t].state = State::ready;
    moved = true;
  }
  if (moved) return true;
  unsigned waiting = 0;
  for (unsigned t = 0; t < threads; ++t) waiting += e.fibres[t].state == State::at_block;
  if (waiting == 0) return false;
  if (waiting < threads) broken("only some threads of a block reached a barrier");
  for (unsigned t = 0; t < threads; ++t) e.fibres[t].state = State::ready;
  return true;
}

void run_block(Emulator& e, unsigned threads, const std::vector<unsigned>& order) {
  for (unsigned t = 0; t < threads; ++t) {
    e.fibres[t].state = State::ready;
    e.parity[t] = 0;
    prepare_stack(&e.fibres[t].stack, e.stacks[t].get(), start);
  }
  for (;;) {
    bool ran = false;
    for (const unsigned t : order) {
      if (e.fibres[t].state != State::ready) continue;
      ran = true;
      e.current = &e.fibres[t];
      switch_stack(&e.home, &e.fibres[t].stack);
    }
    if (!ran && !release(e, threads)) break;
  }
  for (unsigned t = 0; t < threads; ++t) {
    if (e.fibres[t].state != State::done) broken("only some lanes of a warp reached a collective operation");
  }
}

}  // namespace

Lane& lane() { return emulator().current->lane; }
void block_barrier() { leave(State::at_block); }
void warp_barrier() { leave(State::at_warp); }

unsigned char* begin_exchange() {
  Emulator& e = emulator();
  const unsigned thread = e.current->lane.thread.x;
  return e.warps[e.current->warp].slots[e.parity[thread]++ % 2];
}

unsigned char* shared_memory() { return reinterpret_cast<unsigned char*>(emulator().shared.data()); }

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

void run_grid(Index3 grid, unsigned threads, size_t shared_bytes, Order order, void (*entry)(void*), void* closure) {
  Emulator& e = emulator();
  std::lock_guard lock(e.one_grid);
  if (threads == 0 || threads > 1024 || threads % kWarp != 0) broken("a block's size is not a multiple of a warp up to 1024");
  if (grid.y > 65535 || grid.z > 65535 || grid.x > 0x7fffffff) broken("a grid is too large");
  e.entry = entry;
  e.closure = closure;
  e.fibres.resize(threads);
  e.warps.resize(threads / kWarp);
  e.parity.resize(threads);
  while (e.stacks.size() < threads) e.stacks.emplace_back(new unsigned char[kStackBytes]);
  e.shared.resize(shared_bytes / sizeof(double) + 16);
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
  for (uint64_t step = 0; step < blocks; ++step) {
    const uint64_t block = order == Order::ascending ? step : blocks - 1 - step;
    const Index3 at{static_cast<unsigned>(block % grid.x), static_cast<unsigned>(block / grid.x % grid.y), static_cast<unsigned>(block / grid.x / grid.y)};
    for (unsigned t = 0; t < threads; ++t) {
      e.fibres[t].lane = {{t, 0, 0}, at, {threads, 1, 1}, grid};
      e.fibres[t].warp = t / kWarp;
    }
    std::memset(e.shared.data(), 0xff, e.shared.size() * sizeof(double));
    run_block(e, threads, threads_in_order);
  }
  e.current = nullptr;
}

}  // namespace mendset::cuda_emulation
