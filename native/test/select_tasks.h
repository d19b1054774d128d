// How the tests of selection tasks run them: on every backend, with several threads and step budgets.
#pragma once

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "core/random.h"
#include "core/task.h"
#include "test/check.h"

namespace mendset::test {

struct Setting {
  const char* backend;
  int threads;
  double budget_ms;
};
inline constexpr double kForever = std::numeric_limits<double>::infinity();
// Every setting must give the bits of the first one of its backend.
inline constexpr Setting kSettings[] = {{"plain", 1, kForever}, {"plain", 1, 0.001}, {"cpu", 1, kForever}, {"cpu", 2, kForever},
                                 {"cpu", 5, kForever},   {"cpu", 1, 0.001},   {"cpu", 2, 3},        {"cpu", 5, 0.001}};

inline Status drive(Task& task, double budget_ms) {
  double done = 0;
  while (!task.progress().finished) {
    MS_TRY(task.step(Deadline::after_ms(budget_ms)));
    const Progress progress = task.progress();
    CHECK(progress.done >= done && progress.done <= progress.total);
    CHECK(progress.finished == (progress.done == progress.total));
    done = progress.done;
  }
  return {};
}

template <typename Values>
bool same_bits(const Values& a, const Values& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(typename Values::value_type)) == 0);
}

inline std::shared_ptr<Backend> open(const char* name, int threads) {
  std::shared_ptr<Backend> backend;
  const Status status = Backend::open(name, threads, &backend);
  CHECK(status.ok());
  if (!status.ok()) std::printf("%s: %s\n", name, status.message().c_str());
  return backend;
}

inline std::vector<float> gaussian(int64_t n, int64_t d, uint64_t seed) {
  RandomStream stream(seed, 10);
  std::vector<float> x(static_cast<size_t>(n * d));
  for (float& value : x) value = static_cast<float>(stream.normal());
  return x;
}

inline std::vector<float> small_integers(int64_t n, int64_t d, uint32_t range, uint64_t seed) {
  RandomStream stream(seed, 10);
  std::vector<float> x(static_cast<size_t>(n * d));
  for (float& value : x) value = static_cast<float>(stream.below(range));
  return x;
}

inline float chain(const float* a, const float* b, int64_t d) {
  float sum = 0;
  for (int64_t p = 0; p < d; ++p) sum = std::fma(a[p], b[p], sum);
  return sum;
}

}  // namespace mendset::test
