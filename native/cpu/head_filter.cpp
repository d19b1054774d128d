#include "cpu/head_filter.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "cpu/centre_products.h"
#include "cpu/kernels.h"

namespace mendset::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr double kInfinity64 = std::numeric_limits<double>::infinity();

}  // namespace

HeadFilter::HeadFilter(Context& context, const ms_nearest_bounded_args& args, const RowBounds& bounds, ScratchPlan* plan)
    : gemm_(context.kernels.gemm), selection_(context.kernels.selection), args_(args), bounds_(bounds), depth_(args.r + 1), centre_panels_(blocks_of(args.k, gemm_.rows)),
      underflow_(static_cast<double>(4 * args.d + 64) * 0x1p-149) {
  if (args.r == 0) return;
  const int64_t threads = context.pool.threads();
  heads_at_ = plan->add<float>(centre_panels_ * gemm_.rows * depth_);
  gathered_at_ = plan->add<float>(gemm_.columns * depth_ * threads);
  panel_at_ = plan->add<float>(gemm_.columns * depth_ * threads);
  tiles_at_ = plan->add<float>(centre_panels_ * gemm_.rows * gemm_.columns * threads);
  lists_at_ = plan->add<int32_t>(gemm_.columns * args.k * threads);
  values_at_ = plan->add<float>(args.k * threads);
}

void HeadFilter::place(std::byte* scratch) {
  scratch_ = scratch;
  if (args_.r == 0) return;
  auto* const heads = own<float>(0, heads_at_, 0);
  for (int64_t panel = 0; panel < centre_panels_; ++panel) {
    const int64_t first = panel * gemm_.rows;
    gemm_.pack(heads + first * depth_, gemm_.rows, args_.c_heads + first * depth_, depth_, true, std::min(gemm_.rows, args_.k - first), depth_, MS_ACTIVATION_NONE);
  }
}

// What the filter's value may lack to be a lower bound of the squared distance (performance.md 2.4, source 4).
double HeadFilter::slack(double spread) const {
  const double length = 1.001 * std::sqrt(spread), radius = 1.001 * args_.c_spread, h = args_.head_error;
  return (gamma(depth_ + 4) * radius * (radius + 2 * length) + 2 * (2 * h + h * h) * length * radius + underflow_) * kWider;
}

int64_t HeadFilter::panel(const int32_t* rows, int64_t used, int worker) const {
  auto* const gathered = own<float>(worker, gathered_at_, gemm_.columns * depth_);
  auto* const packed = own<float>(worker, panel_at_, gemm_.columns * depth_);
  auto* const tiles = own<float>(worker, tiles_at_, centre_panels_ * gemm_.rows * gemm_.columns);
  auto* const lists = own<int32_t>(worker, lists_at_, gemm_.columns * args_.k);
  auto* const values = own<float>(worker, values_at_, args_.k);
  const auto* const heads = own<float>(0, heads_at_, 0);
  const int64_t tile = gemm_.rows * gemm_.columns;
  for (int64_t w = 0; w < used; ++w) std::copy_n(args_.heads + rows[w] * depth_, depth_, gathered + w * depth_);
  gemm_.pack(packed, gemm_.columns, gathered, depth_, true, used, depth_, MS_ACTIVATION_NONE);

  alignas(64) float least[kMostColumns], next[kMostColumns], limits[kMostColumns];
  alignas(64) int32_t least_label[kMostColumns], next_label[kMostColumns], counts[kMostColumns] = {};
  std::fill_n(least, kMostColumns, kInfinity);
  std::fill_n(next, kMostColumns, kInfinity);
  std::fill_n(limits, kMostColumns, -kInfinity);
  std::fill_n(least_label, kMostColumns, -1);
  std::fill_n(next_label, kMostColumns, -1);
  for (int64_t p = 0; p < centre_panels_; ++p) {
    const int64_t centre = p * gemm_.rows, centres = std::min(gemm_.rows, args_.k - centre);
    gemm_.tile(depth_, heads + centre * depth_, packed, gemm_.columns, tiles + p * tile, false, centres);
    selection_.fold_nearest(tiles + p * tile, centres, args_.c_squares + centre, static_cast<int32_t>(centre), {least, least_label, next, next_label, nullptr});
  }

  // The label of the pass before and the most promising other centroid tell how near a centroid must be to matter.
  double reach[kMostColumns];  // squared distance that every centroid beyond the limit exceeds
  for (int64_t w = 0; w < used; ++w) {
    const int32_t before = args_.labels[rows[w]];
    int32_t pair[2] = {before >= 0 ? before : std::max(least_label[w], 0), least_label[w]};
    if (pair[1] == pair[0]) pair[1] = next_label[w];
    if (pair[1] < 0) pair[1] = pair[0];
    float products[2];
    selection_.dots(args_.x + static_cast<int64_t>(rows[w]) * args_.d, args_.centres, pair, 2, args_.d, products);
    const double length = args_.squares[rows[w]], spread = args_.spreads[rows[w]], e = bounds_.error(rows[w]);
    const double least_square = static_cast<double>(std::min(bounds_.value_of(pair[0], products[0]), bounds_.value_of(pair[1], products[1]))) + length;
    const double radius = std::sqrt(std::max(0.0, least_square)) + args_.stretch;
    reach[w] = std::max(least_square, radius * radius) + 4 * e;
    limits[w] = rounded_up((reach[w] - spread + slack(spread)) + (std::abs(reach[w]) + spread) * 1e-9);
  }
  for (int64_t p = 0; p < centre_panels_; ++p) {
    const int64_t centre = p * gemm_.rows, centres = std::min(gemm_.rows, args_.k - centre);
    selection_.append_below(tiles + p * tile, centres, args_.c_squares + centre, static_cast<int32_t>(centre), limits, lists, args_.k, counts);
  }
  int64_t distances = 2 * used;
  for (int64_t w = 0; w < used; ++w) {
    const int32_t* const list = lists + w * args_.k;
    selection_.dots(args_.x + static_cast<int64_t>(rows[w]) * args_.d, args_.centres, list, counts[w], args_.d, values);
    distances += counts[w];
    Least nearest(bounds_.entries());
    for (int64_t i = 0; i < counts[w]; ++i) nearest.insert(bounds_.value_of(list[i], values[i]), list[i]);
    // Beyond the limit: a distance above `reach`, hence v above reach - |x|^2 - e.
    double rest = counts[w] == args_.k ? kInfinity64 : reach[w] - args_.squares[rows[w]] - bounds_.error(rows[w]);
    if (counts[w] > nearest.count) rest = std::min(rest, static_cast<double>(nearest.value[nearest.count - 1]));
    bounds_.settle(rows[w], nearest, rest);
  }
  return distances;
}

}  // namespace mendset::cpu
