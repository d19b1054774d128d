// Pruned k-means against the unpruned form, bit for bit; starts, spherical k-means, empty clusters.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "core/random.h"
#include "select/k_means.h"
#include "test/check.h"

using namespace mendset;
using test::near;

namespace {

template <typename T> bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

bool run(const char* backend_name, int threads, double budget_ms, MatrixView x, const KMeansOptions& options, const double* given, KMeansResult* out) {
  std::shared_ptr<Backend> backend;
  std::unique_ptr<KMeans> task;
  Status status = Backend::open(backend_name, threads, &backend);
  if (status.ok()) status = KMeans::create(backend, x, options, given, &task);
  while (status.ok() && !task->progress().finished) status = task->step(Deadline::after_ms(budget_ms));
  CHECK(status.ok());
  if (!status.ok()) {
    std::printf("%s\n", status.message().c_str());
    return false;
  }
  *out = task->result();
  return true;
}

bool equal(const KMeansResult& a, const KMeansResult& b) {
  return a.iterations == b.iterations && a.stop == b.stop && a.restart == b.restart && a.refilled == b.refilled && same_bits(a.labels, b.labels) && same_bits(a.centroids, b.centroids) &&
         same_bits(a.inertia_per_iteration, b.inertia_per_iteration) && same_bits(a.own_distance, b.own_distance) && a.inertia == b.inertia;
}

enum class Kind { clustered, gaussian, integers, duplicates, constant_columns, tiny, huge, shifted, wild, zeros };
constexpr Kind kKinds[] = {Kind::clustered, Kind::gaussian, Kind::integers, Kind::duplicates, Kind::constant_columns, Kind::tiny, Kind::huge, Kind::shifted, Kind::wild, Kind::zeros};

std::vector<float> rows_of(Kind kind, int64_t n, int64_t d, uint64_t seed) {
  RandomStream stream(seed, 12);
  std::vector<float> x(static_cast<size_t>(n * d)), centres(static_cast<size_t>(50 * d));
  for (size_t i = 0; i < centres.size(); ++i) centres[i] = static_cast<float>(stream.normal() * 3 / std::sqrt(1.0 + static_cast<double>(i % static_cast<size_t>(d))));
  for (int64_t i = 0; i < n; ++i) {
    const int64_t label = stream.below(50);
    const double wild = kind == Kind::wild ? std::exp(8 * stream.normal()) : 1;
    for (int64_t p = 0; p < d; ++p) {
      const double noise = stream.normal(), near = static_cast<double>(centres[static_cast<size_t>(label * d + p)]) + noise / std::sqrt(1.0 + static_cast<double>(p));
      double value = near;
      if (kind == Kind::gaussian) value = noise;
      if (kind == Kind::integers) value = std::round(noise);
      if (kind == Kind::duplicates) value = static_cast<double>(centres[static_cast<size_t>(label * d + p)]);
      if (kind == Kind::constant_columns && p % 3 != 0) value = 4;
      if (kind == Kind::tiny) value = near * 1e-22;
      if (kind == Kind::huge) value = near * 1e17;
      if (kind == Kind::shifted) value = near + 500;
      if (kind == Kind::zeros) value = i % 3 == 0 ? near : 0;
      x[static_cast<size_t>(i * d + p)] = static_cast<float>(value * wild);
    }
  }
  return x;
}

void pruned_equals_unpruned() {
  int64_t filtered = 0;
  for (const Kind kind : kKinds) {
    for (const int64_t d : {int64_t{67}, int64_t{200}}) {
      constexpr int64_t n = 5000, k = 37;
      const std::vector<float> data = rows_of(kind, n, d, static_cast<uint64_t>(d) + static_cast<uint64_t>(kind));
      std::vector<double> start;
      for (int64_t j = 0; j < k; ++j) start.insert(start.end(), data.begin() + j * 131 * d, data.begin() + (j * 131 + 1) * d);
      for (const bool spherical : {false, true}) {
        KMeansOptions options{k, 25, 1, 0};
        options.spherical = spherical;
        options.prune = false;
        KMeansResult expected, got;
        if (!run("cpu", 2, 1e30, {data.data(), n, d}, options, start.data(), &expected)) continue;
        CHECK(expected.filtered == 0 && expected.distances == expected.pairs);
        options.prune = true;
        CHECK(run("cpu", 3, 1e30, {data.data(), n, d}, options, start.data(), &got) && equal(got, expected));
        CHECK(run("cpu", 1, 0.001, {data.data(), n, d}, options, start.data(), &got) && equal(got, expected));
        CHECK(got.filtered <= got.pairs && got.distances <= got.pairs + got.pairs / 2);  // what the filter computes to find its limits counts twice
        if (kind == Kind::clustered && !spherical && d == 200) CHECK(got.distances < got.pairs * 2 / 5);
        filtered += got.filtered;
        options.want_second = false;
        CHECK(run("cpu", 2, 1e30, {data.data(), n, d}, options, start.data(), &got) && equal(got, expected) && got.second_labels.empty());
      }
    }
  }
  CHECK(filtered > 0);
  // The plain backend ignores bounds and filter.
  constexpr int64_t n = 4200, d = 65, k = 16;
  const std::vector<float> data = rows_of(Kind::clustered, n, d, 77);
  KMeansResult plain, cpu;
  KMeansOptions options{k, 6, 1, 5};
  CHECK(run("plain", 1, 1e30, {data.data(), n, d}, options, nullptr, &plain) && run("cpu", 2, 1e30, {data.data(), n, d}, options, nullptr, &cpu));
  CHECK(same_bits(plain.labels, cpu.labels) && same_bits(plain.centroids, cpu.centroids) && same_bits(plain.second_labels, cpu.second_labels));
}

// Few columns and clusters: bounds of the two nearest centroids alone.
void few_columns() {
  for (const Kind kind : kKinds) {
    for (const auto& [d, k] : {std::pair<int64_t, int64_t>{50, 10}, {31, 5}, {48, 2}, {9, 17}}) {
      constexpr int64_t n = 1500;
      const std::vector<float> data = rows_of(kind, n, d, static_cast<uint64_t>(d) + static_cast<uint64_t>(kind));
      for (const bool spherical : {false, true}) {
        KMeansOptions options{k, 30, 2, 7};
        options.spherical = spherical;
        options.prune = false;
        KMeansResult expected, got;
        if (!run("cpu", 2, 1e30, {data.data(), n, d}, options, nullptr, &expected)) continue;
        options.prune = true;
        CHECK(run("cpu", 3, 1e30, {data.data(), n, d}, options, nullptr, &got) && equal(got, expected));
        CHECK(run("cpu", 1, 0.001, {data.data(), n, d}, options, nullptr, &got) && equal(got, expected));
        CHECK(got.distances <= got.pairs);
        if (kind == Kind::clustered && !spherical && d == 50) CHECK(got.distances < got.pairs);
      }
    }
  }
}

// Passes without bounds, which integers may decide: labels of fp64 sums, with duplicates and an outlying centroid among the centroids.
void unpruned_equals_plain() {
  for (const Kind kind : kKinds) {
    for (const auto& [d, k] : {std::pair<int64_t, int64_t>{67, 37}, {128, 33}}) {
      constexpr int64_t n = 700;
      const std::vector<float> data = rows_of(kind, n, d, static_cast<uint64_t>(d) + static_cast<uint64_t>(kind));
      std::vector<double> start;
      for (int64_t j = 0; j < k; ++j) {
        const int64_t row = j % 9 == 8 ? (j - 1) * 17 : j * 17;
        for (int64_t p = 0; p < d; ++p) start.push_back(static_cast<double>(data[static_cast<size_t>(row * d + p)]) * (j == 5 ? 30 : 1));
      }
      KMeansOptions options{k, 3, 1, 0};
      options.prune = options.want_second = false;
      KMeansResult plain, got;
      if (!run("plain", 1, 1e30, {data.data(), n, d}, options, start.data(), &plain)) continue;
      CHECK(run("cpu", 2, 1e30, {data.data(), n, d}, options, start.data(), &got) && same_bits(got.labels, plain.labels) && same_bits(got.centroids, plain.centroids));
    }
  }
}

// Clusters that share centroids, and a few rows far out whose centroids run from pass to pass: most distances are spared to the end.
void runners() {
  constexpr int64_t n = 20000, d = 64, k = 64, far = 40;
  RandomStream stream(31, 12);
  std::vector<float> data(static_cast<size_t>(n * d)), middles(static_cast<size_t>(k * d));
  for (float& value : middles) value = static_cast<float>(stream.normal());
  for (int64_t i = 0; i < n; ++i) {
    const int64_t cluster = stream.below(static_cast<uint32_t>(k));
    const double spread = i % (n / far) == 0 ? 5 + 0.2 * static_cast<double>(i % 7) : 0.5;
    for (int64_t p = 0; p < d; ++p) data[static_cast<size_t>(i * d + p)] = static_cast<float>(static_cast<double>(middles[static_cast<size_t>(cluster * d + p)]) + spread * stream.normal());
  }
  KMeansOptions options{k, 200, 1, 8};
  options.want_second = false;
  std::vector<double> start;
  for (int64_t j = 0; j < k; ++j) start.insert(start.end(), data.begin() + j * 300 * d, data.begin() + (j * 300 + 1) * d);
  KMeansResult expected, got;
  options.prune = false;
  CHECK(run("cpu", 2, 1e30, {data.data(), n, d}, options, start.data(), &expected) && expected.iterations > 10);
  options.prune = true;
  CHECK(run("cpu", 1, 0.01, {data.data(), n, d}, options, start.data(), &got) && equal(got, expected));
  CHECK(got.distances < got.pairs / 3);
}

// Rows along a curve that most centroids start at one end of: runners sweep past rows that they take from others, and lose again.
void sweeping_runners() {
  constexpr int64_t n = 4000, d = 64, k = 48;
  for (const uint64_t seed : {1u, 2u, 3u}) {
    RandomStream stream(seed, 12);
    std::vector<float> data(static_cast<size_t>(n * d));
    for (int64_t i = 0; i < n; ++i) {
      const double t = 12 * std::pow(stream.uniform(), seed == 3 ? 3.0 : 1.0);
      for (int64_t p = 0; p < d; ++p) data[static_cast<size_t>(i * d + p)] = static_cast<float>(std::sin(t * (1 + 0.01 * static_cast<double>(p)) + static_cast<double>(p)) + 0.05 * stream.normal());
    }
    std::vector<int64_t> order(n);
    for (int64_t i = 0; i < n; ++i) order[static_cast<size_t>(i)] = i;
    std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return data[static_cast<size_t>(a * d)] < data[static_cast<size_t>(b * d)]; });
    std::vector<double> start;
    for (int64_t j = 0; j < k; ++j) {
      const int64_t row = order[static_cast<size_t>(j < k - 3 ? j * 9 : n - 1 - (k - j) * 700)];
      start.insert(start.end(), data.begin() + row * d, data.begin() + (row + 1) * d);
    }
    KMeansOptions options{k, 150, 1, 0};
    options.want_second = options.prune = false;
    KMeansResult expected, got;
    CHECK(run("cpu", 2, 1e30, {data.data(), n, d}, options, start.data(), &expected) && expected.iterations > 20);
    options.prune = true;
    CHECK(run("cpu", 3, 1e30, {data.data(), n, d}, options, start.data(), &got) && equal(got, expected));
    CHECK(got.distances < got.pairs / 2);
  }
}

