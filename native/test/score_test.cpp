// Selection from scores against full sorts and plain loops, for any number of threads.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "core/random.h"
#include "select/ccs.h"
#include "select/permutation.h"
#include "select/top_scores.h"
#include "select/water_fill.h"
#include "test/check.h"

using namespace mendset;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::vector<double> draw_scores(size_t n, int kind) {
  RandomStream stream(3, 2, static_cast<uint32_t>(kind));
  std::vector<double> scores(n);
  for (double& score : scores) {
    switch (kind) {
      case 0: score = stream.uniform(); break;
      case 1: score = stream.below(4); break;                         // ties
      case 2: score = 3.0; break;                                     // all equal
      case 3: score = (stream.uniform() - 0.5) * 1e308 * 3; break;    // a range that overflows
      case 4: score = stream.below(2) == 0 ? -0.0 : 0.0; break;       // equal, of other bits
      case 5: score = 1 + static_cast<double>(stream.below(50)) * 0x1p-52; break;  // apart in the last bits alone
      default: score = stream.below(9) == 0 ? (stream.below(2) == 0 ? std::nan("") : -kInfinity) : stream.normal(); break;
    }
  }
  return scores;
}
constexpr int kKinds = 7;

// Finite records by (value, lowest index) from one end.
std::vector<int32_t> ranked(const std::vector<double>& scores, bool from_high) {
  std::vector<int32_t> order;
  for (size_t i = 0; i < scores.size(); ++i) {
    if (std::isfinite(scores[i])) order.push_back(static_cast<int32_t>(i));
  }
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    const double x = scores[static_cast<size_t>(a)], y = scores[static_cast<size_t>(b)];
    return from_high ? x > y : x < y;
  });
  return order;
}

