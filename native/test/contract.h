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

// A backend under test in one of its variants: instruction sets of the processor, or the arithmetic modes of CUDA.
struct Subject {
  const ms_backend* table;
  const char *variable, *variant;  // environment while its contexts are created
  // Of operations that are matrix products: bound of |actual - plain| / |plain| over the elements that differ at all; 0: the operation's own bound.
  double product_error;
};

#if defined(MENDSET_CONTRACT_CUDA)
const ms_backend* contract_table();  // of the library, or of its emulation
inline std::vector<Subject> subjects() {
  constexpr const char* kVariable = "MENDSET_CUDA_PRECISION";
  std::vector<Subject> all{{contract_table(), kVariable, "fp32", 0}};
  for (const Subject& rounded : {Subject{contract_table(), kVariable, "tf32x3", 3e-6}, {contract_table(), kVariable, "tf32", 2e-3}, {contract_table(), kVariable, "bf16", 1.5e-2}}) {
    ms_context* context = nullptr;
    setenv(kVariable, rounded.variant, 1);
    if (rounded.table->create(1, &context) == MS_OK) all.push_back(rounded);  // older devices have fp32 alone
    if (context != nullptr) rounded.table->destroy(context);
  }
  unsetenv(kVariable);
  return all;
}
#else
inline std::vector<Subject> subjects() {
  std::vector<Subject> all;
  for (const cpu::Isa isa : {cpu::Isa::generic, cpu::Isa::avx2, cpu::Isa::avx512, cpu::Isa::neon})
    if (cpu::isa_available(isa)) all.push_back({mendset_cpu_backend(), "MENDSET_ISA", cpu::isa_name(isa), 0});
  return all;
}
#endif

inline bool within(const Outputs::Entry& actual, const Outputs::Entry& expected, Bound bound, const std::string& label) {
  for (size_t i = 0; i < actual.values.size(); ++i) {
    const double a = actual.values[i], b = expected.values[i];
    if (a == b || std::abs(a - b) <= bound.absolute + bound.relative * std::abs(b)) continue;
    if (std::isnan(a) && std::isnan(b)) continue;  // both untouched or both undefined
    std::printf("%s: %s[%zu] = %.9g, plain %.9g\n", label.c_str(), actual.name.c_str(), i, a, b);
    return false;
  }
  return true;
}

inline bool close_in_norm(const Outputs::Entry& actual, const Outputs::Entry& expected, double most, const std::string& label) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < actual.values.size(); ++i) {
    const double a = actual.values[i], b = expected.values[i];
    if (a == b || (std::isnan(a) && std::isnan(b))) continue;
    error += (a - b) * (a - b);
    norm += b * b;
  }
  // a handful of numbers may all be small by chance
  if (std::sqrt(error) <= most * (std::sqrt(norm) + 0.1)) return true;
  std::printf("%s: %s differs by %.3g of its norm\n", label.c_str(), actual.name.c_str(), std::sqrt(error / norm));
  return false;
}

inline void compare(const std::string& label, const Outputs& actual, const Outputs& expected, Bound bound, double product_error) {
  bool good = actual.code() == expected.code() && actual.entries.size() == expected.entries.size();
  if (!good) std::printf("%s: result %d, plain %d\n", label.c_str(), actual.code(), expected.code());
  for (size_t e = 0; good && e < actual.entries.size(); ++e) {
    const Outputs::Entry &a = actual.entries[e], &b = expected.entries[e];
    if (!a.intact) std::printf("%s: wrote beyond '%s'\n", label.c_str(), a.name.c_str());
    good = a.intact && (product_error > 0 ? close_in_norm(a, b, product_error, label) : within(a, b, bound, label));
  }
  CHECK(good);
}

inline bool is_product(const std::string& name) { return name.starts_with("linear") || name.starts_with("attention"); }

template <typename Run> void contract(const std::string& name, Bound bound, Run run) {
  const ms_backend& plain = *mendset_plain_backend();
  ms_context* context = nullptr;
  CHECK(plain.create(1, &context) == MS_OK);
  Outputs expected;
  run(plain, context, expected);
  plain.destroy(context);

  static const std::vector<Subject>* const all = new std::vector<Subject>(subjects());
#if defined(MENDSET_CONTRACT_EMULATED)  // a thousand times slower than a device: each case meets fp32 and one more arithmetic, and two orders of threads
  static size_t turn = 0;
  ++turn;
  const std::vector<int> counts{1, turn % 2 == 0 ? 2 : 5};
#elif defined(MENDSET_CONTRACT_CUDA)  // a device has no threads of ours: again, for the same bits
  const std::vector<int> counts{1, 2};
#else
  const std::vector<int> counts{1, 2, 5};
#endif
  for (const Subject& subject : *all) {
#if defined(MENDSET_CONTRACT_CUDA)
    const size_t place = static_cast<size_t>(&subject - all->data());
    if (place > 0 && !is_product(name)) continue;  // its modes differ in products alone
#if defined(MENDSET_CONTRACT_EMULATED)
    if (place > 0 && place != 1 + turn % (all->size() - 1)) continue;
#endif
#endif
    const double product_error = is_product(name) ? subject.product_error : 0;
    // rounded operands cannot see a remainder of 2^-10 of what cancels
    if (product_error > 1e-5 && name.ends_with("cancelling")) continue;
    setenv(subject.variable, subject.variant, 1);
    Outputs first;
    for (const int threads : counts) {
      const std::string label = name + " [" + subject.variant + ", " + std::to_string(threads) + " threads]";
      CHECK(subject.table->create(threads, &context) == MS_OK);
      Outputs actual;
      run(*subject.table, context, actual);
      if (actual.code() != MS_OK && expected.code() == MS_OK) std::printf("%s: %s\n", label.c_str(), subject.table->last_error(context));
      subject.table->destroy(context);
      compare(label, actual, expected, bound, product_error);
      if (threads == 1) {
        first = std::move(actual);
        continue;
      }
      bool same = actual.entries.size() == first.entries.size();
      for (size_t e = 0; same && e < actual.entries.size(); ++e) same = actual.entries[e].bytes == first.entries[e].bytes;
      if (!same) std::printf("%s: other bits than with one thread\n", label.c_str());
      CHECK(same);
    }
    unsetenv(subject.variable);
  }
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