// Many clusters along few directions: the filter decides most rows from the first pass on.
void filter() {
  constexpr int64_t n = 6000, d = 200, k = 300;
  for (const Kind kind : {Kind::clustered, Kind::shifted, Kind::wild}) {
    const std::vector<float> data = rows_of(kind, n, d, 21);
    std::vector<double> start;
    for (int64_t j = 0; j < k; ++j) start.insert(start.end(), data.begin() + j * 19 * d, data.begin() + (j * 19 + 1) * d);
    KMeansOptions options{k, 12, 1, 0};
    options.want_second = options.prune = false;
    KMeansResult expected, got;
    CHECK(run("cpu", 2, 1e30, {data.data(), n, d}, options, start.data(), &expected));
    options.prune = true;
    CHECK(run("cpu", 3, 1e30, {data.data(), n, d}, options, start.data(), &got) && equal(got, expected));
    if (kind == Kind::clustered) CHECK(got.filtered > n * k && got.distances < got.pairs / 5);
    CHECK(run("cpu", 1, 0.001, {data.data(), n, d}, options, start.data(), &got) && equal(got, expected));
  }
}

// Near-ties that fp32 products cannot tell: labels are those of fp64 sums.
void near_ties() {
  constexpr int64_t n = 4000, d = 50, k = 12;
  std::vector<float> data = rows_of(Kind::shifted, n, d, 3);
  std::vector<double> start;
  for (int64_t j = 0; j < k; ++j) {
    for (int64_t p = 0; p < d; ++p) start.push_back(500 + 1e-4 * static_cast<double>((j * 7 + p * 3) % 11) + (j == 5 ? 0 : 1e-9 * static_cast<double>(j)));
  }
  start.insert(start.end() - 2 * d, start.begin(), start.begin() + d);  // a duplicate: its lowest number wins
  start.resize(static_cast<size_t>(k * d));
  KMeansOptions options{k, 0, 1, 0};
  KMeansResult plain, cpu;
  CHECK(run("plain", 1, 1e30, {data.data(), n, d}, options, start.data(), &plain) && run("cpu", 2, 1e30, {data.data(), n, d}, options, start.data(), &cpu));
  CHECK(same_bits(plain.labels, cpu.labels));
}

