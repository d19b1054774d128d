// Time, GFLOP/s, GB/s and work of the selection tasks, one JSON line each; first what the machine allows, measured in this run.
//   selection_bench [--threads N] [--work k-means,k-center,pca,neighbours,top-k] [--n N] [--d D] [--k K] [--iterations I] [--rounds R]
//                   [--x FILE.npy] [--init FILE.npy] [--no-prune] [--second] [--plain] [--start greedy|parallel] [--restarts 1]
// Without --x the rows are drawn around 300 centres with a falling spectrum. --plain also times the plain backend (slow).
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "core/random.h"
#include "core/thread_pool.h"
#include "cpu/cpu.h"
#include "cpu/isa.h"
#include "cpu/kernels.h"
#include "select/ccs.h"
#include "select/k_center.h"
#include "select/k_means.h"
#include "select/neighbours.h"
#include "select/pca.h"
#include "select/permutation.h"
#include "select/top_scores.h"

using namespace mendset;

namespace {

struct Options {
  int threads = ThreadPool::default_threads();
  std::string work = "k-means,k-center,pca,neighbours,top-k", x, init, start = "given";
  int64_t n = 20000, d = 384, k = 256, iterations = 10, rounds = 3, restarts = 1;
  bool prune = true, plain = false, second = false;
};

struct Rows {
  std::vector<float> data;
  int64_t n = 0, d = 0;
  MatrixView view() const { return {data.data(), n, d}; }
};

double seconds_since(std::chrono::steady_clock::time_point start) { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); }

// Version 1 and 2 of the format, C order, little-endian fp32, two dimensions.
bool read_npy(const std::string& path, Rows* out) {
  std::ifstream file(path, std::ios::binary);
  char start[10];
  if (!file.read(start, 10) || std::memcmp(start, "\x93NUMPY", 6) != 0 || start[6] != 1) return false;
  std::string header(static_cast<size_t>(static_cast<unsigned char>(start[8])) + 256u * static_cast<unsigned char>(start[9]), ' ');
  long long rows = 0, columns = 0;
  file.read(header.data(), static_cast<std::streamsize>(header.size()));
  const size_t shape = header.find("'shape': (");
  if (header.find("'<f4'") == std::string::npos || header.find("'fortran_order': False") == std::string::npos || shape == std::string::npos ||
      std::sscanf(header.c_str() + shape, "'shape': (%lld, %lld", &rows, &columns) != 2) {
    return false;
  }
  out->n = rows;
  out->d = columns;
  out->data.resize(static_cast<size_t>(rows * columns));
  return static_cast<bool>(file.read(reinterpret_cast<char*>(out->data.data()), static_cast<std::streamsize>(out->data.size() * sizeof(float))));
}

Rows clustered(int64_t n, int64_t d) {
  constexpr int64_t kCentres = 300;
  RandomStream stream(1, 11);
  std::vector<double> spectrum(static_cast<size_t>(d));
  double square = 0;
  for (int64_t p = 0; p < d; ++p) square += std::pow(static_cast<double>(p + 1), -1.2) / static_cast<double>(d);
  for (int64_t p = 0; p < d; ++p) spectrum[static_cast<size_t>(p)] = std::pow(static_cast<double>(p + 1), -0.6) / std::sqrt(square);
  std::vector<double> centres(static_cast<size_t>(kCentres * d));
  for (size_t i = 0; i < centres.size(); ++i) centres[i] = stream.normal() * spectrum[i % static_cast<size_t>(d)];
  Rows out{std::vector<float>(static_cast<size_t>(n * d)), n, d};
  for (int64_t i = 0; i < n; ++i) {
    const double spread = 0.9 * std::exp(0.35 * stream.normal());
    const size_t centre = static_cast<size_t>(std::pow(static_cast<double>(kCentres), stream.uniform())) - 1;
    for (int64_t p = 0; p < d; ++p) {
      const size_t column = static_cast<size_t>(p);
      out.data[static_cast<size_t>(i * d + p)] = static_cast<float>(centres[centre * static_cast<size_t>(d) + column] + spread * spectrum[column] * stream.normal());
    }
  }
  return out;
}