void top_scores() {
  for (const size_t n : {size_t{1}, size_t{50}, size_t{200'000}}) {
    for (int kind = 0; kind < kKinds; ++kind) {
      const std::vector<double> scores = draw_scores(n, kind);
      for (const bool from_high : {true, false}) {
        const std::vector<int32_t> expected = ranked(scores, from_high);
        for (const size_t count : {size_t{0}, size_t{1}, n / 50, n / 2, n}) {
          for (const int threads : {1, 3}) {
            std::unique_ptr<TopScores> task;
            CHECK(TopScores::create(scores, {static_cast<int64_t>(count), from_high, true, threads}, &task).ok() && task->run().ok());
            const TopScoresResult& got = task->result();
            CHECK(got.first_bad == -1 && got.finite == static_cast<int64_t>(expected.size()));
            CHECK(got.indices.size() == std::min(count, expected.size()) && std::equal(got.indices.begin(), got.indices.end(), expected.begin()));
          }
        }
      }
    }
  }
  const std::vector<double> broken{1, std::nan(""), kInfinity};
  std::unique_ptr<TopScores> task;
  CHECK(TopScores::create(broken, {2, true, false, 1}, &task).ok() && task->run().ok() && task->result().first_bad == 1 && task->result().indices.empty());
  CHECK(TopScores::create(broken, {-1, true, false, 1}, &task).code() == Code::invalid_argument);
}

// The same by a full sort and plain loops.
struct Expected {
  std::vector<int32_t> labels, quotas, indices;
  int64_t removed = 0;
};
Expected plainly(const std::vector<double>& scores, const CcsOptions& options) {
  Expected out;
  out.labels.assign(scores.size(), -1);
  std::vector<int32_t> order = ranked(scores, options.hard_high);
  const int64_t finite = static_cast<int64_t>(order.size());
  out.removed = std::min(static_cast<int64_t>(options.beta * static_cast<double>(finite) + 1e-9), finite - options.budget);
  order.erase(order.begin(), order.begin() + out.removed);
  std::sort(order.begin(), order.end());
  double low = kInfinity, high = -kInfinity;
  for (int32_t i : order) {
    low = std::min(low, scores[static_cast<size_t>(i)]);
    high = std::max(high, scores[static_cast<size_t>(i)]);
  }
  std::vector<std::vector<int32_t>> strata(low == high ? 1 : static_cast<size_t>(options.strata));
  for (int32_t i : order) {
    const double place = (scores[static_cast<size_t>(i)] / 2 - low / 2) / (high / 2 - low / 2) * static_cast<double>(options.strata);
    const size_t stratum = low == high ? 0 : std::min(strata.size() - 1, static_cast<size_t>(place));
    strata[stratum].push_back(i);
    out.labels[static_cast<size_t>(i)] = static_cast<int32_t>(stratum);
  }
  std::vector<int32_t> sizes;
  for (const auto& stratum : strata) sizes.push_back(static_cast<int32_t>(stratum.size()));
  out.quotas = water_fill(options.budget, sizes);
  for (size_t s = 0; s < strata.size(); ++s) {
    RandomStream stream(options.seed, 4, static_cast<uint32_t>(s));
    for (int32_t i = 0; i < out.quotas[s]; ++i) {
      std::swap(strata[s][static_cast<size_t>(i)], strata[s][static_cast<size_t>(i) + stream.below(static_cast<uint32_t>(sizes[s] - i))]);
      out.indices.push_back(strata[s][static_cast<size_t>(i)]);
    }
  }
  return out;
}

void coverage_centric() {
  for (const size_t n : {size_t{60}, size_t{150'000}}) {
    for (int kind = 0; kind < kKinds; ++kind) {
      const std::vector<double> scores = draw_scores(n, kind);
      for (const double beta : {0.0, 0.1, 0.97}) {
        for (const bool hard_high : {true, false}) {
          CcsOptions options;
          options.budget = static_cast<int64_t>(n / 7);
          options.beta = beta;
          options.hard_high = hard_high;
          options.strata = kind == 3 ? 70'000 : 9;  // more strata than one block can count
          options.drop_bad = true;
          options.seed = 11;
          const Expected expected = plainly(scores, options);
          for (const int threads : {1, 3}) {
            options.threads = threads;
            std::vector<int32_t> labels(n);
            std::unique_ptr<Ccs> task;
            CHECK(Ccs::create(scores, options, labels, &task).ok());
            while (!task->progress().finished) CHECK(task->step(Deadline::after_ms(0)).ok());
            const CcsResult& got = task->result();
            CHECK(got.removed == expected.removed && labels == expected.labels && got.quotas == expected.quotas && got.indices == expected.indices);
          }
        }
      }
    }
  }
  const std::vector<double> broken{1, 2, std::nan("")};
  std::vector<int32_t> labels(3);
  std::unique_ptr<Ccs> task;
  CcsOptions options;
  options.budget = 2;
  CHECK(Ccs::create(broken, options, labels, &task).ok() && task->run().ok() && task->result().first_bad == 2);
  options.budget = 3;
  options.drop_bad = true;
  CHECK(Ccs::create(broken, options, labels, &task).ok() && task->run().ok() && task->result().finite == 2 && task->result().indices.empty());
  options.strata = 0;
  CHECK(Ccs::create(broken, options, labels, &task).code() == Code::invalid_argument);
}

void permutations() {
  for (const int64_t n : {0, 1, 2, 63, 64, 65, 1000}) {
    std::vector<int32_t> expected(static_cast<size_t>(n));
    std::iota(expected.begin(), expected.end(), 0);
    RandomStream stream(9, 2);
    for (int64_t i = n - 1; i > 0; --i) std::swap(expected[static_cast<size_t>(i)], expected[stream.below(static_cast<uint32_t>(i + 1))]);
    for (const int64_t count : {int64_t{0}, n / 2, n}) {
      std::unique_ptr<PermutationPrefix> task;
      CHECK(PermutationPrefix::create(RandomStream(9, 2), n, count, &task).ok() && task->run().ok());
      CHECK(static_cast<int64_t>(task->result().size()) == count && std::equal(task->result().begin(), task->result().end(), expected.begin()));
    }
  }
  std::unique_ptr<PermutationPrefix> task;
  CHECK(PermutationPrefix::create(RandomStream(9, 2), 3, 4, &task).code() == Code::invalid_argument);
}

void quotas() {
  const auto filled = [](int64_t budget, std::vector<int32_t> sizes) { return water_fill(budget, sizes); };
  CHECK((filled(8, {5, 1, 0, 10}) == std::vector<int32_t>{3, 1, 0, 4}));
  CHECK((filled(10, {3, 3, 3, 3}) == std::vector<int32_t>{2, 2, 3, 3}));
  CHECK((filled(7, {0, 0, 2, 9, 1}) == std::vector<int32_t>{0, 0, 2, 4, 1}));
}

}  // namespace

int main() {
  top_scores();
  coverage_centric();
  permutations();
  quotas();
  return test::finish();
}
