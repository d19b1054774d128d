// Own pool: no OpenMP (it multiplies threads across libuv workers), no detached threads, nothing runs between calls.
#pragma once

#include <cstdint>
#include <memory>

namespace mendset {

// A borrowed callable: no allocation, valid only during the call it is passed to.
template <typename Signature> class FunctionRef;
template <typename R, typename... A> class FunctionRef<R(A...)> {
 public:
  template <typename F> FunctionRef(F&& f) noexcept  // NOLINT: implicit by design
      : object_(const_cast<void*>(static_cast<const void*>(&f))),
        call_([](void* object, A... a) -> R { return (*static_cast<std::remove_reference_t<F>*>(object))(a...); }) {}
  R operator()(A... a) const { return call_(object_, a...); }

 private:
  void* object_;
  R (*call_)(void*, A...);
};

class ThreadPool {
 public:
  explicit ThreadPool(int threads);  // >= 1; the calling thread is one of them
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const;
  // Calls body(task, worker) for every task in [0, tasks), worker in [0, threads()). Tasks are chosen by the problem, so results
  // must not depend on which worker runs a task or in which order. Returns when all are done. Not reentrant.
  void run(int64_t tasks, FunctionRef<void(int64_t task, int worker)> body);

  // MENDSET_THREADS if set and valid, else the number of cores this process may use.
  static int default_threads();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mendset
