// The fp64 matrices behind principal components, from fp32 products: sums of short chains.
#include <algorithm>
#include <cmath>
#include <new>
#include <vector>

#include "core/aligned_vector.h"
#include "cpu/cpu_operations.h"
#include "cpu/kernels.h"
#include "cpu/partition.h"

namespace mendset {
namespace {

using namespace cpu;

constexpr int64_t kProductRows = 128;  // products summed in fp32 before fp64 takes over

// mean = shift + rest: x - shift is nearly exact where x is near the mean.
void split_mean(const double* mean, int64_t d, float* shift, float* rest) {
  for (int64_t p = 0; p < d; ++p) {
    shift[p] = static_cast<float>(mean[p]);
    rest[p] = static_cast<float>(mean[p] - static_cast<double>(shift[p]));
  }
}

// Products of blocks of kProductRows rows are canonical fp32 chains, their sums fp64: an entry errs by at most (gamma(kProductRows) + 8 u)
// sqrt(c_pp c_qq), the 8 u for rows that are centred in fp32, and its bits are the same on every instruction set.
class Covariance {
 public:
  Covariance(Context& context, const ms_covariance_args& args)
      : context_(context), gemm_(context.kernels.gemm), args_(args), row_panels_(blocks_of(args.d, gemm_.rows)), ld_(blocks_of(args.d, gemm_.columns) * gemm_.columns),
        tile_(gemm_.rows * gemm_.columns) {
    // Slices of the rows have sums of their own (an eighth of the rows' bytes at most), so that who has one waits for nobody. They depend on the
    // problem alone; the groups of panels, which share out a slice where threads outnumber slices, change no bit.
    const int64_t slices = std::clamp<int64_t>(args.n / std::max<int64_t>(8 * args.d, kLeastSliceRows), 1, kMostSlices);
    slice_rows_ = blocks_of(blocks_of(args.n, slices), kProductRows) * kProductRows;
    slices_ = blocks_of(args.n, slice_rows_);
    const int64_t threads = context.pool.threads();
    groups_ = threads == 1 ? 1 : std::clamp<int64_t>(blocks_of(2 * threads, slices_), 1, std::max<int64_t>(row_panels_ / 2, 1));
    first_tile_.resize(static_cast<size_t>(row_panels_) + 1);
    for (int64_t panel = 0; panel < row_panels_; ++panel) first_tile_[static_cast<size_t>(panel) + 1] = first_tile_[static_cast<size_t>(panel)] + tiles_of(panel);
  }

  bool run() {
    ScratchPlan plan, worker;
    const size_t shift_at = plan.add<float>(args_.d), rest_at = plan.add<float>(args_.d);
    centred_at_ = worker.add<float>(ld_ * kCovarianceRows);
    packed_at_ = worker.add<float>(gemm_.rows * kCovarianceRows);
    workers_at_ = plan.bytes();
    worker_bytes_ = worker.bytes();
    scratch_ = context_.workspace.reserve(workers_at_ + worker_bytes_ * static_cast<size_t>(context_.pool.threads()));
    if (scratch_ == nullptr) return false;
    try {  // not of the workspace, which stays: no other operation on such rows needs nearly as much
      sums_.resize(static_cast<size_t>(slices_ * first_tile_.back() * tile_));
    } catch (const std::bad_alloc&) {
      return false;
    }
    shift_ = reinterpret_cast<float*>(scratch_ + shift_at);
    rest_ = reinterpret_cast<float*>(scratch_ + rest_at);
    split_mean(args_.mean, args_.d, shift_, rest_);
    run_tasks(context_, slices_ * groups_, args_.n * args_.d * args_.d, [&](int64_t task, int worker_index) { add_slice(task / groups_, task % groups_, worker_index); });
    run_tasks(context_, row_panels_, slices_ * args_.d * args_.d, [&](int64_t panel, int) { finish(panel); });
    return true;
  }

 private:
  static constexpr int64_t kMostSlices = 8, kLeastSliceRows = 1024;
  static constexpr int64_t kCovarianceRows = 2 * kProductRows;  // rows whose centred copy lies in the second-level cache

