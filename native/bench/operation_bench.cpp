// Time, GFLOP/s or GB/s of the operations for every instruction set here, one JSON line each.
//   operation_bench [--threads N] [--filter TEXT] [--plain]     --plain: time the plain backend too (slow)
// First comes what the machine allows: one tile product whose operands stay in the first-level cache, on every thread at once.
#include <algorithm>
#include <chrono>
#include <cmath>
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

using namespace mendset;

namespace {

struct Options {
  int threads = ThreadPool::default_threads();
  std::string filter;
  bool plain = false;
};

std::vector<float> values(int64_t count, uint64_t seed) {
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

double seconds_of(const std::function<void()>& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

struct Timing {
  double best, median;
};

// At least 5 runs and 0.3 s.
Timing time(const std::function<void()>& run) {
  std::vector<double> times;
  double total = 0;
  run();
  while (times.size() < 5 || (total < 0.3 && times.size() < 10000)) {
    times.push_back(seconds_of(run));
    total += times.back();
  }
  std::sort(times.begin(), times.end());
  return {times.front(), times[times.size() / 2]};
}

class Bench {
 public:
  Bench(const Options& options, const ms_backend& table, ms_context* context, int threads) : options_(options), table_(table), context_(context), threads_(threads) {}

  const ms_backend& table() const { return table_; }
  ms_context* context() const { return context_; }

  // amount: floating-point operations or bytes of one run, by `unit` "gflops" or "gbps".
  void measure(const std::string& name, double amount, const char* unit, const std::function<void()>& run) const {
    if (name.find(options_.filter) == std::string::npos) return;
    const Timing timing = plain() ? Timing{seconds_of(run), 0} : time(run);
    const double typical = plain() ? timing.best : timing.median;
    std::printf("{\"operation\":\"%s\",\"backend\":\"%s\",\"isa\":\"%s\",\"threads\":%d,\"us\":%.1f,\"best_us\":%.1f,\"%s\":%.2f}\n", name.c_str(), table_.name,
                table_.device(context_), threads_, typical * 1e6, timing.best * 1e6, unit, amount / typical / 1e9);
    std::fflush(stdout);
  }
  bool plain() const { return std::strcmp(table_.name, "plain") == 0; }

 private:
  const Options& options_;
  const ms_backend& table_;
  ms_context* context_;
  int threads_;
};

void linear(const Bench& bench, int64_t rows, int64_t in, int64_t out) {
  const double flops = 2.0 * static_cast<double>(rows) * static_cast<double>(in) * static_cast<double>(out);
  if (bench.plain() && flops > 5e9) return;
  const std::vector<float> x = values(rows * in, 1), w = values(in * out, 2), bias = values(out, 3);
  std::vector<float> y = values(rows * out, 4), d_x(static_cast<size_t>(rows * in)), d_w(static_cast<size_t>(in * out)), d_bias(static_cast<size_t>(out));
  for (const int32_t layout : {MS_LAYOUT_IN_OUT, MS_LAYOUT_OUT_IN}) {
    const std::string suffix = text(" %ldx%ldx%ld %s", rows, in, out, layout == MS_LAYOUT_IN_OUT ? "in_out" : "out_in");
    const ms_linear_forward_args forward{rows, in, out, x.data(), in, MS_ACTIVATION_NONE, w.data(), layout, bias.data(), nullptr, y.data(), out};
    bench.measure("linear_forward" + suffix, flops, "gflops", [&] { bench.table().linear_forward(bench.context(), &forward); });
    const ms_linear_backward_input_args input{rows, in, out, y.data(), out, w.data(), layout, nullptr, MS_ACTIVATION_NONE, d_x.data(), in, 0.0f};
    bench.measure("linear_backward_input" + suffix, flops, "gflops", [&] { bench.table().linear_backward_input(bench.context(), &input); });
    const ms_linear_backward_weight_args weight{rows, in, out, x.data(), in, MS_ACTIVATION_NONE, y.data(), out, d_w.data(), layout, d_bias.data(), 1.0f};
    bench.measure("linear_backward_weight" + suffix, flops, "gflops", [&] { bench.table().linear_backward_weight(bench.context(), &weight); });
  }
}

void sample_norm(const Bench& bench, int64_t samples, int64_t length, int64_t in, int64_t out) {
  const int64_t rows = samples * length;
  const std::vector<float> x = values(rows * in, 1), d_y = values(rows * out, 2);
  std::vector<int32_t> offsets;
  for (int64_t s = 0; s <= samples; ++s) offsets.push_back(static_cast<int32_t>(s * length));
  std::vector<double> weights(static_cast<size_t>(samples)), biases(static_cast<size_t>(samples));
  const ms_linear_sample_norm_args args{rows, in, out, samples, offsets.data(), length, x.data(), in, MS_ACTIVATION_NONE, d_y.data(), out, weights.data(), biases.data(), 1};
  const double gram = static_cast<double>(rows) * static_cast<double>(length) * static_cast<double>(in + out);
  const double direct = 2.0 * static_cast<double>(rows) * static_cast<double>(in) * static_cast<double>(out);
  bench.measure(text("linear_sample_norm %ldx%ld %ldx%ld", samples, length, in, out),
                std::min(gram, direct), "gflops", [&] { bench.table().linear_sample_norm(bench.context(), &args); });
}

void selection(const Bench& bench, int64_t n, int64_t d, int64_t k) {
  const std::vector<float> x = values(n * d, 1), centres = values(k * d, 2);
  std::vector<float> x_norms(static_cast<size_t>(n)), c_norms(static_cast<size_t>(k)), m(static_cast<size_t>(n), 1e30f), best(static_cast<size_t>(n));
  std::vector<int32_t> labels(static_cast<size_t>(n)), nearest(static_cast<size_t>(n));
  const std::string shape = text(" %ldx%ld k %ld", n, d, k);
  const double rows = static_cast<double>(n), width = static_cast<double>(d), bytes = 4.0 * rows * width, flops = 2.0 * rows * width * static_cast<double>(k);
  const ms_row_norms_args c_args{k, d, centres.data(), c_norms.data()}, x_args{n, d, x.data(), x_norms.data()};
  bench.table().row_norms(bench.context(), &c_args);
  bench.measure("row_norms" + shape, bytes, "gbps", [&] { bench.table().row_norms(bench.context(), &x_args); });
  const ms_nearest_centre_args nearest_args{n, k, d, x.data(), centres.data(), c_norms.data(), labels.data(), best.data(), nullptr, nullptr};
  bench.measure("nearest_centre" + shape, flops, "gflops", [&] { bench.table().nearest_centre(bench.context(), &nearest_args); });
  bench.table().nearest_centre(bench.context(), &nearest_args);
  bench.table().row_norms(bench.context(), &x_args);
  for (const int64_t count : {int64_t{1}, std::min<int64_t>(k, 12)}) {
    const ms_min_distance_args args{n, d, count, x.data(), x_norms.data(), centres.data(), c_norms.data(), m.data(), 0, nearest.data()};
    bench.measure("min_distance" + shape + text(" centres %ld", count), bytes, "gbps", [&] { bench.table().min_distance(bench.context(), &args); });
  }
  std::vector<double> sums(static_cast<size_t>(k * d)), mean(static_cast<size_t>(d));
  std::vector<int64_t> counts(static_cast<size_t>(k));
  const ms_label_sums_args sums_args{n, k, d, x.data(), labels.data(), sums.data(), counts.data()};
  bench.measure("label_sums" + shape, 2 * bytes, "gbps", [&] { bench.table().label_sums(bench.context(), &sums_args); });
  const ms_column_means_args mean_args{n, d, x.data(), mean.data()};
  bench.measure("column_means" + shape, bytes, "gbps", [&] { bench.table().column_means(bench.context(), &mean_args); });
  const std::vector<uint8_t> taken(static_cast<size_t>(n));
  float value;
  int64_t index;
  const ms_argmax_args argmax_args{n, m.data(), taken.data(), &value, &index};
  bench.measure("argmax" + shape, 5.0 * rows, "gbps", [&] { bench.table().argmax(bench.context(), &argmax_args); });
}

void principal_components(const Bench& bench, int64_t n, int64_t d, int64_t r) {
  const std::vector<float> x = values(n * d, 1);
  const std::vector<double> mean(static_cast<size_t>(d), 0.01), components(static_cast<size_t>(r * d), 0.5);
  std::vector<double> covariance(static_cast<size_t>(d * d));
  std::vector<float> y(static_cast<size_t>(n * r));
  const std::string shape = text(" %ldx%ld", n, d);
  const double rows = static_cast<double>(n), width = static_cast<double>(d);
  const ms_covariance_args covariance_args{n, d, x.data(), mean.data(), covariance.data()};
  bench.measure("covariance" + shape, rows * width * width, "gflops", [&] { bench.table().covariance(bench.context(), &covariance_args); });
  const ms_project_args project_args{n, d, r, x.data(), mean.data(), components.data(), y.data()};
  bench.measure("project" + shape + text(" r %ld", r), 2 * rows * width * static_cast<double>(r), "gflops", [&] { bench.table().project(bench.context(), &project_args); });
}

void all_operations(const Bench& bench) {
  linear(bench, 512, 768, 3072);
  linear(bench, 512, 3072, 768);
  linear(bench, 1024, 768, 8192);
  linear(bench, 512, 192, 768);
  linear(bench, 64, 192, 768);
  linear(bench, 1500, 192, 4096);
  linear(bench, 1, 768, 3072);
  linear(bench, 8, 768, 3072);
  sample_norm(bench, 4, 128, 768, 3072);
  sample_norm(bench, 1, 512, 768, 3072);
  sample_norm(bench, 16, 64, 192, 768);
  selection(bench, 20000, 384, 256);
  selection(bench, 20000, 50, 10);
  principal_components(bench, 20000, 384, 50);
}

// GFLOP/s of the tile kernel alone, without memory: the ceiling for everything built on it.
void tile_ceiling(const Options& options, cpu::Isa isa) {
  if (std::string("tile").find(options.filter) == std::string::npos) return;
  const cpu::GemmKernels& gemm = cpu::kernels_of(isa)->gemm;
  const int64_t depth = 128, repeats = 4000;
  ThreadPool pool(options.threads);
  const std::vector<float> a = values(depth * gemm.rows, 1), b = values(depth * gemm.columns, 2);
  const Timing timing = time([&] {
    pool.run(options.threads, [&](int64_t, int) {
      alignas(64) float tile[cpu::kMostTileElements] = {};
      for (int64_t i = 0; i < repeats; ++i) gemm.tile(depth, a.data(), b.data(), gemm.columns, tile, true, gemm.rows);
    });
  });
  const double flops = 2.0 * static_cast<double>(depth * repeats * gemm.rows * gemm.columns) * options.threads;
  std::printf("{\"operation\":\"tile\",\"backend\":\"cpu\",\"isa\":\"%s\",\"threads\":%d,\"us\":%.1f,\"best_us\":%.1f,\"gflops\":%.2f}\n", cpu::isa_name(isa), options.threads,
              timing.median * 1e6, timing.best * 1e6, flops / timing.best / 1e9);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--threads") == 0 && i + 1 < argc) options.threads = std::max(1, std::atoi(argv[++i]));
    else if (std::strcmp(argv[i], "--filter") == 0 && i + 1 < argc) options.filter = argv[++i];
    else if (std::strcmp(argv[i], "--plain") == 0) options.plain = true;
    else return std::fprintf(stderr, "usage: operation_bench [--threads N] [--filter TEXT] [--plain]\n"), 2;
  }
  const char* const forced = std::getenv("MENDSET_ISA");
  const std::string only = forced != nullptr ? forced : "";
  for (const cpu::Isa isa : {cpu::Isa::generic, cpu::Isa::avx2, cpu::Isa::avx512, cpu::Isa::neon}) {
    if (!cpu::isa_available(isa) || (!only.empty() && only != cpu::isa_name(isa))) continue;
    setenv("MENDSET_ISA", cpu::isa_name(isa), 1);
    tile_ceiling(options, isa);
    ms_context* context = nullptr;
    if (mendset_cpu_backend()->create(options.threads, &context) != MS_OK) return 1;
    all_operations(Bench(options, *mendset_cpu_backend(), context, options.threads));
    mendset_cpu_backend()->destroy(context);
  }
  if (options.plain) {
    ms_context* context = nullptr;
    if (mendset_plain_backend()->create(1, &context) != MS_OK) return 1;
    all_operations(Bench(options, *mendset_plain_backend(), context, 1));
    mendset_plain_backend()->destroy(context);
  }
  return 0;
}
