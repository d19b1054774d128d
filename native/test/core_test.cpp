// Thread pool, random streams, deadlines, and opening a backend.
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "backend/backend.h"
#include "core/aligned_vector.h"
#include "core/random.h"
#include "core/task.h"
#include "core/thread_pool.h"
#include "test/check.h"

using namespace mendset;

namespace {

void random_streams() {
  const auto zero = philox4x32_10({0, 0, 0, 0}, {0, 0});
  CHECK(zero[0] == 0x6627e8d5u && zero[1] == 0xe169c58du && zero[2] == 0xbc57ac4cu && zero[3] == 0x9b00dbd8u);
  RandomStream first(43, 2);
  CHECK(first.next() == 1165689429u);
  CHECK(first.next() == 1389479825u);
  CHECK(first.next() == 1710088048u);

  RandomStream shuffler(43, 2);
  std::vector<int> order{0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  for (uint32_t i = 9; i > 0; --i) std::swap(order[i], order[shuffler.below(i + 1)]);
  CHECK((order == std::vector<int>{0, 9, 3, 2, 7, 8, 1, 6, 5, 4}));

  RandomStream bounded(1, 2);
  for (int i = 0; i < 1000; ++i) CHECK(bounded.below(1) == 0);
  double sum = 0, squares = 0;
  for (int i = 0; i < 20000; ++i) {
    const double u = bounded.uniform();
    CHECK(u >= 0 && u < 1);
    const double z = bounded.normal();
    sum += z;
    squares += z * z;
  }
  CHECK(test::near(sum / 20000, 0, 0.03));
  CHECK(test::near(squares / 20000, 1, 0.04));
}

void pool_runs_every_task_once() {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    CHECK(pool.threads() == threads);
    for (int repeat = 0; repeat < 300; ++repeat) {
      const int64_t tasks = repeat % 40;
      std::vector<std::atomic<int>> seen(static_cast<size_t>(tasks));
      std::atomic<bool> workers_valid{true};
      pool.run(tasks, [&](int64_t task, int worker) {
        seen[static_cast<size_t>(task)].fetch_add(1);
        if (worker < 0 || worker >= threads) workers_valid = false;
      });
      bool once = true;
      for (const auto& count : seen) once = once && count.load() == 1;
      CHECK(once);
      CHECK(workers_valid.load());
    }
  }
  setenv("MENDSET_THREADS", "3", 1);
  CHECK(ThreadPool::default_threads() == 3);
  setenv("MENDSET_THREADS", "0", 1);
  CHECK(ThreadPool::default_threads() >= 1);
  unsetenv("MENDSET_THREADS");
}

class CountingTask : public Task {
 public:
  Status step(Deadline deadline) override {
    do {
      ++done_;
    } while (done_ < 5 && !deadline.passed());
    return {};
  }
  Progress progress() const override { return {static_cast<double>(done_), 5, done_ == 5}; }

 private:
  int done_ = 0;
};

void tasks_step_until_the_deadline() {
  CountingTask task;
  CHECK(task.step(Deadline::after_ms(0)).ok());
  CHECK(task.progress().done == 1 && !task.progress().finished);
  CHECK(task.run().ok());
  CHECK(task.progress().finished);
  CHECK(!Deadline::never().passed());
  CHECK(!Deadline::after_ms(INFINITY).passed());
  CHECK(Deadline::after_ms(-1).passed());
}

void backends_open() {
  std::shared_ptr<Backend> backend;
  CHECK(Backend::open("cpu", 2, &backend).ok());
  CHECK(backend->threads() == 2);
  Buffer buffer;
  CHECK(Buffer::allocate(backend, 100, &buffer).ok());
  CHECK(reinterpret_cast<uintptr_t>(buffer.data()) % 64 == 0);
  char bytes[100];
  CHECK(buffer.download(bytes, 100).ok());
  bool zeroed = true;
  for (const char byte : bytes) zeroed = zeroed && byte == 0;
  CHECK(zeroed);
  CHECK(buffer.upload("abc", 3, 97).ok());
  CHECK(buffer.download(bytes, 3, 97).ok());
  CHECK(bytes[0] == 'a' && bytes[2] == 'c');
  CHECK(!buffer.upload("abc", 3, 98).ok());
  CHECK(Backend::open("plain", 0, &backend).ok());
  CHECK(Backend::open("abacus", 0, &backend).code() == Code::invalid_argument);
  CHECK(Backend::open("cpu", -1, &backend).code() == Code::invalid_argument);
  CHECK(open_plugin("relative.so").code() == Code::invalid_argument);
  CHECK(open_plugin("/nonexistent/plugin.so").code() == Code::device);
  CHECK(report_backends().size() == 2);

  setenv("MENDSET_ISA", "sse9", 1);
  CHECK(Backend::open("cpu", 1, &backend).code() == Code::invalid_argument);
  setenv("MENDSET_ISA", "generic", 1);
  CHECK(Backend::open("cpu", 1, &backend).ok());
  CHECK(std::string(backend->device()) == "generic");
  unsetenv("MENDSET_ISA");
}

// From the heap, from a mapping of its own, and from one of huge pages.
void aligned_vectors() {
  for (const size_t bytes : {size_t{64}, (size_t{1} << 20) - 8, size_t{1} << 20, size_t{2} << 20, (size_t{5} << 20) + 8}) {
    AlignedVector<double> numbers(bytes / sizeof(double));
    CHECK(reinterpret_cast<uintptr_t>(numbers.data()) % 64 == 0);
    numbers.front() = 1;
    numbers.back() = 2;
    numbers.resize(2 * numbers.size());  // what was there moves along
    CHECK(numbers.front() == 1 && numbers[numbers.size() / 2 - 1] == 2);
    numbers.back() = 3;
    CHECK(numbers.back() == 3);
  }
}

}  // namespace

int main() {
  random_streams();
  pool_runs_every_task_once();
  tasks_step_until_the_deadline();
  backends_open();
  aligned_vectors();
  return test::finish();
}
