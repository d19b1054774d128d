// The contract of a backend: every operation, for every instruction set and for 1, 2 and 5 threads, gives what the plain backend gives
// within a bound, the same bits for every thread count, and writes nothing beyond its outputs.
//
//   contract("fill 33", {.absolute = 0}, [&](const ms_backend& table, ms_context* context, Outputs& outputs) {
//     Guarded<float> out(33);                                  // fresh for every run, filled with a pattern
//     const ms_fill_args args{33, 1.5f, out.data()};
//     outputs.result(table.fill(context, &args));
//     outputs.add("out", out);
//   });
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "core/random.h"
#include "cpu/cpu.h"
#include "cpu/isa.h"
#include "mendset/backend.h"
#include "plain/plain.h"
#include "test/check.h"

namespace mendset::test {

// `count` elements with sentinels before and behind. Starts as a pattern that a lazy operation would leave behind.
template <typename T> class Guarded {
 public:
  explicit Guarded(int64_t count) : cells_(static_cast<size_t>(count) + 2 * kGuard), count_(count) {
    std::memset(cells_.data(), kPattern, cells_.size() * sizeof(T));
  }
  Guarded(int64_t count, T value) : Guarded(count) { for (int64_t i = 0; i < count; ++i) data()[i] = value; }
  explicit Guarded(const std::vector<T>& values) : Guarded(static_cast<int64_t>(values.size())) { std::copy(values.begin(), values.end(), data()); }
  T* data() { return cells_.data() + kGuard; }
  const T* data() const { return cells_.data() + kGuard; }
  int64_t count() const { return count_; }
  bool intact() const {
    const auto* bytes = reinterpret_cast<const unsigned char*>(cells_.data());
    const size_t front = kGuard * sizeof(T), back = (kGuard + static_cast<size_t>(count_)) * sizeof(T);
    for (size_t i = 0; i < front; ++i) if (bytes[i] != kPattern) return false;
    for (size_t i = back; i < cells_.size() * sizeof(T); ++i) if (bytes[i] != kPattern) return false;
    return true;
  }

 private:
  static constexpr size_t kGuard = 64;
  static constexpr unsigned char kPattern = 0xcd;
  std::vector<T> cells_;
  int64_t count_;
};

// What one run produced.
class Outputs {
 public:
  struct Entry {
    std::string name;
    std::vector<double> values;
    std::vector<unsigned char> bytes;
    bool intact;
  };
  void result(int32_t code) { code_ = code; }
  template <typename T> void add(const char* name, const Guarded<T>& buffer) {
    Entry entry{name, {}, {}, buffer.intact()};
    entry.values.assign(buffer.data(), buffer.data() + buffer.count());
    const auto* bytes = reinterpret_cast<const unsigned char*>(buffer.data());
    entry.bytes.assign(bytes, bytes + static_cast<size_t>(buffer.count()) * sizeof(T));
    entries.push_back(std::move(entry));
  }
  int32_t code() const { return code_; }
  std::vector<Entry> entries;

 private:
  int32_t code_ = -1;
};

// |actual - plain| <= absolute + relative * |plain|; both 0 asks for equality (indices, canonical values).
struct Bound {
  double absolute = 0, relative = 0;
};

inline void compare(const std::string& label, const Outputs& actual, const Outputs& expected, Bound bound) {
  bool good = actual.code() == expected.code() && actual.entries.size() == expected.entries.size();
  if (!good) std::printf("%s: result %d, plain %d\n", label.c_str(), actual.code(), expected.code());
  for (size_t e = 0; good && e < actual.entries.size(); ++e) {
    const Outputs::Entry &a = actual.entries[e], &b = expected.entries[e];
    if (!a.intact) {
      std::printf("%s: wrote beyond '%s'\n", label.c_str(), a.name.c_str());
      good = false;
    }
    for (size_t i = 0; i < a.values.size(); ++i) {
      if (a.values[i] == b.values[i] || std::abs(a.values[i] - b.values[i]) <= bound.absolute + bound.relative * std::abs(b.values[i])) continue;
      if (std::isnan(a.values[i]) && std::isnan(b.values[i])) continue;  // both untouched or both undefined
      std::printf("%s: %s[%zu] = %.9g, plain %.9g\n", label.c_str(), a.name.c_str(), i, a.values[i], b.values[i]);
      good = false;
      break;
    }
  }
  CHECK(good);
}

template <typename Run> void contract(const std::string& name, Bound bound, Run run) {
  const ms_backend& plain = *mendset_plain_backend();
  const ms_backend& cpu = *mendset_cpu_backend();
  ms_context* context = nullptr;
  CHECK(plain.create(1, &context) == MS_OK);
  Outputs expected;
  run(plain, context, expected);
  plain.destroy(context);

  for (const cpu::Isa isa : {cpu::Isa::generic, cpu::Isa::avx2, cpu::Isa::avx512, cpu::Isa::neon}) {
    if (!cpu::isa_available(isa)) continue;
    setenv("MENDSET_ISA", cpu::isa_name(isa), 1);
    Outputs first;
    for (const int threads : {1, 2, 5}) {
      const std::string label = name + " [" + cpu::isa_name(isa) + ", " + std::to_string(threads) + " threads]";
      CHECK(cpu.create(threads, &context) == MS_OK);
      Outputs actual;
      run(cpu, context, actual);
      cpu.destroy(context);
      compare(label, actual, expected, bound);
      if (threads == 1) {
        first = std::move(actual);
        continue;
      }
      bool same = actual.entries.size() == first.entries.size();
      for (size_t e = 0; same && e < actual.entries.size(); ++e) same = actual.entries[e].bytes == first.entries[e].bytes;
      if (!same) std::printf("%s: other bits than with one thread\n", label.c_str());
      CHECK(same);
    }
  }
  unsetenv("MENDSET_ISA");
}

// Normally distributed inputs, the same for the same seed.
inline std::vector<float> normal_values(int64_t count, uint64_t seed, float scale = 1.0f) {
  RandomStream stream(seed, 1);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = scale * static_cast<float>(stream.normal());
  return values;
}
inline std::vector<int32_t> integer_values(int64_t count, uint32_t below, uint64_t seed) {
  RandomStream stream(seed, 1);
  std::vector<int32_t> values(static_cast<size_t>(count));
  for (int32_t& value : values) value = static_cast<int32_t>(stream.below(below));
  return values;
}

}  // namespace mendset::test
