#include "select/ccs.h"

#include <algorithm>
#include <limits>

#include "select/water_fill.h"

namespace mendset {

namespace {

constexpr int64_t kMostCounts = int64_t{1} << 22;  // blocks x classes
constexpr double kStages = 8;

}  // namespace

void sample_in_place(RandomStream stream, std::span<int32_t> values, int64_t count) {
  // Draws run ahead of their swaps, so that the places to be swapped are on their way from memory.
  constexpr int64_t kAhead = 64;
  uint32_t places[kAhead];
  const int64_t size = static_cast<int64_t>(values.size());
  for (int64_t i = 0; i < count;) {
    const int64_t batch = std::min(kAhead, count - i);
    for (int64_t b = 0; b < batch; ++b) {
      places[b] = static_cast<uint32_t>(i + b) + stream.below(static_cast<uint32_t>(size - i - b));
      __builtin_prefetch(values.data() + places[b], 1);
    }
    for (int64_t b = 0; b < batch; ++b) std::swap(values[static_cast<size_t>(i + b)], values[places[b]]);
    i += batch;
  }
}

Status Ccs::create(std::span<const double> scores, const CcsOptions& options, std::span<int32_t> labels, std::unique_ptr<Ccs>* out) {
  if (scores.empty() || scores.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max()) || labels.size() != scores.size() || options.budget < 0 ||
      !(options.beta >= 0 && options.beta <= 1) || options.strata < 1) {
    return failure(Code::invalid_argument, "Expected at least one score, a beta from 0 to 1 and at least one stratum but received %zu scores, beta %g and %lld strata.",
                   scores.size(), options.beta, static_cast<long long>(options.strata));
  }
  out->reset(new Ccs(scores, options, labels));
  return {};
}

Ccs::Ccs(std::span<const double> scores, const CcsOptions& options, std::span<int32_t> labels)
    : scores_(scores), options_(options), labels_(labels), pool_(options.threads > 0 ? options.threads : ThreadPool::default_threads()), cut_(scores, options.hard_high, pool_) {
  enter(&Ccs::scan);
}

Progress Ccs::progress() const { return {ended() ? kStages : done_, kStages, ended()}; }

Status Ccs::scan() {
  cut_.scan();
  done_ = 1;
  result_.finite = cut_.finite();
  if (!options_.drop_bad) result_.first_bad = cut_.first_bad();
  if (result_.first_bad >= 0 || result_.finite < options_.budget || result_.finite == 0) {
    end();
    return {};
  }
  const double finite = static_cast<double>(result_.finite);
  result_.removed = std::min(static_cast<int64_t>(options_.beta * finite + 1e-9), result_.finite - std::max<int64_t>(options_.budget, 1));
  low_ = cut_.low();
  high_ = cut_.high();
  if (result_.removed == 0) {
    enter(&Ccs::label);
  } else {
    cut_.seek(result_.removed);
    enter(&Ccs::refine);
  }
  return {};
}

Status Ccs::refine() {
  const bool found = cut_.refine();
  ++done_;
  if (!found) return {};
  // The first record that stays is the extreme of the rest.
  (options_.hard_high ? high_ : low_) = score_of(cut_.key(), options_.hard_high);
  enter(cut_.ties() > 0 ? &Ccs::find_ties : &Ccs::label);
  return {};
}

// Of the records equal to the cut the lowest indices go.
Status Ccs::find_ties() {
  int64_t left = cut_.ties();
  const double score = score_of(cut_.key(), options_.hard_high);
  for (size_t i = 0; left > 0; ++i) {
    if (scores_[i] != score) continue;
    --left;
    last_tie_ = static_cast<int64_t>(i);
  }
  enter(&Ccs::label);
  return {};
}

