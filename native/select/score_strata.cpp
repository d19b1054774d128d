#include "select/score_strata.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace mendset {
namespace {

constexpr int64_t kBuckets = 1 << 16;

struct Extent {
  double low = std::numeric_limits<double>::infinity(), high = -std::numeric_limits<double>::infinity();
  void add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

// False for NaN or infinity anywhere. Four extents side by side, for one would wait for itself.
bool finite_extent(std::span<const double> scores, Extent* out) {
  Extent parts[4];
  double zeros[4] = {0, 0, 0, 0};  // 0 x is NaN for NaN and infinity alone
  size_t i = 0;
  for (; i + 4 <= scores.size(); i += 4) {
    for (size_t p = 0; p < 4; ++p) {
      parts[p].add(scores[i + p]);
      zeros[p] += 0 * scores[i + p];
    }
  }
  for (; i < scores.size(); ++i) {
    parts[0].add(scores[i]);
    zeros[0] += 0 * scores[i];
  }
  *out = parts[0];
  for (const Extent& part : parts) {
    out->low = std::min(out->low, part.low);
    out->high = std::max(out->high, part.high);
  }
  return zeros[0] + zeros[1] + zeros[2] + zeros[3] == 0;
}

// Buckets of equal width, 0 for the first to be left out; monotone in the value, so that only the bucket at the edge has to be sorted.
struct Buckets {
  std::vector<uint16_t> of;     // [n], empty when nothing is left out
  int64_t edge = 0;             // buckets before are left out, those behind kept
  std::vector<int32_t> border;  // records of the edge bucket; the first `gone` are left out
  int64_t gone = 0;
};

Buckets find_edge(std::span<const double> scores, Extent whole, const ScoreStrataOptions& options) {
  Buckets out;
  const double scale = static_cast<double>(kBuckets - 1) / (whole.high / 2 - whole.low / 2);  // halved: the range may overflow
  const bool flat = !std::isfinite(scale);
  const uint32_t turn = options.from_high ? kBuckets - 1 : 0;
  std::vector<int64_t> counts(kBuckets, 0);
  out.of.resize(scores.size());
  for (size_t i = 0; i < scores.size(); ++i) {
    const int32_t place = flat ? 0 : static_cast<int32_t>((scores[i] / 2 - whole.low / 2) * scale);
    const uint32_t bucket = static_cast<uint32_t>(std::min(place, static_cast<int32_t>(kBuckets - 1))) ^ turn;
    out.of[i] = static_cast<uint16_t>(bucket);
    ++counts[bucket];
  }
  int64_t before = 0;
  while (before + counts[static_cast<size_t>(out.edge)] <= options.removed) before += counts[static_cast<size_t>(out.edge++)];
  for (size_t i = 0; i < scores.size(); ++i) {
    if (out.of[i] == out.edge) out.border.push_back(static_cast<int32_t>(i));
  }
  out.gone = options.removed - before;
  std::nth_element(out.border.begin(), out.border.begin() + out.gone, out.border.end(), [&](int32_t a, int32_t b) {
    const double x = scores[static_cast<size_t>(a)], y = scores[static_cast<size_t>(b)];
    return x == y ? a < b : (options.from_high ? x > y : x < y);
  });
  return out;
}

// Of the records that stay. The edge bucket keeps at least one, which is beyond all later buckets on the side that was cut.
Extent kept_extent(std::span<const double> scores, Extent whole, const Buckets& buckets, const ScoreStrataOptions& options) {
  Extent border;
  for (size_t b = static_cast<size_t>(buckets.gone); b < buckets.border.size(); ++b) border.add(scores[static_cast<size_t>(buckets.border[b])]);
  const bool only = static_cast<int64_t>(buckets.border.size()) - buckets.gone == static_cast<int64_t>(scores.size()) - options.removed;
  if (only) return border;
  if (options.from_high) return {whole.low, border.high};
  return {border.low, whole.high};
}

}  // namespace

Status score_strata(std::span<const double> scores, const ScoreStrataOptions& options, std::span<int32_t> members,
                    std::span<int32_t> labels, std::vector<int32_t>* ends) {
  const int64_t n = static_cast<int64_t>(scores.size());
  if (n > std::numeric_limits<int32_t>::max() || options.removed < 0 || options.removed >= n || options.count < 1 ||
      static_cast<int64_t>(members.size()) != n - options.removed || labels.size() != scores.size()) {
    return failure(Code::invalid_argument, "Expected fewer records to leave out than the %lld scores, but received %lld.",
                   static_cast<long long>(n), static_cast<long long>(options.removed));
  }
  Extent kept;
  if (!finite_extent(scores, &kept)) {
    const auto bad = std::find_if(scores.begin(), scores.end(), [](double score) { return !std::isfinite(score); });
    return failure(Code::non_finite, "Expected a finite score for every record but record %lld has %g.",
                   static_cast<long long>(bad - scores.begin()), *bad);
  }
  Buckets buckets;
  if (options.removed > 0) {
    buckets = find_edge(scores, kept, options);
    kept = kept_extent(scores, kept, buckets, options);
  }
  const int32_t count = kept.low == kept.high ? 1 : static_cast<int32_t>(options.count);
  const double span = kept.high / 2 - kept.low / 2;
  const auto stratum_of = [&](size_t i) {
    if (count == 1) return 0;
    const double place = (scores[i] / 2 - kept.low / 2) / span * static_cast<double>(count);
    return std::min(count - 1, static_cast<int32_t>(place));
  };
  std::vector<int32_t> next(static_cast<size_t>(count) + 1, 0);  // next[0] counts what is left out until it becomes the first place
  const auto set = [&](size_t i, int32_t label) {
    labels[i] = label;
    ++next[static_cast<size_t>(label + 1)];
  };
  if (buckets.of.empty()) {
    for (size_t i = 0; i < scores.size(); ++i) set(i, stratum_of(i));
  } else {
    for (size_t i = 0; i < scores.size(); ++i) set(i, buckets.of[i] > buckets.edge ? stratum_of(i) : -1);
    for (size_t b = static_cast<size_t>(buckets.gone); b < buckets.border.size(); ++b) {
      const size_t i = static_cast<size_t>(buckets.border[b]);
      set(i, stratum_of(i));
    }
  }
  next[0] = 0;
  for (size_t s = 1; s < next.size(); ++s) next[s] += next[s - 1];
  *ends = next;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] >= 0) members[static_cast<size_t>(next[static_cast<size_t>(labels[i])]++)] = static_cast<int32_t>(i);
  }
  return {};
}