  // Of the lower triangle, up to and with the diagonal.
  int64_t tiles_of(int64_t panel) const { return blocks_of(std::min(args_.d, (panel + 1) * gemm_.rows), gemm_.columns); }
  double* tile_sums(int64_t slice, int64_t panel, int64_t column_tile) {
    return sums_.data() + (slice * first_tile_.back() + first_tile_[static_cast<size_t>(panel)] + column_tile) * tile_;
  }
  // Panels of about equal numbers of tiles.
  int64_t first_panel(int64_t group) const {
    return std::lower_bound(first_tile_.begin(), first_tile_.end(), first_tile_.back() * group / groups_) - first_tile_.begin();
  }

  void add_slice(int64_t slice, int64_t group, int worker) {
    const int64_t d = args_.d, begin = slice * slice_rows_, end = std::min(args_.n, begin + slice_rows_), first = first_panel(group), last = first_panel(group + 1);
    std::byte* const own = scratch_ + workers_at_ + static_cast<size_t>(worker) * worker_bytes_;
    auto* const centred = reinterpret_cast<float*>(own + centred_at_);
    auto* const packed = reinterpret_cast<float*>(own + packed_at_);
    alignas(64) float tile[kMostTileElements];
    std::fill(tile_sums(slice, first, 0), tile_sums(slice, last, 0), 0.0);
    for (int64_t row = begin; row < end; row += kCovarianceRows) {
      const int64_t rows = std::min(kCovarianceRows, end - row);
      const ReduceKernels& reduce = context_.kernels.reduce;
      reduce.centre(args_.x + row * d, rows, d, shift_, rest_, centred, ld_);
      // Far from 1 squares could overflow or vanish: such rows are scaled by a power of two.
      const double magnitude = reduce.largest_magnitude(centred, rows * ld_);
      const bool scaled = magnitude > 0 && (magnitude > 0x1p50 || magnitude < 0x1p-20);
      const int exponent = scaled ? std::ilogb(magnitude) + 1 : 0;
      const double unit = std::ldexp(1.0, 2 * exponent);
      for (int64_t i = 0; scaled && i < rows * ld_; ++i) centred[i] = std::ldexp(centred[i], -exponent);
      for (int64_t panel = first; panel < last; ++panel) {
        const int64_t used = std::min(gemm_.rows, d - panel * gemm_.rows);
        gemm_.pack(packed, gemm_.rows, centred + panel * gemm_.rows, ld_, false, used, rows, MS_ACTIVATION_NONE);
        for (int64_t column = 0; column < tiles_of(panel); ++column) {
          double* const sums = tile_sums(slice, panel, column);
          for (int64_t p = 0; p < rows; p += kProductRows) {
            gemm_.tile_exact(std::min(kProductRows, rows - p), packed + p * gemm_.rows, centred + p * ld_ + column * gemm_.columns, ld_, tile, false, used);
            if (scaled) {
              for (int64_t i = 0; i < used * gemm_.columns; ++i) sums[i] += unit * static_cast<double>(tile[i]);
            } else {
              reduce.add_tile(tile, used * gemm_.columns, sums);
            }
          }
        }
      }
    }
  }

  // Slices in ascending order, then both sides of the diagonal.
  void finish(int64_t panel) {
    const int64_t d = args_.d, row = panel * gemm_.rows;
    for (int64_t tile = 0; tile < tiles_of(panel); ++tile) {
      const int64_t column = tile * gemm_.columns;
      double* const sums = tile_sums(0, panel, tile);
      for (int64_t slice = 1; slice < slices_; ++slice) {
        const double* const more = tile_sums(slice, panel, tile);
        for (int64_t i = 0; i < tile_; ++i) sums[i] += more[i];
      }
      for (int64_t p = row; p < std::min(d, row + gemm_.rows); ++p) {
        for (int64_t q = column; q < std::min(column + gemm_.columns, p + 1); ++q)
          args_.out[p * d + q] = args_.out[q * d + p] = sums[(p - row) * gemm_.columns + q - column] / static_cast<double>(args_.n - 1);
      }
    }
  }

