// Strata of scores against a full sort, and draws against plain shuffles.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "check.h"
#include "core/random.h"
#include "select/score_strata.h"

using namespace mendset;

namespace {

void strata() {
  for (int kind = 0; kind < 4; ++kind) {
    RandomStream stream(3, 2, static_cast<uint32_t>(kind));
    std::vector<double> scores(700);
    for (double& score : scores) {
      score = kind == 0 ? stream.uniform() : kind == 1 ? stream.below(4) : kind == 2 ? 3.0 : (stream.uniform() - 0.5) * 1e308;
    }
    const int64_t n = static_cast<int64_t>(scores.size());
    for (const int64_t removed : {0, 1, 100, 699}) {
      for (const bool from_high : {true, false}) {
        std::vector<int32_t> order(scores.size());
        std::iota(order.begin(), order.end(), 0);
        std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
          const double x = scores[static_cast<size_t>(a)], y = scores[static_cast<size_t>(b)];
          return from_high ? x > y : x < y;
        });
        std::vector<int32_t> members(static_cast<size_t>(n - removed)), labels(scores.size()), ends;
        CHECK(score_strata(scores, {removed, from_high, 7}, members, labels, &ends).ok());
        for (int64_t i = 0; i < n; ++i) CHECK((labels[static_cast<size_t>(order[static_cast<size_t>(i)])] < 0) == (i < removed));
        CHECK(ends.back() == n - removed);
        for (size_t s = 0; s + 1 < ends.size(); ++s) {
          for (int32_t at = ends[s]; at < ends[s + 1]; ++at) {
            CHECK(labels[static_cast<size_t>(members[static_cast<size_t>(at)])] == static_cast<int32_t>(s));
            CHECK(at == ends[s] || members[static_cast<size_t>(at - 1)] < members[static_cast<size_t>(at)]);
          }
        }
        for (size_t i = 0; i < scores.size(); ++i) {
          for (size_t j = 0; j < scores.size(); j += 13) {
            if (labels[i] >= 0 && labels[j] >= 0 && scores[i] < scores[j]) CHECK(labels[i] <= labels[j]);
          }
        }
      }
    }
  }
  std::vector<double> broken{1, std::numeric_limits<double>::quiet_NaN()};
  std::vector<int32_t> members(2), labels(2), ends;
  CHECK(score_strata(broken, {0, true, 5}, members, labels, &ends).code() == Code::non_finite);
  broken[1] = 2;
  CHECK(score_strata(broken, {2, true, 5}, members, labels, &ends).code() == Code::invalid_argument);
}

void draws() {
  std::vector<int32_t> members(300);
  std::iota(members.begin(), members.end(), 0);
  const std::vector<int32_t> ends{0, 100, 100, 300}, quotas{10, 0, 200};
  std::vector<int32_t> expected;
  std::vector<int32_t> plain = members;
  RandomStream stream(4, 4);
  for (size_t s = 0; s < quotas.size(); ++s) {
    for (int32_t i = ends[s + 1] - ends[s] - 1; i > 0; --i) {
      std::swap(plain[static_cast<size_t>(ends[s] + i)], plain[static_cast<size_t>(ends[s]) + stream.below(static_cast<uint32_t>(i + 1))]);
    }
    expected.insert(expected.end(), plain.begin() + ends[s], plain.begin() + ends[s] + quotas[s]);
  }
  std::vector<int32_t> got;
  CHECK(draw_within(RandomStream(4, 4), members, ends, quotas, &got).ok());
  CHECK(got == expected);
  const std::vector<int32_t> too_many{10, 1, 0};
  CHECK(draw_within(RandomStream(4, 4), members, ends, too_many, &got).code() == Code::invalid_argument);
}

}  // namespace

int main() {
  strata();
  draws();
  return test::finish();
}