// A tile product whose operands stay in the first-level cache, on every thread at once: best of several tries, GFLOP/s.
double fma_peak(int threads, const cpu::Kernels& kernels) {
  ThreadPool pool(threads);
  const cpu::GemmKernels& gemm = kernels.gemm;
  constexpr int64_t kDepth = 128, kRepeat = 20000;
  double best = 0;
  for (int attempt = 0; attempt < 7; ++attempt) {
    const auto start = std::chrono::steady_clock::now();
    pool.run(threads, [&](int64_t, int) {
      alignas(64) static thread_local float a[kDepth * 12], b[kDepth * 32], tile[cpu::kMostTileElements];
      for (int64_t i = 0; i < kRepeat; ++i) gemm.tile(kDepth, a, b, gemm.columns, tile, true, gemm.rows);
    });
    const double work = 2.0 * static_cast<double>(gemm.rows * gemm.columns * kDepth * kRepeat) * threads;
    best = std::max(best, work / seconds_since(start) / 1e9);
  }
  return best;
}

// Reading 256 MiB once per try, GB/s.
double read_bandwidth(int threads, const cpu::Kernels& kernels) {
  ThreadPool pool(threads);
  constexpr int64_t kCount = int64_t{64} << 20, kBlock = int64_t{1} << 18;
  const std::vector<float> memory(static_cast<size_t>(kCount), 1.0f);
  double best = 0;
  for (int attempt = 0; attempt < 7; ++attempt) {
    const auto start = std::chrono::steady_clock::now();
    pool.run(kCount / kBlock, [&](int64_t task, int) {
      if (kernels.reduce.largest_magnitude(memory.data() + task * kBlock, kBlock) != 1) std::abort();
    });
    best = std::max(best, static_cast<double>(kCount) * 4 / seconds_since(start) / 1e9);
  }
  return best;
}

class Bench {
 public:
  Bench(const Options& options, std::shared_ptr<Backend> backend, double peak, double bandwidth) : options_(options), backend_(std::move(backend)), peak_(peak), bandwidth_(bandwidth) {}

  bool wanted(const std::string& work) const {
    for (size_t at = options_.work.find(work); at != std::string::npos; at = options_.work.find(work, at + 1)) {
      const size_t end = at + work.size();
      if ((at == 0 || options_.work[at - 1] == ',') && (end == options_.work.size() || options_.work[end] == ',')) return true;
    }
    return false;
  }

  // flops: what the plain form of the task computes; bytes: what it reads. Both over the time give equivalents that work left out raises.
  template <typename Make> void measure(const char* work, const std::string& more, double flops, double bytes, Make make) const {
    std::vector<double> times;
    double longest_step = 0;
    std::string detail;
    for (int64_t round = 0; round < options_.rounds; ++round) {
      auto task = make();
      if (task == nullptr) return;
      const auto start = std::chrono::steady_clock::now();
      while (!task->progress().finished) {
        const auto step = std::chrono::steady_clock::now();
        if (const Status status = task->step(Deadline::after_ms(20)); !status.ok()) {
          std::fprintf(stderr, "%s: %s\n", work, status.message().c_str());
          return;
        }
        longest_step = std::max(longest_step, seconds_since(step));
      }
      times.push_back(seconds_since(start));
      detail = describe(*task);
    }
    std::sort(times.begin(), times.end());
    const double typical = times[times.size() / 2];
    std::printf("{\"work\":\"%s\",%s,\"backend\":\"%s\",\"isa\":\"%s\",\"threads\":%d,\"seconds\":%.4f,\"best_seconds\":%.4f,\"longest_step_ms\":%.1f,\"gflops_equivalent\":%.1f,"
                "\"of_fma_peak\":%.3f,\"gbps_equivalent\":%.1f,\"of_bandwidth\":%.3f%s}\n",
                work, more.c_str(), backend_->name(), backend_->device(), backend_->threads(), typical, times.front(), longest_step * 1e3, flops / typical / 1e9, flops / typical / 1e9 / peak_,
                bytes / typical / 1e9, bytes / typical / 1e9 / bandwidth_, detail.c_str());
    std::fflush(stdout);
  }

