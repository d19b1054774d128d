// The best so many scores by (value, lowest index) from one end.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <span>
#include <vector>

#include "core/staged_task.h"
#include "core/thread_pool.h"
#include "select/score_cut.h"

namespace mendset {

struct TopScoresOptions {
  int64_t count = 0;
  bool from_high = true;
  bool drop_bad = false;  // pass over scores that are not finite, instead of stopping at the first
  int threads = 0;
};

struct TopScoresResult {
  int64_t first_bad = -1;  // the score that stopped it; there are then no indices
  int64_t finite = 0;
  std::vector<int32_t> indices;  // min(count, finite) of them
};

class TopScores final : public StagedTask {
 public:
  // The scores are borrowed.
  static Status create(std::span<const double> scores, const TopScoresOptions& options, std::unique_ptr<TopScores>* out);

  Progress progress() const override;
  const TopScoresResult& result() const { return result_; }
  TopScoresResult take_result() { return std::move(result_); }

 private:
  TopScores(std::span<const double> scores, const TopScoresOptions& options);
  Status scan();
  Status refine();
  Status collect();
  Status order_by_digit();
  Status take();

  struct Entry {
    uint64_t key;
    int32_t index;
  };
  std::span<const double> scores_;
  TopScoresOptions options_;
  ThreadPool pool_;
  ScoreCut cut_;
  int64_t ties_ = 0;                       // of those equal to the cut, still to be taken
  std::vector<Entry> entries_, sorted_;    // the chosen, and where a pass over them writes
  std::vector<uint32_t> counts_;           // [parts][digits]
  int digit_ = 0;
  TopScoresResult result_;
  double done_ = 0;
};

}  // namespace mendset
