#include "select/score_cut.h"

#include <algorithm>
#include <limits>

namespace mendset {

namespace {

constexpr int kBits = 16, kLevels = 64 / kBits;
constexpr size_t kBuckets = size_t{1} << kBits;

}  // namespace

void ScoreCut::scan() {
  struct Part {
    int64_t finite = 0, first_bad = -1;
    double low = std::numeric_limits<double>::infinity(), high = -std::numeric_limits<double>::infinity();
  };
  const int64_t n = static_cast<int64_t>(scores_.size()), blocks = (n + kBlock - 1) / kBlock;
  std::vector<Part> parts(static_cast<size_t>(blocks));
  counts_.assign(kBuckets * static_cast<size_t>(pool_.threads()), 0);
  pool_.run(blocks, [&](int64_t block, int worker) {
    uint32_t* const counts = counts_.data() + kBuckets * static_cast<size_t>(worker);
    Part& part = parts[static_cast<size_t>(block)];
    const int64_t first = block * kBlock, end = std::min(n, first + kBlock);
    double low[2] = {part.low, part.low}, high[2] = {part.high, part.high};  // two chains, for one would wait for itself
    for (int64_t i = first; i < end; ++i) {
      const double score = scores_[static_cast<size_t>(i)];
      if (!is_finite_score(score)) {
        if (part.first_bad < 0) part.first_bad = i;
        continue;
      }
      ++part.finite;
      low[i & 1] = std::min(low[i & 1], score);
      high[i & 1] = std::max(high[i & 1], score);
      ++counts[score_key(score, from_high_) >> (64 - kBits)];
    }
    part.low = std::min(low[0], low[1]);
    part.high = std::max(high[0], high[1]);
  });
  low_ = std::numeric_limits<double>::infinity();
  high_ = -low_;
  for (const Part& part : parts) {
    finite_ += part.finite;
    if (first_bad_ < 0) first_bad_ = part.first_bad;
    low_ = std::min(low_, part.low);
    high_ = std::max(high_, part.high);
  }
}

void ScoreCut::histogram(int level) {
  const int64_t n = static_cast<int64_t>(scores_.size()), blocks = (n + kBlock - 1) / kBlock;
  const int known = 64 - kBits * level, shift = known - kBits;
  std::fill(counts_.begin(), counts_.end(), 0);
  pool_.run(blocks, [&](int64_t block, int worker) {
    uint32_t* const counts = counts_.data() + kBuckets * static_cast<size_t>(worker);
    const int64_t end = std::min(n, (block + 1) * kBlock);
    for (int64_t i = block * kBlock; i < end; ++i) {
      const double score = scores_[static_cast<size_t>(i)];
      const uint64_t key = score_key(score, from_high_);
      if ((key >> known) == key_ && is_finite_score(score)) ++counts[(key >> shift) & (kBuckets - 1)];
    }
  });
}

void ScoreCut::enter_bucket() {
  for (size_t worker = 1; worker < counts_.size() / kBuckets; ++worker) {
    for (size_t b = 0; b < kBuckets; ++b) counts_[b] += counts_[worker * kBuckets + b];
  }
  size_t bucket = 0;
  while (rank_ >= counts_[bucket]) rank_ -= counts_[bucket++];
  key_ = key_ << kBits | bucket;
  ++level_;
}

void ScoreCut::seek(int64_t count) {
  rank_ = count;
  enter_bucket();
}

bool ScoreCut::refine() {
  histogram(level_);
  enter_bucket();
  return level_ == kLevels;
}

}  // namespace mendset
