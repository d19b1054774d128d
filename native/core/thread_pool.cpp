#include "core/thread_pool.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <system_error>
#include <thread>
#include <type_traits>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif

namespace mendset {
namespace {

constexpr std::chrono::microseconds kSpin{50};
constexpr int kMostThreads = 1024;

inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

int usable_cores() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  const unsigned cores = std::thread::hardware_concurrency();
  return cores > 0 ? static_cast<int>(cores) : 1;
}

// Polls `ready` for at most kSpin; true when it held.
template <typename Ready> bool spin_until(bool spin, Ready ready) {
  if (ready()) return true;
  if (!spin) return false;
  const auto limit = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 64; ++i) {
      if (ready()) return true;
      relax();
    }
  } while (std::chrono::steady_clock::now() < limit);
  return false;
}

}  // namespace

// A job is open while tasks may be claimed. Workers enter it by raising the count of `gate` while it is open; the caller closes it
// when no task is left and waits only for those who entered, so a worker that wakes up late costs nothing.
struct ThreadPool::State {
  static constexpr uint64_t kOpen = 1, kEntered = 2, kEnteredMask = (uint64_t{1} << 32) - 2, kEpoch = uint64_t{1} << 32;

  explicit State(int count) : threads(count), spin(count <= usable_cores()) {}

  int threads;
  bool spin;  // never while more threads than cores: a spinning thread would keep the working one from its core
  bool stopping = false;
  std::vector<std::thread> workers;

  alignas(64) std::atomic<uint64_t> gate{0};  // epoch << 32 | entered << 1 | open
  alignas(64) std::atomic<int64_t> next{0};
  int64_t tasks = 0;
  const FunctionRef<void(int64_t, int)>* body = nullptr;

  alignas(64) std::atomic<int> sleeping{0};
  std::atomic<bool> caller_sleeps{false};
  std::mutex mutex;
  std::condition_variable wake, done;

  void work(int worker) {
    for (int64_t task = next.fetch_add(1, std::memory_order_relaxed); task < tasks; task = next.fetch_add(1, std::memory_order_relaxed)) (*body)(task, worker);
  }

  bool new_job(uint64_t seen) const {
    const uint64_t now = gate.load();  // sequentially consistent: pairs with `sleeping`
    return (now & kOpen) != 0 && now / kEpoch != seen;
  }

  void worker_loop(int worker) {
    uint64_t seen = 0;
    for (;;) {
      if (!spin_until(spin, [&] { return new_job(seen); })) {
        std::unique_lock lock(mutex);
        sleeping.fetch_add(1);
        wake.wait(lock, [&] { return stopping || new_job(seen); });
        sleeping.fetch_sub(1);
        if (stopping) return;
      }
      uint64_t now = gate.load(std::memory_order_acquire);
      while ((now & kOpen) != 0 && !gate.compare_exchange_weak(now, now + kEntered, std::memory_order_acq_rel)) {
      }
      if ((now & kOpen) == 0) continue;  // closed meanwhile
      seen = now / kEpoch;
      work(worker);
      if ((gate.fetch_sub(kEntered) & (kEnteredMask | kOpen)) == kEntered && caller_sleeps.load()) {
        { std::lock_guard lock(mutex); }
        done.notify_one();
      }
    }
  }
};

ThreadPool::ThreadPool(int threads) : state_(std::make_unique<State>(threads < 1 ? 1 : threads > kMostThreads ? kMostThreads : threads)) {
  state_->workers.reserve(static_cast<size_t>(state_->threads - 1));
  for (int worker = 1; worker < state_->threads; ++worker) {
    try {
      state_->workers.emplace_back([state = state_.get(), worker] { state->worker_loop(worker); });
    } catch (const std::system_error&) {  // the operating system gives no more: results do not depend on the count
      break;
    }
  }
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->wake.notify_all();
  for (std::thread& worker : state_->workers) worker.join();
}

int ThreadPool::threads() const { return static_cast<int>(state_->workers.size()) + 1; }

void ThreadPool::run(int64_t tasks, FunctionRef<void(int64_t task, int worker)> body) {
  State& state = *state_;
  if (tasks <= 1 || state.workers.empty()) {
    for (int64_t task = 0; task < tasks; ++task) body(task, 0);
    return;
  }
  state.tasks = tasks;
  state.body = &body;
  state.next.store(0, std::memory_order_relaxed);
  state.gate.fetch_add(State::kEpoch + State::kOpen);
  if (state.sleeping.load() > 0) {
    { std::lock_guard lock(state.mutex); }
    state.wake.notify_all();
  }
  state.work(0);
  state.gate.fetch_sub(State::kOpen);
  const auto all_left = [&] { return (state.gate.load() & State::kEnteredMask) == 0; };
  if (spin_until(state.spin, all_left)) return;
  std::unique_lock lock(state.mutex);
  state.caller_sleeps.store(true);
  state.done.wait(lock, all_left);
  state.caller_sleeps.store(false);
}

int ThreadPool::default_threads() {
  if (const char* text = std::getenv("MENDSET_THREADS")) {
    char* end = nullptr;
    const long count = std::strtol(text, &end, 10);
    if (end != text && *end == '\0' && count >= 1 && count <= kMostThreads) return static_cast<int>(count);
  }
  return usable_cores();
}

}  // namespace mendset
