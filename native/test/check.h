// A few lines of test harness: CHECK counts, main prints "N passed, N failed" and fails the process.
#pragma once

#include <cmath>
#include <cstdio>

namespace mendset::test {
inline int passed = 0, failed = 0;
inline void check(bool condition, const char* text, const char* file, int line) {
  if (condition) {
    ++passed;
  } else {
    ++failed;
    if (failed <= 20) std::printf("%s:%d: failed: %s\n", file, line, text);
  }
}
inline bool near(double a, double b, double absolute, double relative = 0) {
  return std::abs(a - b) <= absolute + relative * std::fmax(std::abs(a), std::abs(b));
}
inline int finish() {
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
}  // namespace mendset::test

#define CHECK(condition) ::mendset::test::check((condition), #condition, __FILE__, __LINE__)
