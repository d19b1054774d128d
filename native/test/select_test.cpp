// k-means, K-Center, PCA and top-k: published vectors, a straightforward second implementation, ties, threads and step budgets.
#include <algorithm>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "core/random.h"
#include "select/k_center.h"
#include "select/k_center_lazy.h"
#include "select/k_means.h"
#include "select/pca.h"
#include "select/top_k.h"
#include "test/check.h"

using namespace mendset;
using test::near;

namespace {

struct Setting {
  const char* backend;
  int threads;
  double budget_ms;
};
constexpr double kForever = std::numeric_limits<double>::infinity();
// Every setting must give the bits of the first one of its backend.
constexpr Setting kSettings[] = {{"plain", 1, kForever}, {"plain", 1, 0.001}, {"cpu", 1, kForever}, {"cpu", 2, kForever},
                                 {"cpu", 5, kForever},   {"cpu", 1, 0.001},   {"cpu", 2, 3},        {"cpu", 5, 0.001}};

Status drive(Task& task, double budget_ms) {
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

template <typename T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

std::shared_ptr<Backend> open(const char* name, int threads) {
  std::shared_ptr<Backend> backend;
  const Status status = Backend::open(name, threads, &backend);
  CHECK(status.ok());
  if (!status.ok()) std::printf("%s: %s\n", name, status.message().c_str());
  return backend;
}

Status k_means(const Setting& setting, MatrixView x, const KMeansOptions& options, const double* given, KMeansResult* out) {
  std::unique_ptr<KMeans> task;
  MS_TRY(KMeans::create(open(setting.backend, setting.threads), x, options, given, &task));
  MS_TRY(drive(*task, setting.budget_ms));
  *out = task->result();
  return {};
}

// The plain form; where the lazy one applies, it must give the same bits.
Status k_center(const Setting& setting, MatrixView x, const KCenterOptions& options, KCenterResult* out) {
  std::unique_ptr<KCenterTask> task;
  MS_TRY(KCenter::create(open(setting.backend, setting.threads), x, options, &task));
  MS_TRY(drive(*task, setting.budget_ms));
  *out = task->result();
  if (!options.exclude_taken) return {};
  MS_TRY(LazyKCenter::create(open(setting.backend, setting.threads), x, options, &task));
  MS_TRY(drive(*task, setting.budget_ms));
  const KCenterResult& lazy = task->result();
  CHECK(lazy.order == out->order && same_bits(lazy.radii, out->radii) && lazy.coverage == out->coverage && same_bits(lazy.coverages, out->coverages));
  CHECK(lazy.nearest == out->nearest);
  return {};
}

Status pca(const Setting& setting, MatrixView x, const PcaOptions& options, PcaResult* out) {
  std::unique_ptr<Pca> task;
  MS_TRY(Pca::create(open(setting.backend, setting.threads), x, options, &task));
  MS_TRY(drive(*task, setting.budget_ms));
  *out = task->result();
  return {};
}

std::vector<float> gaussian(int64_t n, int64_t d, uint64_t seed) {
  RandomStream stream(seed, 10);
  std::vector<float> x(static_cast<size_t>(n * d));
  for (float& value : x) value = static_cast<float>(stream.normal());
  return x;
}

std::vector<float> small_integers(int64_t n, int64_t d, uint32_t range, uint64_t seed) {
  RandomStream stream(seed, 10);
  std::vector<float> x(static_cast<size_t>(n * d));
  for (float& value : x) value = static_cast<float>(stream.below(range));
  return x;
}

float chain(const float* a, const float* b, int64_t d) {
  float sum = 0;
  for (int64_t p = 0; p < d; ++p) sum = std::fma(a[p], b[p], sum);
  return sum;
}

// Lloyd from given centroids, written without chunks, buffers or shortcuts (no empty clusters).
struct ReferenceMeans {
  std::vector<int32_t> labels;
  std::vector<double> centroids;
  int64_t iterations = 0;
};
ReferenceMeans reference_k_means(MatrixView x, int64_t k, int64_t max_iterations, std::vector<double> centroids) {
  ReferenceMeans out;
  std::vector<int32_t> previous;
  for (;;) {
    std::vector<float> c(centroids.begin(), centroids.end());
    out.labels.assign(static_cast<size_t>(x.n), 0);
    for (int64_t i = 0; i < x.n; ++i) {
      float best = std::numeric_limits<float>::infinity();
      for (int64_t j = 0; j < k; ++j) {
        const float* centre = c.data() + j * x.d;
        const float v = std::fma(-2.0f, chain(x.row(i), centre, x.d), chain(centre, centre, x.d));
        if (v < best) {
          best = v;
          out.labels[static_cast<size_t>(i)] = static_cast<int32_t>(j);
        }
      }
    }
    if (out.labels == previous || out.iterations == max_iterations) break;
    std::fill(centroids.begin(), centroids.end(), 0.0);
    std::vector<double> counts(static_cast<size_t>(k), 0.0);
    for (int64_t i = 0; i < x.n; ++i) {
      const size_t label = static_cast<size_t>(out.labels[static_cast<size_t>(i)]);
      counts[label] += 1;
      for (int64_t p = 0; p < x.d; ++p)
        centroids[label * static_cast<size_t>(x.d) + static_cast<size_t>(p)] += static_cast<double>(x.row(i)[p]);
    }
    for (size_t i = 0; i < centroids.size(); ++i) centroids[i] /= counts[i / static_cast<size_t>(x.d)];
    previous = out.labels;
    ++out.iterations;
  }
  out.centroids = centroids;
  return out;
}

void test_k_means_against_reference() {
  constexpr int64_t n = 3001, d = 17, k = 7;
  const std::vector<float> data = gaussian(n, d, 5);
  const MatrixView x{data.data(), n, d};
  std::vector<double> start(data.begin(), data.begin() + k * d);
  for (int64_t iterations : {int64_t{0}, int64_t{1}, int64_t{10}, int64_t{300}}) {
    const ReferenceMeans expected = reference_k_means(x, k, iterations, start);
    for (const char* backend : {"plain", "cpu"}) {
      KMeansResult got;
      const Status status = k_means({backend, 2, kForever}, x, {k, iterations, 4, 0}, start.data(), &got);
      CHECK(status.ok());
      if (!status.ok()) continue;
      CHECK(got.iterations == expected.iterations);
      CHECK(got.inertia_per_iteration.size() == static_cast<size_t>(got.iterations + 1));
      CHECK(near(got.inertia_per_iteration.back(), got.inertia, 0, 1e-10));
      // Same partition; the numbering is by descending size, then lowest member.
      std::vector<int32_t> number(k, -1);
      bool consistent = true;
      for (size_t i = 0; i < static_cast<size_t>(n); ++i) {
        int32_t& mapped = number[static_cast<size_t>(expected.labels[i])];
        if (mapped < 0) mapped = got.labels[i];
        consistent = consistent && mapped == got.labels[i];
      }
      CHECK(consistent);
      for (size_t j = 1; j < k; ++j) CHECK(got.sizes[j - 1] >= got.sizes[j]);
      double worst = 0;
      for (size_t i = 0; i < expected.centroids.size(); ++i) {
        const size_t j = static_cast<size_t>(number[i / d]);
        worst = std::max(worst, std::abs(expected.centroids[i] - got.centroids[j * d + i % d]));
      }
      CHECK(worst < 1e-12);
      bool ordered = true;
      for (size_t i = 0; i < static_cast<size_t>(n); ++i) {
        ordered = ordered && got.second_labels[i] != got.labels[i] && got.own_distance[i] <= got.second_distance[i] * (1 + 1e-6);
      }
      CHECK(ordered);
    }
  }
}

void test_k_means_bits() {
  constexpr int64_t n = 5000, d = 33, k = 10;
  const std::vector<float> data = gaussian(n, d, 6);
  KMeansResult plain, cpu;
  for (const Setting& setting : kSettings) {
    KMeansResult got;
    CHECK(k_means(setting, {data.data(), n, d}, {k, 300, 3, 43}, nullptr, &got).ok());
    KMeansResult& first = std::strcmp(setting.backend, "plain") == 0 ? plain : cpu;
    if (first.k == 0) first = got;
    CHECK(same_bits(got.labels, first.labels) && same_bits(got.centroids, first.centroids) &&
          same_bits(got.own_distance, first.own_distance));
    CHECK(same_bits(got.inertia_per_iteration, first.inertia_per_iteration) && got.inertia == first.inertia &&
          got.restart == first.restart);
    CHECK(same_bits(got.second_labels, first.second_labels));
  }
  CHECK(same_bits(plain.labels, cpu.labels));
}

void test_k_means_degenerate() {
  for (const char* backend : {"plain", "cpu"}) {
    const Setting setting{backend, 1, kForever};
    KMeansResult got;
    // Five equal points, three clusters: no cluster stays empty, nothing is NaN.
    const std::vector<float> equal(10, 2.5f);
    CHECK(k_means(setting, {equal.data(), 5, 2}, {3, 300, 2, 1}, nullptr, &got).ok());
    CHECK(got.inertia == 0 && got.stop == KMeansStop::labels_stable);
    CHECK(std::count(got.sizes.begin(), got.sizes.end(), 0) == 0);
    // k = n on distinct points: singletons in index order.
    const std::vector<float> line{3, 1, 2, 0};
    CHECK(k_means(setting, {line.data(), 4, 1}, {4, 300, 1, 1}, nullptr, &got).ok());
    CHECK((got.labels == std::vector<int32_t>{0, 1, 2, 3}) && got.inertia == 0);
    // k = 1
    CHECK(k_means(setting, {line.data(), 4, 1}, {1, 300, 1, 1}, nullptr, &got).ok());
    CHECK(got.centroids[0] == 1.5 && got.second_labels[0] == -1 && std::isinf(got.second_distance[0]));
    // A tie goes to the lowest centroid: 1 lies between 0 and 2.
    const std::vector<float> tied{0, 1, 2};
    const std::vector<double> start{0, 2};
    CHECK(k_means(setting, {tied.data(), 3, 1}, {2, 0, 1, 1}, start.data(), &got).ok());
    CHECK((got.labels == std::vector<int32_t>{0, 0, 1}) && got.stop == KMeansStop::iteration_limit);
    // A starting centroid nobody is near takes the farthest point.
    const std::vector<double> far{0, 1000};
    CHECK(k_means(setting, {tied.data(), 3, 1}, {2, 300, 1, 1}, far.data(), &got).ok());
    CHECK((got.labels == std::vector<int32_t>{0, 0, 1}) && got.centroids[0] == 0.5 && got.centroids[1] == 2);

    std::vector<float> broken = line;
    broken[2] = std::nanf("");
    const Status status = k_means(setting, {broken.data(), 2, 2}, {1, 300, 1, 1}, nullptr, &got);
    CHECK(status.code() == Code::non_finite && status.message().find("row 1, column 0") != std::string::npos);
    broken[2] = std::numeric_limits<float>::infinity();
    CHECK(k_means(setting, {broken.data(), 2, 2}, {1, 300, 1, 1}, nullptr, &got).code() == Code::non_finite);
    broken[2] = 1e30f;
    CHECK(k_means(setting, {broken.data(), 2, 2}, {1, 300, 1, 1}, nullptr, &got).code() == Code::non_finite);
    CHECK(k_means(setting, {line.data(), 4, 1}, {5, 300, 1, 1}, nullptr, &got).code() == Code::invalid_argument);
    CHECK(k_means(setting, {line.data(), 4, 1}, {0, 300, 1, 1}, nullptr, &got).code() == Code::invalid_argument);
    CHECK(k_means(setting, {line.data(), 0, 1}, {1, 300, 1, 1}, nullptr, &got).code() == Code::invalid_argument);
  }
}

void test_k_center_golden() {
  const std::vector<float> points{0, 0, 1, 0, 0, 1, 10, 0, 10, 1, 5, 5, 0, 9, 10, 9};
  for (const Setting& setting : kSettings) {
    KCenterResult got;
    KCenterOptions options;
    options.k = 5;
    options.want_nearest = true;
    CHECK(k_center(setting, {points.data(), 8, 2}, options, &got).ok());
    CHECK((got.order == std::vector<int64_t>{0, 7, 3, 6, 5}));
    const double radii[] = {kForever, 13.453624, 9, 9, 6.403124};
    for (size_t i = 1; i < 5; ++i) CHECK(near(got.radii[i], radii[i], 1e-6));
    CHECK(std::isinf(got.radii[0]) && got.coverage == 1);
    CHECK((got.nearest == std::vector<int32_t>{0, 0, 0, 2, 2, 4, 3, 1}));
  }
}

// Brute force on exact integer coordinates.
std::vector<int64_t> reference_k_center(const std::vector<float>& x, int64_t n, int64_t d, const KCenterOptions& options,
                                        std::vector<double>* radii) {
  std::vector<int64_t> centres = options.warm_start, order;
  std::vector<bool> taken(static_cast<size_t>(n), false);
  for (int64_t i : centres) taken[static_cast<size_t>(i)] = options.exclude_taken;
  const auto square = [&](int64_t i) {
    double least = kForever;
    for (int64_t c : centres) {
      double sum = 0;
      for (int64_t p = 0; p < d; ++p) {
        const double difference = static_cast<double>(x[static_cast<size_t>(i * d + p)] - x[static_cast<size_t>(c * d + p)]);
        sum += difference * difference;
      }
      least = std::min(least, sum);
    }
    return least;
  };
  while (static_cast<int64_t>(order.size()) < options.k) {
    const bool given = order.empty() && options.first == FirstCentre::given;
    int64_t best = given ? options.first_index : -1;
    for (int64_t i = 0; !given && i < n; ++i) {
      if (!taken[static_cast<size_t>(i)] && (best < 0 || square(i) > square(best))) best = i;
    }
    radii->push_back(std::sqrt(square(best)));
    order.push_back(best);
    centres.push_back(best);
    taken[static_cast<size_t>(best)] = options.exclude_taken;
  }
  return order;
}

void test_k_center_against_brute_force() {
  RandomStream stream(7, 10);
  for (int trial = 0; trial < 300; ++trial) {
    const int64_t n = 1 + stream.below(24), d = 1 + stream.below(4);
    const std::vector<float> x = small_integers(n, d, 2 + stream.below(3), static_cast<uint64_t>(100 + trial));
    KCenterOptions options;
    options.exclude_taken = trial % 5 != 0;
    if (trial % 3 == 0 && n > 3) options.warm_start = {n - 1, 1};
    if (trial % 6 == 0 && !options.warm_start.empty()) options.first = FirstCentre::greedy;
    const int64_t available = n - (options.exclude_taken ? static_cast<int64_t>(options.warm_start.size()) : 0);
    options.k = stream.below(static_cast<uint32_t>(available) + 1);
    std::vector<double> radii;
    const std::vector<int64_t> expected = reference_k_center(x, n, d, options, &radii);
    for (const char* backend : {"plain", "cpu"}) {
      KCenterResult got;
      CHECK(k_center({backend, 1 + trial % 3, trial % 2 ? kForever : 0.001}, {x.data(), n, d}, options, &got).ok());
      CHECK(got.order == expected);
      for (size_t i = 0; i < std::min(radii.size(), got.radii.size()); ++i)
        CHECK(radii[i] == got.radii[i] || near(radii[i], got.radii[i], 1e-6));
      if (options.exclude_taken) {
        for (size_t i = 2; i < got.radii.size(); ++i)
          CHECK(got.radii[i] <= got.radii[i - 1]);  // a given first row need not be the farthest
      }
    }
  }
}

void test_k_center_bits_and_errors() {
  constexpr int64_t n = 3000, d = 19;
  const std::vector<float> data = gaussian(n, d, 8);
  KCenterOptions options;
  options.k = 60;
  options.first = FirstCentre::farthest_from_mean;
  KCenterResult first;
  for (const Setting& setting : kSettings) {
    KCenterResult got;
    CHECK(k_center(setting, {data.data(), n, d}, options, &got).ok());
    if (first.order.empty()) first = got;
    CHECK(got.order == first.order && same_bits(got.radii, first.radii) && got.coverage == first.coverage);
  }
  KCenterResult got;
  const Setting setting{"plain", 1, kForever};
  options.k = 0;
  CHECK(k_center(setting, {data.data(), n, d}, options, &got).ok() && got.order.empty() && std::isinf(got.coverage));
  options.k = n + 1;
  CHECK(k_center(setting, {data.data(), n, d}, options, &got).code() == Code::invalid_argument);
  options = {};
  options.k = 1;
  options.first_index = n;
  CHECK(k_center(setting, {data.data(), n, d}, options, &got).code() == Code::invalid_argument);
  options.first_index = 3;
  options.warm_start = {3};
  CHECK(k_center(setting, {data.data(), n, d}, options, &got).code() == Code::invalid_argument);
  options.warm_start = {n};
  CHECK(k_center(setting, {data.data(), n, d}, options, &got).code() == Code::invalid_argument);
  std::vector<float> broken = data;
  broken[5 * d + 4] = -std::numeric_limits<float>::infinity();
  options = {};
  options.k = 2;
  const Status status = k_center(setting, {broken.data(), n, d}, options, &got);
  CHECK(status.code() == Code::non_finite && status.message().find("row 5, column 4") != std::string::npos);
}

// Many passes, ties by the thousand, pools that overflow: k_center() compares the lazy form with the plain one.
void test_k_center_lazy() {
  KCenterOptions options;
  KCenterResult got;
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    constexpr int64_t n = 20000, d = 8;
    std::vector<float> tailed = gaussian(n, d, seed);
    RandomStream stream(seed, 11);
    for (int64_t i = 0; i < n; ++i) {
      const float scale = static_cast<float>(1 / (0.05 + stream.uniform()));
      for (int64_t p = 0; p < d; ++p) tailed[static_cast<size_t>(i * d + p)] *= scale;
    }
    options = {};
    options.k = 700;
    options.first_index = static_cast<int64_t>(stream.below(n));
    if (seed == 2) options.warm_start = {1, 5, 19999};
    if (seed == 3) options.first = FirstCentre::farthest_from_mean;
    CHECK(k_center({"cpu", 2, 1}, {tailed.data(), n, d}, options, &got).ok());

    // 216 distinct points: after them every distance is 0.
    const std::vector<float> grid = small_integers(5000, 3, 6, seed);
    options = {};
    options.k = 400;
    if (seed == 2) {
      options.warm_start.resize(100);
      for (size_t i = 0; i < 100; ++i) options.warm_start[i] = static_cast<int64_t>(7 * i);
      options.first = FirstCentre::greedy;
    }
    CHECK(k_center({seed == 1 ? "plain" : "cpu", 1, kForever}, {grid.data(), 5000, 3}, options, &got).ok());
    CHECK(got.radii.back() == 0 && got.coverage == 0);
  }
  // Wide rows keep pools small, and all rows but one direction are at equal distances.
  constexpr int64_t n = 2600, d = 2100;
  std::vector<float> tied(static_cast<size_t>(n * d), 0.0f);
  for (int64_t i = 0; i < n; ++i) tied[static_cast<size_t>(i * d + i % 41)] = 1;
  options = {};
  options.k = 60;
  CHECK(k_center({"cpu", 2, kForever}, {tied.data(), n, d}, options, &got).ok());
  for (int64_t i = 0; i < n; ++i) tied[static_cast<size_t>(i * d + d - 1)] = static_cast<float>(i % 2);
  CHECK(k_center({"cpu", 2, kForever}, {tied.data(), n, d}, options, &got).ok());
}

// The lazy form against the plain one on data that invites mistakes.
void test_k_center_properties() {
  constexpr int64_t n = 4000, d = 40;
  for (int kind = 0; kind < 8; ++kind) {
    std::vector<float> x = kind == 0 ? small_integers(n, d, 2, 4) : gaussian(n, d, static_cast<uint64_t>(20 + kind));
    RandomStream stream(static_cast<uint64_t>(kind), 11);
    for (int64_t i = 0; i < n; ++i) {
      float* row = x.data() + i * d;
      if (kind == 1 && i % 2 == 1) std::copy_n(row - d, d, row);                                              // duplicates
      if (kind == 2) std::fill_n(row + 3, d - 3, 7.0f);                                                       // constant columns
      if (kind == 3 && i % 3 != 0) std::fill_n(row, d, 0.0f);                                                 // zeros
      const float scale = kind == 4 ? 1e17f : kind == 5 ? 1e-21f : kind == 6 ? static_cast<float>(std::exp(6 * stream.normal())) : 1.0f;
      for (int64_t p = 0; p < d; ++p) row[p] = row[p] * scale + (kind == 7 ? 3000.0f : 0.0f);                 // 7: far from the origin
    }
    for (const Metric metric : {Metric::euclidean, Metric::cosine}) {
      KCenterOptions options;
      options.metric = metric;
      options.k = 300;
      options.want_nearest = true;
      options.first_index = 17;
      if (kind % 2 == 1) options.warm_start = {3, 900, 3, 2};
      KCenterResult got;
      CHECK(k_center({"cpu", 2, kind % 2 == 0 ? kForever : 0.01}, {x.data(), n, d}, options, &got).ok());
      CHECK(got.coverages.size() == 300 && got.coverages.back() == got.coverage);
      if (metric == Metric::cosine) CHECK(got.radii[1] <= 2 + 1e-5);
    }
  }
}

void test_pca() {
  // Two orthogonal directions of known variance in three dimensions, one constant column.
  const std::vector<float> cross{3, 0, 7, -3, 0, 7, 0, 1, 7, 0, -1, 7};
  PcaResult got;
  for (const char* backend : {"plain", "cpu"}) {
    CHECK(pca({backend, 1, kForever}, {cross.data(), 4, 3}, {50, 0}, &got).ok());
    CHECK(got.components == 3 && near(got.variances[0], 6, 1e-12) && near(got.variances[1], 2.0 / 3, 1e-12) &&
          near(got.variances[2], 0, 1e-12));
    CHECK(near(got.directions[0], 1, 1e-12) && near(got.directions[4], 1, 1e-12) && got.mean[2] == 7);
    CHECK(near(static_cast<double>(got.projected[0]), 3, 1e-6) && near(static_cast<double>(got.projected[3 * 3 + 1]), -1, 1e-6));
    CHECK(pca({backend, 1, kForever}, {cross.data(), 4, 3}, {50, 0.9}, &got).ok() && got.components == 1);
    CHECK(pca({backend, 1, kForever}, {cross.data(), 4, 3}, {50, 0.91}, &got).ok() && got.components == 2);
    CHECK(pca({backend, 1, kForever}, {cross.data(), 1, 3}, {50, 0}, &got).ok() && got.components == 1 &&
          got.total_variance == 0);
  }

  // Fewer rows than columns, down to duplicates of two: most eigenvalues are zero, and QL must still end.
  for (int64_t rows : {2, 20, 120, 191}) {
    std::vector<float> few = gaussian(rows, 192, static_cast<uint64_t>(rows));
    few.insert(few.end(), few.begin(), few.end());
    CHECK(pca({"cpu", 1, kForever}, {few.data(), 2 * rows, 192}, {50, 0}, &got).ok());
    double sum = 0;
    for (double variance : got.variances) sum += variance;
    if (rows <= 20) CHECK(near(sum, got.total_variance, 0, 1e-12));
  }

  constexpr int64_t n = 2500, d = 61;
  std::vector<float> data = gaussian(n, d, 9);
  for (size_t i = 0; i < data.size(); ++i) data[i] = data[i] * static_cast<float>(1 + i % d) + 3;
  PcaResult plain, cpu;
  for (const Setting& setting : kSettings) {
    CHECK(pca(setting, {data.data(), n, d}, {d, 0}, &got).ok());
    PcaResult& first = std::strcmp(setting.backend, "plain") == 0 ? plain : cpu;
    if (first.components == 0) first = got;
    CHECK(same_bits(got.directions, first.directions) && same_bits(got.projected, first.projected) &&
          same_bits(got.variances, first.variances));
  }
  CHECK(plain.components == d);
  double worst_product = 0, worst_residual = 0, sum = 0;
  for (int64_t a = 0; a < d; ++a) {
    sum += plain.variances[static_cast<size_t>(a)];
    const double* u = plain.directions.data() + a * d;
    double largest = 0;
    for (int64_t p = 0; p < d; ++p) {
      if (std::abs(u[p]) > std::abs(largest)) largest = u[p];
    }
    CHECK(largest > 0);
    for (int64_t b = 0; b <= a; ++b) {
      double product = 0;
      for (int64_t p = 0; p < d; ++p) product += u[p] * plain.directions[static_cast<size_t>(b * d + p)];
      worst_product = std::max(worst_product, std::abs(product - (a == b ? 1.0 : 0.0)));
    }
    // The variance of the projection is the eigenvalue.
    double square = 0;
    for (int64_t i = 0; i < n; ++i) {
      const double y = static_cast<double>(plain.projected[static_cast<size_t>(i * d + a)]);
      square += y * y;
    }
    const double variance = plain.variances[static_cast<size_t>(a)];
    worst_residual = std::max(worst_residual, std::abs(square / (n - 1) - variance) / variance);
  }
  CHECK(worst_product < 1e-12);
  CHECK(worst_residual < 1e-5);
  CHECK(near(sum, plain.total_variance, 0, 1e-12));
  double worst_difference = 0;
  for (size_t i = 0; i < plain.directions.size(); ++i)
    worst_difference = std::max(worst_difference, std::abs(plain.directions[i] - cpu.directions[i]));
  CHECK(worst_difference < 1e-9);

  data[7 * d + 2] = std::nanf("");
  CHECK(pca(kSettings[0], {data.data(), n, d}, {50, 0}, &got).code() == Code::non_finite);
  CHECK(pca(kSettings[0], {cross.data(), 4, 3}, {0, 0}, &got).code() == Code::invalid_argument);
}

// Wide rows of known low rank: the sketch finds the components that fp64 sums confirm.
void test_pca_wide() {
  constexpr int64_t n = 400, d = 2100, rank = 6;
  const std::vector<float> shares = gaussian(n, rank, 3), axes = gaussian(rank, d, 4), noise = gaussian(n, d, 5);
  std::vector<float> x(static_cast<size_t>(n * d));
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t p = 0; p < d; ++p) {
      float value = 2 + 0.01f * noise[static_cast<size_t>(i * d + p)];
      for (int64_t j = 0; j < rank; ++j) value += shares[static_cast<size_t>(i * rank + j)] * axes[static_cast<size_t>(j * d + p)] / static_cast<float>(1 << j);
      x[static_cast<size_t>(i * d + p)] = value;
    }
  }
  PcaResult first, got;
  CHECK(pca({"cpu", 1, kForever}, {x.data(), n, d}, {rank, 0}, &first).ok() && first.components == rank);
  CHECK(pca({"cpu", 3, 0.001}, {x.data(), n, d}, {rank, 0}, &got).ok() && same_bits(got.directions, first.directions) && same_bits(got.projected, first.projected));
  double explained = 0;
  for (int64_t a = 0; a < rank; ++a) {
    explained += first.variances[static_cast<size_t>(a)];
    for (int64_t b = 0; b <= a; ++b) {
      double product = 0;
      for (int64_t p = 0; p < d; ++p) product += first.directions[static_cast<size_t>(a * d + p)] * first.directions[static_cast<size_t>(b * d + p)];
      CHECK(near(product, a == b ? 1 : 0, 1e-10));
    }
    double square = 0;  // the variance along the direction, from the rows
    for (int64_t i = 0; i < n; ++i) {
      double y = 0;
      for (int64_t p = 0; p < d; ++p) y += (static_cast<double>(x[static_cast<size_t>(i * d + p)]) - first.mean[static_cast<size_t>(p)]) * first.directions[static_cast<size_t>(a * d + p)];
      square += y * y;
    }
    CHECK(near(square / (n - 1), first.variances[static_cast<size_t>(a)], 0, 1e-5));
  }
  CHECK(explained / first.total_variance > 0.99 && explained <= first.total_variance);
  CHECK(pca({"cpu", 2, kForever}, {x.data(), n, d}, {rank, 0.5}, &got).ok() && got.components < rank);
}

void test_top_k() {
  const double values[] = {1, 5, 3, 5, -2};
  std::vector<int64_t> indices;
  CHECK(top_k(values, 5, 3, &indices).ok() && (indices == std::vector<int64_t>{1, 3, 2}));
  CHECK(top_k(values, 5, 9, &indices).ok() && (indices == std::vector<int64_t>{1, 3, 2, 0, 4}));
  CHECK(top_k(values, 0, 2, &indices).ok() && indices.empty());
  const double broken[] = {1, std::nan("")};
  CHECK(top_k(broken, 2, 1, &indices).code() == Code::non_finite);
}

}  // namespace

int main() {
  test_k_means_against_reference();
  test_k_means_bits();
  test_k_means_degenerate();
  test_k_center_golden();
  test_k_center_against_brute_force();
  test_k_center_bits_and_errors();
  test_k_center_lazy();
  test_k_center_properties();
  test_pca();
  test_pca_wide();
  test_top_k();
  return test::finish();
}