// Far starting centroids leave clusters empty while bounds are in force.
void refills() {
  constexpr int64_t n = 5000, d = 70, k = 20;
  const std::vector<float> data = rows_of(Kind::clustered, n, d, 5);
  std::vector<double> start;
  for (int64_t j = 0; j < k; ++j) {
    for (int64_t p = 0; p < d; ++p) start.push_back(static_cast<double>(data[static_cast<size_t>(j * d + p)]) + (j % 4 == 3 ? 1000 : 0));
  }
  KMeansOptions options{k, 30, 1, 0};
  options.prune = false;
  KMeansResult expected, got;
  CHECK(run("cpu", 1, 1e30, {data.data(), n, d}, options, start.data(), &expected) && expected.refilled >= 5);
  options.prune = true;
  CHECK(run("cpu", 2, 1e30, {data.data(), n, d}, options, start.data(), &got) && equal(got, expected));
  CHECK(std::count(got.sizes.begin(), got.sizes.end(), 0) == 0);
}

void starts() {
  constexpr int64_t n = 6000, d = 66, k = 30;
  const std::vector<float> data = rows_of(Kind::clustered, n, d, 9);
  double greedy = 0;
  for (const KMeansStart start : {KMeansStart::greedy, KMeansStart::parallel}) {
    KMeansOptions options{k, 20, 2, 3};
    options.start = start;
    KMeansResult first, got;
    CHECK(run("plain", 1, 1e30, {data.data(), n, d}, options, nullptr, &first));
    CHECK(run("cpu", 2, 0.01, {data.data(), n, d}, options, nullptr, &got) && equal(got, first));
    if (start == KMeansStart::greedy) greedy = got.inertia;
    CHECK(got.inertia < 1.25 * greedy);
  }
  // Fewer distinct rows than clusters, and every row equal.
  const std::vector<float> same(5000 * 64, 1.5f), few = rows_of(Kind::duplicates, 5000, 64, 2);
  for (const KMeansStart start : {KMeansStart::greedy, KMeansStart::parallel}) {
    KMeansOptions options{60, 10, 1, 3};
    options.start = start;
    KMeansResult got;
    CHECK(run("cpu", 2, 1e30, {same.data(), 5000, 64}, options, nullptr, &got) && got.inertia == 0);
    CHECK(run("cpu", 2, 1e30, {few.data(), 5000, 64}, options, nullptr, &got) && got.inertia < 1e-3);
  }
}

void spherical() {
  constexpr int64_t n = 500, d = 6, k = 5;
  std::vector<float> data = rows_of(Kind::clustered, n, d, 1);
  KMeansOptions options{k, 50, 1, 4};
  options.spherical = true;
  KMeansResult got, scaled;
  CHECK(run("cpu", 1, 1e30, {data.data(), n, d}, options, nullptr, &got));
  for (int64_t j = 0; j < k; ++j) {
    double square = 0;
    for (int64_t p = 0; p < d; ++p) square += std::pow(got.centroids[static_cast<size_t>(j * d + p)], 2);
    CHECK(near(square, 1, 1e-12));
  }
  for (float& value : data) value *= 4;  // a power of two: the directions are the same numbers
  CHECK(run("cpu", 1, 1e30, {data.data(), n, d}, options, nullptr, &scaled) && scaled.labels == got.labels);
}

}  // namespace

int main() {
  pruned_equals_unpruned();
  few_columns();
  unpruned_equals_plain();
  runners();
  sweeping_runners();
  filter();
  near_ties();
  refills();
  starts();
  spherical();
  return test::finish();
}
