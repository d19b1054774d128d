#include "select/top_scores.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace mendset {

namespace {

constexpr double kStages = 12;
constexpr int64_t kRead = int64_t{1} << 20;  // scores of a chunk
constexpr int kDigitBits = 11;
constexpr size_t kDigits = size_t{1} << kDigitBits;
constexpr int64_t kFewest = 4096;  // entries that comparisons order faster than six passes

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
  const Chunk chunk = next_chunk(static_cast<int64_t>(scores_.size()), kRead);
  if (chunk.first == 0) {
    entries_.reserve(static_cast<size_t>(options_.count));
    ties_ = cut_.ties();
  }
  const bool all = options_.count == result_.finite;
  for (int64_t i = chunk.first; i < chunk.last; ++i) {
    const double score = scores_[static_cast<size_t>(i)];
    if (!is_finite_score(score)) continue;
    const uint64_t key = score_key(score, options_.from_high);
    if (all || key < cut_.key() || (key == cut_.key() && ties_-- > 0)) entries_.push_back({key, static_cast<int32_t>(i)});
  }
  if (!chunk.final) return {};
  ++done_;
  if (options_.count >= kFewest) {
    sorted_.resize(entries_.size());
    enter(&TopScores::order_by_digit);
    return {};
  }
  std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) { return a.key != b.key ? a.key < b.key : a.index < b.index; });
  enter(&TopScores::take);
  return {};
}

// The least significant digit first, and stable: entries begin by ascending index, which so settles ties.
Status TopScores::order_by_digit() {
  const int64_t parts = std::clamp<int64_t>(options_.count / 16384, 1, 64), part = (options_.count + parts - 1) / parts;
  const auto digit_of = [shift = digit_ * kDigitBits](const Entry& entry) { return (entry.key >> shift) & (kDigits - 1); };
  counts_.assign(static_cast<size_t>(parts) * kDigits, 0);
  pool_.run(parts, [&](int64_t p, int) {
    uint32_t* const counts = counts_.data() + static_cast<size_t>(p) * kDigits;
    for (int64_t i = p * part, last = std::min(options_.count, i + part); i < last; ++i) ++counts[digit_of(entries_[static_cast<size_t>(i)])];
  });
  uint32_t next = 0;
  for (size_t digit = 0; digit < kDigits; ++digit) {
    for (size_t p = 0; p < static_cast<size_t>(parts); ++p) next += std::exchange(counts_[p * kDigits + digit], next);
  }
  pool_.run(parts, [&](int64_t p, int) {
    uint32_t* const places = counts_.data() + static_cast<size_t>(p) * kDigits;
    for (int64_t i = p * part, last = std::min(options_.count, i + part); i < last; ++i) {
      const Entry entry = entries_[static_cast<size_t>(i)];
      sorted_[places[digit_of(entry)]++] = entry;
    }
  });
  entries_.swap(sorted_);
  ++digit_;
  ++done_;
  if (digit_ * kDigitBits >= 64) enter(&TopScores::take);
  return {};
}

Status TopScores::take() {
  sorted_ = {};
  result_.indices.reserve(entries_.size());
  for (const Entry& entry : entries_) result_.indices.push_back(entry.index);
  entries_ = {};
  end();
  return {};
}

}  // namespace mendset