Status draw_within(RandomStream stream, std::span<int32_t> members, std::span<const int32_t> ends, std::span<const int32_t> quotas,
                   std::vector<int32_t>* out) {
  bool fits = ends.size() == quotas.size() + 1 && !ends.empty() && ends.front() == 0 && ends.back() == static_cast<int64_t>(members.size());
  for (size_t s = 0; fits && s < quotas.size(); ++s) fits = ends[s] <= ends[s + 1] && quotas[s] >= 0 && quotas[s] <= ends[s + 1] - ends[s];
  if (!fits) return failure(Code::invalid_argument, "Expected quotas that the strata can fill.");
  out->clear();
  for (size_t s = 0; s < quotas.size(); ++s) {
    int32_t* const values = members.data() + ends[s];
    // Draws run ahead of their swaps, so that the places to be swapped are on their way from memory.
    constexpr int64_t kAhead = 64;
    uint32_t places[kAhead];
    for (int64_t i = ends[s + 1] - ends[s] - 1; i > 0;) {
      const int64_t batch = std::min(kAhead, i);
      for (int64_t b = 0; b < batch; ++b) {
        places[b] = stream.below(static_cast<uint32_t>(i - b + 1));
        __builtin_prefetch(values + places[b], 1);
      }
      for (int64_t b = 0; b < batch; ++b) std::swap(values[i - b], values[places[b]]);
      i -= batch;
    }
    out->insert(out->end(), values, values + quotas[s]);
  }
  return {};
}

}  // namespace mendset
