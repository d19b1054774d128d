#include "select/top_scores.h"

#include <algorithm>
#include <limits>

namespace mendset {

namespace {

constexpr double kStages = 5;

}  // namespace

Status TopScores::create(std::span<const double> scores, const TopScoresOptions& options, std::unique_ptr<TopScores>* out) {
  if (scores.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max()) || options.count < 0)
    return failure(Code::invalid_argument, "Expected at most 2147483647 scores and a count of at least 0 but received %zu and %lld.", scores.size(), static_cast<long long>(options.count));
  out->reset(new TopScores(scores, options));
  return {};
}

TopScores::TopScores(std::span<const double> scores, const TopScoresOptions& options)
    : scores_(scores), options_(options), pool_(options.threads > 0 ? options.threads : ThreadPool::default_threads()), cut_(scores, options.from_high, pool_) {
  enter(&TopScores::scan);
}

Progress TopScores::progress() const { return {ended() ? kStages : done_, kStages, ended()}; }

Status TopScores::scan() {
  cut_.scan();
  done_ = 1;
  result_.finite = cut_.finite();
  if (!options_.drop_bad) result_.first_bad = cut_.first_bad();
  options_.count = result_.first_bad >= 0 ? 0 : std::min(options_.count, result_.finite);
  if (options_.count == 0) {
    end();
  } else if (options_.count == result_.finite) {
    enter(&TopScores::collect);
  } else {
    cut_.seek(options_.count);
    enter(&TopScores::refine);
  }
  return {};
}

Status TopScores::refine() {
  ++done_;
  if (cut_.refine()) enter(&TopScores::collect);
  return {};
}

Status TopScores::collect() {
  struct Entry {
    uint64_t key;
    int32_t index;
    bool operator<(const Entry& other) const { return key != other.key ? key < other.key : index < other.index; }
  };
  const bool all = options_.count == result_.finite;
  int64_t ties = cut_.ties();
  std::vector<Entry> entries;
  entries.reserve(static_cast<size_t>(options_.count));
  for (size_t i = 0; i < scores_.size(); ++i) {
    if (!is_finite_score(scores_[i])) continue;
    const uint64_t key = score_key(scores_[i], options_.from_high);
    if (all || key < cut_.key() || (key == cut_.key() && ties-- > 0)) entries.push_back({key, static_cast<int32_t>(i)});
  }
  // Parts sorted side by side, then merged in pairs: the order is total, so the number of parts changes nothing.
  const int64_t parts = std::min<int64_t>(pool_.threads(), std::max<int64_t>(1, options_.count / 4096));
  const auto end_of = [&](int64_t part) { return entries.begin() + options_.count * part / parts; };
  pool_.run(parts, [&](int64_t part, int) { std::sort(end_of(part), end_of(part + 1)); });
  for (int64_t width = 1; width < parts; width *= 2) {
    pool_.run((parts + 2 * width - 1) / (2 * width), [&](int64_t pair, int) {
      const int64_t first = 2 * width * pair;
      std::inplace_merge(end_of(first), end_of(std::min(parts, first + width)), end_of(std::min(parts, first + 2 * width)));
    });
  }
  result_.indices.reserve(entries.size());
  for (const Entry& entry : entries) result_.indices.push_back(entry.index);
  end();
  return {};
}

}  // namespace mendset
