// Equal-width strata of a score without its most extreme records, and draws from every stratum.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/random.h"
#include "core/status.h"

namespace mendset {

struct ScoreStrataOptions {
  int64_t removed = 0;       // left out: the first so many by (value, lowest index) from one end
  bool from_high = true;     // that end
  int64_t count = 50;        // strata over [min, max] of the rest, half-open, the last one closed; one where all are equal
};

// members [n - removed]: by stratum, ascending inside. labels [n]: stratum, -1 where left out. ends: strata + 1 places in members.
// A score that is not finite is refused with its record (non_finite).
Status score_strata(std::span<const double> scores, const ScoreStrataOptions& options, std::span<int32_t> members,
                    std::span<int32_t> labels, std::vector<int32_t>* ends);

// Shuffles every stratum in place as RandomStream.shuffle does, one stream for all, and takes the first quotas[s] of each.
Status draw_within(RandomStream stream, std::span<int32_t> members, std::span<const int32_t> ends, std::span<const int32_t> quotas,
                   std::vector<int32_t>* out);

}  // namespace mendset