  void all(const Rows& rows, const std::vector<double>& start) const {
    const MatrixView x = rows.view();
    const double n = static_cast<double>(x.n), d = static_cast<double>(x.d), k = static_cast<double>(options_.k), size = 4 * n * d;
    char shape[96];
    std::snprintf(shape, sizeof shape, "\"n\":%lld,\"d\":%lld,\"k\":%lld", static_cast<long long>(x.n), static_cast<long long>(x.d), static_cast<long long>(options_.k));
    if (wanted("k-means")) {
      const double passes = static_cast<double>(options_.iterations + 1 + (options_.second ? 1 : 0));
      measure("k-means", shape, 2 * n * d * k * passes, size * passes, [&] {
        KMeansOptions options{options_.k, options_.iterations, options_.restarts, 1};
        options.prune = options_.prune;
        options.want_second = options_.second;
        options.start = options_.start == "parallel" ? KMeansStart::parallel : KMeansStart::greedy;
        std::unique_ptr<KMeans> task;
        return checked(KMeans::create(backend_, x, options, options_.start == "given" ? start.data() : nullptr, &task)) ? std::move(task) : nullptr;
      });
    }
    if (wanted("k-center")) {
      measure("k-center", shape, 2 * n * d * k, size * k, [&] {
        KCenterOptions options;
        options.k = options_.k;
        std::unique_ptr<KCenterTask> task;
        return checked(k_center_task(backend_, x, options, &task)) ? std::move(task) : nullptr;
      });
    }
    if (wanted("pca")) {
      measure("pca", shape, n * d * d, size, [&] {
        std::unique_ptr<Pca> task;
        return checked(Pca::create(backend_, x, {50, 0}, &task)) ? std::move(task) : nullptr;
      });
    }
    if (wanted("neighbours")) {
      measure("neighbours", shape, 2 * n * n * d, size, [&] {
        std::unique_ptr<NearestNeighbours> task;
        return checked(NearestNeighbours::create(backend_, x, {10, Metric::euclidean}, &task)) ? std::move(task) : nullptr;
      });
    }
  }

  void scores() const {
    if (!wanted("top-k")) return;
    constexpr int64_t kScores = 10'000'000, kBest = 1'000'000;
    std::vector<double> values(static_cast<size_t>(kScores));
    RandomStream stream(3, 11);
    for (double& value : values) value = stream.uniform();
    const auto time = [&](const char* work, auto run) {
      std::vector<double> times;
      for (int64_t round = 0; round < options_.rounds; ++round) {
        const auto start = std::chrono::steady_clock::now();
        run();
        times.push_back(seconds_since(start));
      }
      std::sort(times.begin(), times.end());
      std::printf("{\"work\":\"%s\",\"n\":%lld,\"k\":%lld,\"seconds\":%.4f}\n", work, static_cast<long long>(kScores), static_cast<long long>(kBest), times[times.size() / 2]);
    };
    time("top-k", [&] {
      std::unique_ptr<TopScores> task;
      (void)(checked(TopScores::create(values, {kBest, true, false, options_.threads}, &task)) && checked(task->run()));
    });
    time("ccs", [&] {
      std::vector<int32_t> labels(values.size());
      std::unique_ptr<Ccs> task;
      (void)(checked(Ccs::create(values, {kBest, 0.2, true, 50, false, 1, options_.threads}, labels, &task)) && checked(task->run()));
    });
    time("permutation", [&] {
      std::unique_ptr<PermutationPrefix> task;
      (void)(checked(PermutationPrefix::create(RandomStream(3, 2), kScores, kBest, &task)) && checked(task->run()));
    });
  }

