// Coverage-centric selection (Zheng et al., ICLR 2023) on scores: without the hardest, evenly over equal-width strata of the rest.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <span>
#include <vector>

#include "core/random.h"
#include "core/staged_task.h"
#include "core/thread_pool.h"
#include "select/score_cut.h"

namespace mendset {

struct CcsOptions {
  int64_t budget = 0;
  double beta = 0;         // share of the finite scores that goes first, floor(beta n + 1e-9); fewer where less than the budget would remain
  bool hard_high = true;   // the end that goes
  int64_t strata = 50;     // over [min, max] of the rest, half-open, the last one closed; one where all are equal
  bool drop_bad = false;   // leave out scores that are not finite, instead of stopping at the first
  uint64_t seed = 0;       // draws of stratum s: stream 4, sub s
  int threads = 0;
};

struct CcsResult {
  int64_t first_bad = -1;  // the score that stopped it; nothing else is then filled in
  int64_t finite = 0;      // fewer than the budget stop it as well
  int64_t removed = 0;
  std::vector<int32_t> quotas;   // per stratum
  std::vector<int32_t> indices;  // strata ascending, then the order of drawing
};

// Entries of `values` in the order of drawing without replacement: for i = 0 .. count-1 entry i is swapped with i + below(size - i).
void sample_in_place(RandomStream stream, std::span<int32_t> values, int64_t count);

class Ccs final : public StagedTask {
 public:
  // labels [n]: the stratum of every record, -1 where it was left out. Borrowed, like the scores.
  static Status create(std::span<const double> scores, const CcsOptions& options, std::span<int32_t> labels, std::unique_ptr<Ccs>* out);

  Progress progress() const override;
  const CcsResult& result() const { return result_; }
  CcsResult take_result() { return std::move(result_); }

 private:
  Ccs(std::span<const double> scores, const CcsOptions& options, std::span<int32_t> labels);
  Status scan();
  Status refine();
  Status find_ties();
  Status label();
  Status place();
  Status draw();

  std::span<const double> scores_;
  CcsOptions options_;
  std::span<int32_t> labels_;
  ThreadPool pool_;
  ScoreCut cut_;
  CcsResult result_;
  double done_ = 0;
  int64_t last_tie_ = -1;  // records equal to the cut up to this one are left out
  double low_ = 0, high_ = 0;
  int64_t block_ = 0, blocks_ = 0;  // records of a task
  size_t classes_ = 0;              // strata and, first, what is left out
  std::vector<int32_t> counts_;     // [blocks][classes]: of a block; then the places in members_ where its records go
  std::vector<int32_t> ends_;       // [strata + 1] places in members_
  std::unique_ptr<int32_t[]> members_;
};

}  // namespace mendset
