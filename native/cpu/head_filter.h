// The filter of nearest_bounded: products over r + 1 dimensions tell which centroids can be as near as the two most promising ones; only those
// are compared over all dimensions.
#pragma once

#include <cstdint>

#include "cpu/context.h"
#include "cpu/row_bounds.h"

namespace mendset::cpu {

class HeadFilter {
 public:
  // args and bounds are borrowed. Its scratch goes into `plan`, and lies at scratch + offset once placed.
  HeadFilter(Context& context, const ms_nearest_bounded_args& args, const RowBounds& bounds, ScratchPlan* plan);
  // Also packs the heads of the centroids.
  void place(std::byte* scratch);
  // Decides up to a panel's rows; returns how many distances it took.
  int64_t panel(const int32_t* rows, int64_t used, int worker) const;

 private:
  double slack(double spread) const;
  template <typename T> T* own(int worker, size_t at, int64_t count) const { return reinterpret_cast<T*>(scratch_ + at) + worker * count; }

  const GemmKernels& gemm_;
  const SelectionKernels& selection_;
  const ms_nearest_bounded_args& args_;
  const RowBounds& bounds_;
  const int64_t depth_, centre_panels_;
  const double underflow_;
  std::byte* scratch_ = nullptr;
  size_t heads_at_ = 0, gathered_at_ = 0, panel_at_ = 0, tiles_at_ = 0, lists_at_ = 0, values_at_ = 0;
};

}  // namespace mendset::cpu