Status Ccs::label() {
  const int64_t n = static_cast<int64_t>(scores_.size());
  const int32_t strata = low_ == high_ ? 1 : static_cast<int32_t>(options_.strata);
  classes_ = static_cast<size_t>(strata) + 1;
  blocks_ = std::clamp<int64_t>(kMostCounts / static_cast<int64_t>(classes_), 1, (n + ScoreCut::kBlock - 1) / ScoreCut::kBlock);
  block_ = (n + blocks_ - 1) / blocks_;
  counts_.assign(static_cast<size_t>(blocks_) * classes_, 0);
  const double half_low = low_ / 2, span = high_ / 2 - low_ / 2, count = static_cast<double>(strata);  // halved: the range may overflow
  const bool all = result_.removed == 0;
  pool_.run(blocks_, [&](int64_t block, int) {
    int32_t* const counts = counts_.data() + static_cast<size_t>(block) * classes_;
    const int64_t end = std::min(n, (block + 1) * block_);
    for (int64_t i = block * block_; i < end; ++i) {
      const double score = scores_[static_cast<size_t>(i)];
      const bool within = score >= low_ && score <= high_;  // neither NaN nor beyond the cut
      const bool kept = within && (all || i > last_tie_ || score_key(score, options_.hard_high) != cut_.key());
      const double place = strata == 1 || !kept ? 0 : (score / 2 - half_low) / span * count;
      const int32_t stratum = kept ? std::min(strata - 1, static_cast<int32_t>(place)) : -1;
      labels_[static_cast<size_t>(i)] = stratum;
      ++counts[stratum + 1];
    }
  });
  done_ = 5;
  enter(&Ccs::place);
  return {};
}

// Members by stratum, ascending inside: every block knows where its own begin.
Status Ccs::place() {
  const int64_t n = static_cast<int64_t>(scores_.size());
  ends_.assign(1, 0);
  int32_t next = 0;
  for (size_t c = 1; c < classes_; ++c) {
    for (size_t block = 0; block < static_cast<size_t>(blocks_); ++block) {
      int32_t& entry = counts_[block * classes_ + c];
      const int32_t here = entry;
      entry = next;
      next += here;
    }
    ends_.push_back(next);
  }
  members_ = std::make_unique_for_overwrite<int32_t[]>(static_cast<size_t>(next));
  pool_.run(blocks_, [&](int64_t block, int) {
    int32_t* const places = counts_.data() + static_cast<size_t>(block) * classes_;
    int32_t* const members = members_.get();
    int32_t left_out = 0;
    const int64_t end = std::min(n, (block + 1) * block_);
    for (int64_t i = block * block_; i < end; ++i) {
      const int32_t stratum = labels_[static_cast<size_t>(i)];
      int32_t* const to = stratum < 0 ? &left_out : members + places[stratum + 1];
      *to = static_cast<int32_t>(i);
      ++places[stratum + 1];
    }
  });
  done_ = 6;
  enter(&Ccs::draw);
  return {};
}

Status Ccs::draw() {
  std::vector<int32_t> sizes;
  for (size_t s = 1; s < ends_.size(); ++s) sizes.push_back(ends_[s] - ends_[s - 1]);
  result_.quotas = water_fill(options_.budget, sizes);
  std::vector<size_t> first(1, 0);
  for (int32_t quota : result_.quotas) first.push_back(first.back() + static_cast<size_t>(quota));
  result_.indices.resize(first.back());
  pool_.run(static_cast<int64_t>(sizes.size()), [&](int64_t stratum, int) {
    const size_t s = static_cast<size_t>(stratum);
    const std::span<int32_t> members(members_.get() + ends_[s], static_cast<size_t>(sizes[s]));
    sample_in_place(RandomStream(options_.seed, static_cast<uint32_t>(StreamId::ccs), static_cast<uint32_t>(s)), members, result_.quotas[s]);
    std::copy_n(members.begin(), result_.quotas[s], result_.indices.begin() + static_cast<ptrdiff_t>(first[s]));
  });
  members_.reset();
  end();
  return {};
}

}  // namespace mendset