 private:
  static bool checked(const Status& status) {
    if (!status.ok()) std::fprintf(stderr, "%s\n", status.message().c_str());
    return status.ok();
  }
  static std::string describe(const KMeans& task) {
    const KMeansResult& r = task.result();
    char text[256];
    std::snprintf(text, sizeof text, ",\"iterations\":%lld,\"inertia\":%.9g,\"filtered_share\":%.4f,\"distance_share\":%.4f,\"stop\":\"%s\"", static_cast<long long>(r.iterations), r.inertia,
                  static_cast<double>(r.filtered) / static_cast<double>(r.pairs), static_cast<double>(r.distances) / static_cast<double>(r.pairs),
                  r.stop == KMeansStop::labels_stable ? "labels-stable" : "iteration-limit");
    return text;
  }
  static std::string describe(const KCenterTask& task) {
    char text[64];
    std::snprintf(text, sizeof text, ",\"coverage\":%.9g", task.result().coverage);
    return text;
  }
  static std::string describe(const Task&) { return ""; }

  const Options& options_;
  std::shared_ptr<Backend> backend_;
  const double peak_, bandwidth_;
};

bool parse(int count, char** arguments, Options* options) {
  for (int i = 1; i < count; ++i) {
    const std::string name = arguments[i];
    if (name == "--no-prune") options->prune = false;
    else if (name == "--plain") options->plain = true;
    else if (name == "--second") options->second = true;
    else if (i + 1 == count) return false;
    else if (name == "--threads") options->threads = std::atoi(arguments[++i]);
    else if (name == "--work") options->work = arguments[++i];
    else if (name == "--x") options->x = arguments[++i];
    else if (name == "--init") options->init = arguments[++i];
    else if (name == "--start") options->start = arguments[++i];
    else if (name == "--n") options->n = std::atoll(arguments[++i]);
    else if (name == "--d") options->d = std::atoll(arguments[++i]);
    else if (name == "--k") options->k = std::atoll(arguments[++i]);
    else if (name == "--iterations") options->iterations = std::atoll(arguments[++i]);
    else if (name == "--rounds") options->rounds = std::atoll(arguments[++i]);
    else if (name == "--restarts") options->restarts = std::atoll(arguments[++i]);
    else return false;
  }
  return true;
}

}  // namespace

int main(int count, char** arguments) {
  Options options;
  if (!parse(count, arguments, &options)) {
    std::fprintf(stderr, "See the first lines of native/bench/selection_bench.cpp for the arguments.\n");
    return 2;
  }
  cpu::Isa isa;
  if (!cpu::choose_isa(&isa).ok() || cpu::kernels_of(isa) == nullptr) return 1;
  const cpu::Kernels& kernels = *cpu::kernels_of(isa);
  const double peak = fma_peak(options.threads, kernels), bandwidth = read_bandwidth(options.threads, kernels);
  std::printf("{\"machine\":\"roofline\",\"isa\":\"%s\",\"threads\":%d,\"fma_gflops\":%.1f,\"read_gbps\":%.1f}\n", kernels.isa, options.threads, peak, bandwidth);

  Rows rows, init;
  if (options.x.empty()) {
    rows = clustered(options.n, options.d);
  } else if (!read_npy(options.x, &rows)) {
    std::fprintf(stderr, "Expected an fp32 matrix in %s.\n", options.x.c_str());
    return 1;
  }
  std::vector<double> start;
  if (!options.init.empty()) {
    if (!read_npy(options.init, &init) || init.d != rows.d) return 1;
    options.k = init.n;
    start.assign(init.data.begin(), init.data.end());
  } else if (options.k <= rows.n) {
    for (int64_t j = 0; j < options.k; ++j) {
      const float* row = rows.view().row(j * rows.n / options.k);
      start.insert(start.end(), row, row + rows.d);
    }
  }
  for (const char* name : {"cpu", "plain"}) {
    if (std::strcmp(name, "plain") == 0 && !options.plain) continue;
    std::shared_ptr<Backend> backend;
    if (!Backend::open(name, options.threads, &backend).ok()) return 1;
    const Bench bench(options, backend, peak, bandwidth);
    bench.all(rows, start);
    if (std::strcmp(name, "cpu") == 0) bench.scores();
  }
  return 0;
}
