#include "select/ranked_groups.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace mendset {

Status rank_groups(std::span<const double> values, std::span<const int32_t> labels, std::span<int32_t> ranked, std::span<int32_t> ends) {
  const size_t n = values.size();
  if (labels.size() != n || ranked.size() != n) {
    return failure(Code::invalid_argument, "Expected as many labels and ranks as values (%zu) but received %zu and %zu.", n, labels.size(), ranked.size());
  }
  std::vector<size_t> starts(ends.size() + 1, 0);
  for (size_t i = 0; i < n; ++i) {
    if (labels[i] < 0 || static_cast<size_t>(labels[i]) >= ends.size()) {
      return failure(Code::invalid_argument, "Expected group numbers below %zu but record %zu has %d.", ends.size(), i, labels[i]);
    }
    if (std::isnan(values[i])) return failure(Code::non_finite, "Expected values to rank by but record %zu has NaN.", i);
    ++starts[static_cast<size_t>(labels[i]) + 1];
  }
  for (size_t g = 0; g < ends.size(); ++g) {
    starts[g + 1] += starts[g];
    ends[g] = static_cast<int32_t>(starts[g + 1]);
  }
  struct Member {
    double value;
    int32_t index;
  };
  std::vector<Member> members(n);
  std::vector<size_t> next(starts.begin(), starts.end() - 1);
  for (size_t i = 0; i < n; ++i) members[next[static_cast<size_t>(labels[i])]++] = {values[i], static_cast<int32_t>(i)};
  for (size_t g = 0; g < ends.size(); ++g) {
    std::sort(members.begin() + static_cast<ptrdiff_t>(starts[g]), members.begin() + static_cast<ptrdiff_t>(starts[g + 1]),
              [](const Member& a, const Member& b) { return a.value != b.value ? a.value > b.value : a.index < b.index; });
  }
  for (size_t i = 0; i < n; ++i) ranked[i] = members[i].index;
  return {};
}

}  // namespace mendset
