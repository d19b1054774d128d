// Canonical dot products of centres with panels of rows, block by block. Centres are the left operand of a tile, rows of x its columns, so
// that every lane is a row of x and centres pass in ascending order.
#pragma once

#include <algorithm>

#include "cpu/context.h"
#include "cpu/kernels.h"
#include "cpu/partition.h"

namespace mendset::cpu {

inline constexpr int64_t kMostColumns = 32;  // of a tile, on any instruction set
inline constexpr int64_t kRowsPerTask = 256;
inline constexpr int64_t kGroupPanels = 32;  // centre panels whose tiles wait in the second-level cache for the next depth block

inline constexpr int64_t kFewestPrefetchingPanels = 6;
inline constexpr int64_t kLine = 16;  // floats of a cache line

// Dot products of all centres with panels of rows of x.
class CentreProducts {
 public:
  CentreProducts(Context& context, const float* x, int64_t n, const float* centres, int64_t k, int64_t d)
      : context_(context), kernels_(context.kernels.gemm), x_(x), n_(n), centres_(centres), k_(k), d_(d), centre_panels_(blocks_of(k, kernels_.rows)),
        group_panels_(std::min(centre_panels_, kGroupPanels)), depth_block_(std::min(d, kernels_.depth_block)),
        task_panels_(std::max<int64_t>(1, kRowsPerTask / kernels_.columns)) {
    packed_at_ = plan_.add<float>(centre_panels_ * kernels_.rows * d);
    ScratchPlan worker;
    worker.add<float>(d * kernels_.columns);
    tiles_at_ = worker.add<float>(group_panels_ * kernels_.rows * kernels_.columns);
    worker_bytes_ = worker.bytes();
  }

  // For a caller's own blocks, before reserve(); they lie at scratch() + offset.
  ScratchPlan& plan() { return plan_; }
  std::byte* scratch() const { return scratch_; }

  bool reserve() {
    workers_at_ = plan_.bytes();
    scratch_ = context_.workspace.reserve(workers_at_ + worker_bytes_ * static_cast<size_t>(context_.pool.threads()));
    return scratch_ != nullptr;
  }

  void pack_centres() {
    run_tasks(context_, centre_panels_, k_ * d_, [&](int64_t panel, int) {
      const int64_t first = panel * kernels_.rows;
      kernels_.pack(packed(panel), kernels_.rows, centres_ + first * d_, d_, true, std::min(kernels_.rows, k_ - first), d_, MS_ACTIVATION_NONE);
    });
  }

  // Rows from anywhere, in place of run(): pack_centres() first, then panels from any worker. fold() as below. next: rows that this worker, or another,
  // reads next.
  template <typename Sink> void gathered(const float* const* rows, int64_t used, const float* const* next, int64_t following, int worker, Sink& sink) {
    context_.kernels.selection.pack_rows(rows, used, d_, own_panel(worker));
    products(own_panel(worker), ahead_of(next, following), worker, sink);
  }

  // begin(first row, rows, worker) makes a sink for each panel of rows; its fold(tile, first centre, centres) sees all centres in ascending order,
  // then end() is called.
  template <typename Begin> void run(Begin begin) {
    pack_centres();
    const int64_t row_panels = blocks_of(n_, kernels_.columns);
    run_tasks(context_, blocks_of(row_panels, task_panels_), n_ * std::max<int64_t>(k_, 4) * d_, [&](int64_t task, int worker) {
      const int64_t end = std::min(row_panels, (task + 1) * task_panels_);
      for (int64_t panel = task * task_panels_; panel < end; ++panel) {
        const int64_t row = panel * kernels_.columns;
        auto sink = begin(row, std::min(kernels_.columns, n_ - row), worker);
        multiply(row, worker, sink);
        sink.end();
      }
    });
  }

 private:
  float* packed(int64_t panel) const { return reinterpret_cast<float*>(scratch_ + packed_at_) + panel * kernels_.rows * d_; }

  template <typename Sink> void multiply(int64_t row, int worker, Sink& sink) {
    float* const rows = own_panel(worker);
    kernels_.pack(rows, kernels_.columns, x_ + row * d_, d_, true, std::min(kernels_.columns, n_ - row), d_, MS_ACTIVATION_NONE);
    const float* next[kMostColumns];
    const int64_t following = std::clamp<int64_t>(n_ - row - kernels_.columns, 0, kernels_.columns);
    for (int64_t w = 0; w < following; ++w) next[w] = x_ + (row + kernels_.columns + w) * d_;
    products(rows, ahead_of(next, following), worker, sink);
  }

  // Rows that come from memory while a panel is multiplied, a few cache lines per tile.
  struct Prefetch {
    const float* const* rows = nullptr;
    int64_t lines = 0, share = 0;  // of all rows, and for each tile
  };
  Prefetch ahead_of(const float* const* rows, int64_t count) const {
    if (centre_panels_ < kFewestPrefetchingPanels || d_ == 0) return {};
    const int64_t lines = count * row_lines();
    return {rows, lines, blocks_of(lines, centre_panels_ * blocks_of(d_, depth_block_)) + 1};
  }
  int64_t row_lines() const { return blocks_of(d_, kLine); }

  float* own_panel(int worker) const { return reinterpret_cast<float*>(scratch_ + workers_at_ + static_cast<size_t>(worker) * worker_bytes_); }

  template <typename Sink> void products(const float* rows, const Prefetch& ahead, int worker, Sink& sink) {
    float* const tiles = reinterpret_cast<float*>(reinterpret_cast<std::byte*>(own_panel(worker)) + tiles_at_);
    const int64_t tile_elements = kernels_.rows * kernels_.columns;
    const int64_t lines = row_lines();
    int64_t fetched = 0, row = 0, line = 0;
    for (int64_t group = 0; group < centre_panels_; group += group_panels_) {
      const int64_t end = std::min(centre_panels_, group + group_panels_);
      int64_t p = 0;
      do {
        const int64_t depth = std::min(depth_block_, d_ - p);
        for (int64_t panel = group; panel < end; ++panel) {
          const int64_t first = panel * kernels_.rows, used = std::min(kernels_.rows, k_ - first);
          float* const tile = tiles + (panel - group) * tile_elements;
          for (const int64_t stop = std::min(ahead.lines, fetched + ahead.share); fetched < stop; ++fetched) {
            __builtin_prefetch(ahead.rows[row] + line * kLine, 0, 2);
            if (++line == lines) line = 0, ++row;
          }
          kernels_.tile_exact(depth, packed(panel) + p * kernels_.rows, rows + p * kernels_.columns, kernels_.columns, tile, p > 0, used);
          if (p + depth == d_) sink.fold(tile, first, used);
        }
        p += depth;
      } while (p < d_);
    }
  }

  Context& context_;
  const GemmKernels& kernels_;
  const float* x_;
  const int64_t n_;
  const float* centres_;
  const int64_t k_, d_;
  const int64_t centre_panels_, group_panels_, depth_block_, task_panels_;
  ScratchPlan plan_;
  size_t packed_at_ = 0, tiles_at_ = 0, workers_at_ = 0, worker_bytes_ = 0;
  std::byte* scratch_ = nullptr;
};

}  // namespace mendset::cpu
