// Where the first so many scores by (value, lowest index) from one end stop: radix selection by 16 bits a pass, so that neither memory nor
// time depends on how the scores are distributed. Scores that are not finite are passed over.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include "core/thread_pool.h"

namespace mendset {

// Ascending from the end that goes first; -0 equals 0.
inline uint64_t score_key(double score, bool from_high) {
  const uint64_t bits = std::bit_cast<uint64_t>(score + 0.0);
  const uint64_t ascending = (bits >> 63) != 0 ? ~bits : bits | (uint64_t{1} << 63);
  return from_high ? ~ascending : ascending;
}
inline double score_of(uint64_t key, bool from_high) {
  const uint64_t ascending = from_high ? ~key : key;
  return std::bit_cast<double>((ascending >> 63) != 0 ? ascending & ~(uint64_t{1} << 63) : ~ascending);
}
inline bool is_finite_score(double score) { return (std::bit_cast<uint64_t>(score) & 0x7ff0000000000000) != 0x7ff0000000000000; }

class ScoreCut {
 public:
  // Borrowed; at most 2^31 - 1 scores.
  ScoreCut(std::span<const double> scores, bool from_high, ThreadPool& pool) : scores_(scores), from_high_(from_high), pool_(pool) {}

  static constexpr int64_t kBlock = int64_t{1} << 16;  // scores of one task

  // The first pass: how many are finite, their extent, the first that is not (-1: none).
  void scan();
  int64_t finite() const { return finite_; }
  int64_t first_bad() const { return first_bad_; }
  double low() const { return low_; }
  double high() const { return high_; }

  // The cut behind the first `count` finite ones, 0 <= count < finite(): seek, then refine until it says true. Three passes follow the first.
  void seek(int64_t count);
  bool refine();
  // Beyond the cut are the finite scores with a key below key(), and the first ties() of those equal to it. At least one equal one is not.
  uint64_t key() const { return key_; }
  int64_t ties() const { return rank_; }

 private:
  void histogram(int level);
  void enter_bucket();

  std::span<const double> scores_;
  const bool from_high_;
  ThreadPool& pool_;
  int64_t finite_ = 0, first_bad_ = -1;
  double low_ = 0, high_ = 0;
  std::vector<uint32_t> counts_;  // [threads][buckets], then the sums in the first
  int level_ = 0;                 // of 16 bits that key_ holds
  uint64_t key_ = 0;
  int64_t rank_ = 0;
};

}  // namespace mendset
