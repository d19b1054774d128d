// K-Center: published vectors, brute force, and the lazy form against the plain one bit for bit.
#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "select/k_center.h"
#include "select/k_center_lazy.h"
#include "test/backends_under_test.h"
#include "test/check.h"
#include "test/select_tasks.h"

using namespace mendset;
using namespace mendset::test;

namespace {

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

void test_k_center_against_brute_force(const std::vector<std::string>& backends, int trials) {
  RandomStream stream(7, 10);
  for (int trial = 0; trial < trials; ++trial) {
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
    for (const std::string& backend : backends) {
      KCenterResult got;
      CHECK(k_center({backend.c_str(), 1 + trial % 3, trial % 2 ? kForever : 0.001}, {x.data(), n, d}, options, &got).ok());
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
      const Status status = k_center({"cpu", 2, kind % 2 == 0 ? kForever : 0.01}, {x.data(), n, d}, options, &got);
      CHECK(status.ok());
      if (!status.ok()) continue;
      CHECK(got.coverages.size() == 300 && got.coverages.back() == got.coverage);
      if (metric == Metric::cosine) CHECK(got.radii[1] <= 2 + 1e-5);
    }
  }
}

// A device's picks against the plain ones: ties and duplicates by the hundred, pools that fall out and are packed anew, both ways to start the picks.
void test_k_center_on_device() {
  for (const int64_t d : {3, 70}) {
    constexpr int64_t n = 900;
    std::vector<float> x = d == 3 ? small_integers(n, d, 7, 5) : gaussian(n, d, 6);
    for (int64_t i = 1; i < n; i += 9) std::copy_n(x.data() + (i - 1) * d, d, x.data() + i * d);
    KCenterOptions options;
    options.k = d == 3 ? 450 : 60;
    options.first_index = 17;
    options.warm_start = {3, 800, 4};
    KCenterResult expected, got;
    CHECK(k_center({"plain", 1, kForever}, {x.data(), n, d}, options, &expected).ok());
    for (const int threads : {1, 2, 3}) {  // orders of the emulated threads
      CHECK(k_center({"cuda", threads, kForever}, {x.data(), n, d}, options, &got).ok());
      CHECK(got.order == expected.order && same_bits(got.radii, expected.radii) && got.coverage == expected.coverage);
    }
  }
}

}  // namespace

int main(int count, char** arguments) {
  const std::vector<std::string> backends = backends_under_test(count, arguments);
  if (count > 1) {
    test_k_center_against_brute_force(backends, 60);
    test_k_center_on_device();
    return test::finish();
  }
  test_k_center_golden();
  test_k_center_against_brute_force(backends, 300);
  test_k_center_bits_and_errors();
  test_k_center_lazy();
  test_k_center_properties();
  return test::finish();
}