  Context& context_;
  const GemmKernels& gemm_;
  const ms_covariance_args& args_;
  const int64_t row_panels_, ld_, tile_;
  int64_t slice_rows_ = 0, slices_ = 0, groups_ = 0;
  std::vector<int64_t> first_tile_;  // by panel
  size_t workers_at_ = 0, worker_bytes_ = 0, centred_at_ = 0, packed_at_ = 0;
  std::byte* scratch_ = nullptr;
  float *shift_ = nullptr, *rest_ = nullptr;
  AlignedVector<double> sums_;
};

}  // namespace

int32_t cpu_covariance(ms_context* handle, const ms_covariance_args* args) {
  Context& context = context_of(handle);
  MS_EXPECT(context, args->n >= 2 && args->d >= 0);
  if (!Covariance(context, *args).run()) return context.fail(MS_OUT_OF_MEMORY, "no room for the scratch of a covariance");
  return MS_OK;
}

// The same for projections: blocks of kProductRows columns.
int32_t cpu_project(ms_context* handle, const ms_project_args* args) {
  Context& context = context_of(handle);
  const auto& [n, d, r, x, mean, components, y] = *args;
  MS_EXPECT(context, n >= 0 && d >= 0 && r >= 0);
  const GemmKernels& gemm = context.kernels.gemm;
  const int64_t panels = blocks_of(r, gemm.columns), tile_rows = kMostTileElements / gemm.columns / 8 * 8;
  constexpr int64_t kTaskRows = 256;
  ScratchPlan plan, worker_plan;
  const size_t shift_at = plan.add<float>(d), rest_at = plan.add<float>(d), rounded_at = plan.add<float>(r * d), components_at = plan.add<float>(panels * gemm.columns * d);
  worker_plan.add<float>(tile_rows * d);
  const size_t workers_at = plan.bytes();
  std::byte* const scratch = context.workspace.reserve(workers_at + worker_plan.bytes() * static_cast<size_t>(context.pool.threads()));
  if (scratch == nullptr) return context.fail(MS_OUT_OF_MEMORY, "no room for the scratch of a projection");
  auto* const shift = reinterpret_cast<float*>(scratch + shift_at);
  auto* const rest = reinterpret_cast<float*>(scratch + rest_at);
  auto* const rounded = reinterpret_cast<float*>(scratch + rounded_at);
  auto* const packed = reinterpret_cast<float*>(scratch + components_at);  // [panel of components][d][columns of a tile]
  split_mean(mean, d, shift, rest);
  for (int64_t i = 0; i < r * d; ++i) rounded[i] = static_cast<float>(components[i]);
  for (int64_t panel = 0; panel < panels; ++panel) {
    const int64_t first = panel * gemm.columns;
    gemm.pack(packed + first * d, gemm.columns, rounded + first * d, d, true, std::min(gemm.columns, r - first), d, MS_ACTIVATION_NONE);
  }
  run_tasks(context, blocks_of(n, kTaskRows), n * d * r, [&](int64_t task, int worker) {
    auto* const centred = reinterpret_cast<float*>(scratch + workers_at + static_cast<size_t>(worker) * worker_plan.bytes());
    alignas(64) float tile[kMostTileElements];
    alignas(64) double sums[kMostTileElements];
    std::fill_n(tile, kMostTileElements, 0.0f);
    const int64_t end = std::min(n, (task + 1) * kTaskRows);
    for (int64_t row = task * kTaskRows; row < end; row += tile_rows) {
      const int64_t used = std::min(tile_rows, end - row);
      context.kernels.reduce.centre(x + row * d, used, d, shift, rest, centred, d);
      for (int64_t first = 0; first < r; first += gemm.columns) {
        const int64_t count = std::min(gemm.columns, r - first);
        std::fill_n(sums, used * gemm.columns, 0.0);
        for (int64_t p = 0; p < d; p += kProductRows) {
          const float* rows[kMostTileElements];
          for (int64_t w = 0; w < used; ++w) rows[w] = centred + w * d + p;
          gemm.tile_of_rows(std::min(kProductRows, d - p), rows, used, packed + first * d + p * gemm.columns, tile, count);
          context.kernels.reduce.add_tile(tile, used * gemm.columns, sums);
        }
        for (int64_t w = 0; w < used; ++w) {
          for (int64_t j = 0; j < count; ++j) y[(row + w) * r + first + j] = static_cast<float>(sums[w * gemm.columns + j]);
        }
      }
    }
  });
  return MS_OK;
}

}  // namespace mendset
