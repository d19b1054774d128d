// Times operations of a backend and what the machine allows, one JSON line each. For the benchmarks of operations.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "core/random.h"
#include "core/thread_pool.h"
#include "cpu/cpu.h"
#include "cpu/isa.h"
#include "cpu/kernels.h"
#include "mendset/backend.h"
#include "plain/plain.h"

namespace mendset::bench {

struct Options {
  int threads = ThreadPool::default_threads();
  std::string filter;
  bool plain = false;
};

inline std::vector<float> values(int64_t count, uint64_t seed) {
  RandomStream stream(seed, 1);
  std::vector<float> out(static_cast<size_t>(count));
  for (float& value : out) value = static_cast<float>(stream.uniform() - 0.5);
  return out;
}

template <typename... Parts> std::string text(const char* format, Parts... parts) {
  char buffer[128];
  std::snprintf(buffer, sizeof buffer, format, parts...);
  return buffer;
}

struct Timing {
  double best, median;
};

// At least 5 runs and 0.3 s after one that is not counted.
inline Timing time(const std::function<void()>& run) {
  const auto seconds_of = [&] {
    const auto start = std::chrono::steady_clock::now();
    run();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  std::vector<double> times;
  double total = 0;
  run();
  while (times.size() < 5 || (total < 0.3 && times.size() < 10000)) {
    times.push_back(seconds_of());
    total += times.back();
  }
  std::sort(times.begin(), times.end());
  return {times.front(), times[times.size() / 2]};
}

class Bench {
 public:
  Bench(const Options& options, const ms_backend& table, ms_context* context, int threads)
      : options_(options), table_(table), context_(context), threads_(threads) {}

  const ms_backend& table() const { return table_; }
  ms_context* context() const { return context_; }
  bool plain() const { return std::strcmp(table_.name, "plain") == 0; }

  // flops: floating-point operations of one run (a multiply-add counts 2); bytes: operands read and results written, each once.
  void measure(const std::string& name, double flops, double bytes, const std::function<void()>& run) const {
    if (name.find(options_.filter) == std::string::npos || (plain() && flops > 5e9)) return;
    const Timing timing = time(run);
    std::printf("{\"operation\":\"%s\",\"backend\":\"%s\",\"isa\":\"%s\",\"threads\":%d,\"us\":%.1f,\"best_us\":%.1f,\"gflops\":%.2f,\"gbps\":%.2f}\n",
                name.c_str(), table_.name, table_.device(context_), threads_, timing.median * 1e6, timing.best * 1e6, flops / timing.median / 1e9,
                bytes / timing.median / 1e9);
    std::fflush(stdout);
  }

 private:
  const Options& options_;
  const ms_backend& table_;
  ms_context* context_;
  int threads_;
};

// What the machine allows: GFLOP/s of one tile product whose operands stay in the first-level cache, and GB/s of a[i] = b[i] + c[i]
// over arrays that no cache holds, both on every thread at once.
inline void ceilings(const Options& options, cpu::Isa isa) {
  const cpu::GemmKernels& gemm = cpu::kernels_of(isa)->gemm;
  const int64_t depth = 128, repeats = 4000;
  ThreadPool pool(options.threads);
  const std::vector<float> a = values(depth * gemm.rows, 1), b = values(depth * gemm.columns, 2);
  const Timing tile = time([&] {
    pool.run(options.threads, [&](int64_t, int) {
      alignas(64) float out[cpu::kMostTileElements] = {};
      for (int64_t i = 0; i < repeats; ++i) gemm.tile(depth, a.data(), b.data(), gemm.columns, out, true, gemm.rows);
    });
  });
  const int64_t count = int64_t{1} << 24, piece = count / options.threads;
  std::vector<float> out(static_cast<size_t>(count)), left = values(count, 3), right = values(count, 4);
  const Timing sum = time([&] {
    pool.run(options.threads, [&](int64_t part, int) {
      const int64_t begin = part * piece, end = part + 1 == options.threads ? count : begin + piece;
      for (int64_t i = begin; i < end; ++i) out[static_cast<size_t>(i)] = left[static_cast<size_t>(i)] + right[static_cast<size_t>(i)];
    });
  });
  const double flops = 2.0 * static_cast<double>(depth * repeats * gemm.rows * gemm.columns) * options.threads;
  std::printf("{\"ceiling\":true,\"isa\":\"%s\",\"threads\":%d,\"gflops\":%.2f,\"gbps\":%.2f}\n", cpu::isa_name(isa), options.threads, flops / tile.best / 1e9,
              12.0 * static_cast<double>(count) / sum.best / 1e9);
  std::fflush(stdout);
}

// Runs `operations` on the CPU backend of every instruction set here (or the one that MENDSET_ISA names), and on the plain one if asked.
inline int run(int argc, char** argv, void (*operations)(const Bench&)) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--threads") == 0 && i + 1 < argc) options.threads = std::max(1, std::atoi(argv[++i]));
    else if (std::strcmp(argv[i], "--filter") == 0 && i + 1 < argc) options.filter = argv[++i];
    else if (std::strcmp(argv[i], "--plain") == 0) options.plain = true;
    else return std::fprintf(stderr, "usage: %s [--threads N] [--filter TEXT] [--plain]\n", argv[0]), 2;
  }
  const char* const forced = std::getenv("MENDSET_ISA");
  const std::string only = forced != nullptr ? forced : "";
  for (const cpu::Isa isa : {cpu::Isa::generic, cpu::Isa::avx2, cpu::Isa::avx512, cpu::Isa::neon}) {
    if (!cpu::isa_available(isa) || (!only.empty() && only != cpu::isa_name(isa))) continue;
    setenv("MENDSET_ISA", cpu::isa_name(isa), 1);
    ceilings(options, isa);
    ms_context* context = nullptr;
    if (mendset_cpu_backend()->create(options.threads, &context) != MS_OK) return 1;
    operations(Bench(options, *mendset_cpu_backend(), context, options.threads));
    mendset_cpu_backend()->destroy(context);
  }
  if (options.plain) {
    ms_context* context = nullptr;
    if (mendset_plain_backend()->create(1, &context) != MS_OK) return 1;
    operations(Bench(options, *mendset_plain_backend(), context, 1));
    mendset_plain_backend()->destroy(context);
  }
  return 0;
}

}  // namespace mendset::bench
