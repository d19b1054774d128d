// Bounds of rows to centroids, whole vectors of rows at once: see ms_nearest_bounded_args.
namespace mendset::cpu::MENDSET_ISA {
namespace selection {

using gemm::kColumns;

// Away from zero for positive, towards it for negative numbers: at least `value`, which is not infinite.
MS_INLINE float at_least(double value) { return static_cast<float>(value + (std::abs(value) * 0x1p-23 + 0x1p-148)); }
MS_INLINE float at_most(double value) { return static_cast<float>(value - (std::abs(value) * 0x1p-23 + 0x1p-148)); }

static void bound_two(const TwoNearest& two, int64_t rows, uint8_t* close) {
  constexpr double kWider = 1 + 1e-9, kNarrower = 1 - 1e-9;
  const double longest = two.longest, gamma = two.gamma, fp64_error = two.fp64_error, rounding = two.rounding, underflow = two.underflow, all_moved = two.all_moved;
  const float *const best = two.best, *const second = two.second;
  const double* const squares = two.squares;
  alignas(64) double moved[kColumns] = {};
  alignas(64) float uppers[kColumns], lowers[kColumns], gaps[kColumns];
  alignas(64) int32_t near[kColumns];
  for (int64_t w = 0; w < rows; ++w) moved[w] = two.moved[two.label[w]];
  for (int w = 0; w < kColumns; ++w) {  // a whole panel: what lies beyond `rows` is not used
    const double square = squares[w], length = std::sqrt(square), both = longest + length;
    const double e = (gamma * longest * (both + length) + (fp64_error * both + rounding) * both + underflow) * kWider;
    const double v = static_cast<double>(best[w]), next = static_cast<double>(second[w]);
    near[w] = next <= v + 2 * e;
    const double own = v + square + e, other = next + square - e;
    const double upper = std::sqrt(own > 0 ? own : 0.0) * kWider;
    const float lower = at_most(std::sqrt(other > 0 ? other : 0.0) * kNarrower + all_moved);
    uppers[w] = at_least(upper - moved[w]);
    lowers[w] = lower;
    const double nearest = static_cast<double>(lower) - all_moved;
    const double margin = 2 * e / (std::sqrt(upper * upper + 2 * e) + upper + 1e-300);
    const double gap = static_cast<double>(lower) - (upper - moved[w]) - margin;
    const float kept = at_most(gap - 1e-8 * (std::abs(nearest) + all_moved + upper + moved[w]));
    gaps[w] = nearest > 0 ? kept : -std::numeric_limits<float>::infinity();
  }
  for (int64_t w = 0; w < rows; ++w) {
    close[w] = near[w] != 0;
    two.upper[w] = uppers[w];
    two.lower[w] = lowers[w];
    two.gap[w] = gaps[w];
  }
}

// Bit w: the label of row first + w may change, for `used` (at most kLanes) rows. The factors cover the rounding of what they multiply.
// places: w most_running, of rows that exist.
MS_INLINE uint32_t open_lanes(const BoundLimits& limits, int64_t first, const int32_t* labels, const int32_t* places, int64_t used) {
  const Vec wider = set1(1 + 0x1p-21f);
  const uint32_t all = static_cast<uint32_t>((uint64_t{1} << used) - 1);
  const auto part = [used](const float* values) { return used == kLanes ? load(values) : load_partial(values, used); };
  uint32_t open = ~bits(less(lookup(limits.still, limits.k, labels), part(limits.gap + first))) & all;
  if (limits.running == 0 || open == all) return open;
  const Vec upper = (part(limits.upper + first) + lookup(limits.moved, limits.k, labels)) * wider;
  // The smallest normal number covers what squares below it lose.
  const Vec reach = max(sqrt(upper * upper + set1(limits.error + 0x1p-126f)), upper) * wider, beyond = (upper + reach) * wider;
  for (int64_t q = 0; q < limits.running; ++q) {
    const Vec lower = lookup(limits.runner_lower + first * limits.most_running + q, used * limits.most_running - q, places);
    const uint32_t far = bits(less(reach, lower - set1(limits.runner_moved[q]))) | bits(less(beyond, lookup(limits.apart + q * limits.k, limits.k, labels)));
    open |= ~far & all;
  }
  return open;
}

static int64_t unsettled(const BoundLimits& limits, int64_t first, int64_t last, int32_t* rows) {
  int64_t count = 0;
  const auto append = [&](int64_t row, uint32_t open) {
    for (; open != 0; open &= open - 1) rows[count++] = static_cast<int32_t>(row + __builtin_ctz(open));
  };
  int32_t labels[kLanes] = {}, places[kLanes];
  for (int32_t w = 0; w < kLanes; ++w) places[w] = w * static_cast<int32_t>(limits.most_running);
  int64_t i = first;
  for (; i + kLanes <= last; i += kLanes) append(i, open_lanes(limits, i, limits.labels + i, places, kLanes));
  if (i < last) {
    std::copy(limits.labels + i, limits.labels + last, labels);
    for (int64_t w = last - i; w < kLanes; ++w) places[w] = 0;
    append(i, open_lanes(limits, i, labels, places, last - i));
  }
  return count;
}

}  // namespace selection
}  // namespace mendset::cpu::MENDSET_ISA
