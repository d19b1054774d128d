// K-Center's refresh. Each batch of rows meets the missing centres in blocks, as tiles of panels that stay in the second-level cache; rows
// below the threshold leave it, and the others close up.
#include <algorithm>
#include <cstring>

#include "cpu/centre_products.h"
#include "cpu/context.h"
#include "cpu/cpu_operations.h"
#include "cpu/kernels.h"
#include "cpu/partition.h"

namespace mendset {
namespace {

using namespace cpu;

constexpr int64_t kBatchBytes = int64_t{512} << 10;  // of the rows of a batch
constexpr int64_t kSliceBytes = int64_t{4} << 20;    // of the centres that all batches meet before the next ones are packed
constexpr int64_t kFewestCentres = 12;               // between two looks at the threshold
constexpr int64_t kMostBatchPanels = 64;

class Refresh {
 public:
  Refresh(Context& context, const ms_refresh_minimum_args& args)
      : context_(context), args_(args), gemm_(context.kernels.gemm), selection_(context.kernels.selection),
        batch_panels_(std::clamp<int64_t>(kBatchBytes / (gemm_.columns * args.d * 4), 2, kMostBatchPanels)),
        block_(blocks_of(std::clamp<int64_t>(args.centres / 128, kFewestCentres, 8 * kFewestCentres), gemm_.rows) * gemm_.rows),
        slice_(std::min(blocks_of(args.centres, block_), std::max<int64_t>(1, kSliceBytes / (block_ * args.d * 4))) * block_) {
    ScratchPlan plan;
    live_at_ = plan.add<int32_t>(args.rows);
    rows_at_ = plan.add<float>(slice_ * args.d);
    packed_at_ = plan.add<float>(slice_ * args.d);
    norms_at_ = plan.add<float>(slice_);
    workers_at_ = plan.bytes();
    ScratchPlan worker;
    worker.add<float>(batch_panels_ * gemm_.columns * args.d);
    tile_at_ = worker.add<float>(gemm_.rows * gemm_.columns);
    worker_bytes_ = worker.bytes();
    bytes_ = workers_at_ + worker_bytes_ * static_cast<size_t>(context.pool.threads());
  }

  bool reserve() { return (scratch_ = context_.workspace.reserve(bytes_)) != nullptr; }

  void run() {
    int32_t* const live = at<int32_t>(live_at_);
    int64_t first = args_.centres;
    for (int64_t i = 0; i < args_.rows; ++i) first = std::min<int64_t>(first, args_.applied[i]);
    const int64_t batch = batch_panels_ * gemm_.columns;
    for (first_ = first; first_ < args_.centres; first_ += slice_) {
      last_ = std::min(first_ + slice_, args_.centres);
      int64_t count = 0, missing = 0;
      for (int64_t i = 0; i < args_.rows; ++i) {
        if (args_.applied[i] >= last_ || args_.m[i] < args_.threshold) continue;
        live[count++] = static_cast<int32_t>(i);
        missing += last_ - args_.applied[i];
      }
      if (count == 0) continue;
      pack_centres();
      run_tasks(context_, blocks_of(count, batch), missing * args_.d, [&](int64_t task, int worker) {
        Batch(*this, worker).run(live + task * batch, std::min(batch, count - task * batch));
      });
    }
  }

 private:
  template <typename T> T* at(size_t offset) const { return reinterpret_cast<T*>(scratch_ + offset); }
  float* centre_rows() const { return at<float>(rows_at_); }

  // Centres first_ .. last_-1: their rows side by side, panels of them, and their norms.
  void pack_centres() {
    const int64_t d = args_.d, centres = last_ - first_, panel_rows = gemm_.rows;
    run_tasks(context_, blocks_of(centres, panel_rows), centres * d, [&](int64_t panel, int) {
      const int64_t from = panel * panel_rows, used = std::min(panel_rows, centres - from);
      for (int64_t j = from; j < from + used; ++j) {
        const int64_t row = args_.centre[first_ + j];
        std::memcpy(centre_rows() + j * d, args_.x + row * d, static_cast<size_t>(d) * sizeof(float));
        at<float>(norms_at_)[j] = args_.x_norms[row];
      }
      gemm_.pack(at<float>(packed_at_) + from * d, panel_rows, centre_rows() + from * d, d, true, used, d, MS_ACTIVATION_NONE);
    });
  }

  // Rows that one worker holds as panels; lane l stands for entry `entry[l]` of the request, -1 where none is left.
  class Batch {
   public:
    Batch(const Refresh& refresh, int worker)
        : r_(refresh), width_(refresh.gemm_.columns), panels_(refresh.at<float>(refresh.workers_at_ + static_cast<size_t>(worker) * refresh.worker_bytes_)),
          tile_(refresh.at<float>(refresh.workers_at_ + static_cast<size_t>(worker) * refresh.worker_bytes_ + refresh.tile_at_)) {}

    void run(const int32_t* entries, int64_t count) {
      const ms_refresh_minimum_args& a = r_.args_;
      int64_t from = a.centres;
      for (int64_t i = 0; i < count; ++i) from = std::min<int64_t>(from, a.applied[entries[i]]);
      load(entries, count);
      // Applying a centre twice changes nothing, so a batch begins where its last row stands.
      for (int64_t first = std::max<int64_t>(0, from - r_.first_) / r_.gemm_.rows * r_.gemm_.rows, end = r_.last_ - r_.first_; first < end && used_ > 0; first += r_.block_) {
        const int64_t last = std::min(first + r_.block_, end);
        for (int64_t panel = 0; panel < used_; ++panel) apply(panel, first, last);
        drop(last);
      }
      for (int64_t lane = 0; lane < used_ * width_; ++lane) {
        if (entry_[lane] >= 0) store(lane, r_.last_ - r_.first_);
      }
    }

   private:
    void load(const int32_t* entries, int64_t count) {
      const ms_refresh_minimum_args& a = r_.args_;
      used_ = blocks_of(count, width_);
      for (int64_t panel = 0; panel < used_; ++panel) {
        const int64_t first = panel * width_, here = std::min(width_, count - first);
        const float* rows[kMostColumns];
        for (int64_t w = 0; w < width_; ++w) {
          const int64_t lane = first + w;
          entry_[lane] = w < here ? entries[lane] : -1;
          const int64_t row = w < here ? a.index[entries[lane]] : 0;
          if (w < here) rows[w] = a.x + row * a.d;
          norms_[lane] = w < here ? a.x_norms[row] : 0.0f;
          minimum_[lane] = w < here ? a.m[entries[lane]] : -1.0f;
        }
        // The first lines of the next panel's rows set out from memory while this one is packed.
        for (int64_t lane = first + width_; lane < std::min(count, first + 2 * width_); ++lane) {
          const float* const row = a.x + a.index[entries[lane]] * a.d;
          for (int64_t p = 0; p < std::min<int64_t>(a.d, 64); p += 16) __builtin_prefetch(row + p, 0, 3);
        }
        r_.selection_.pack_rows(rows, here, a.d, panels_ + first * a.d);
      }
    }

    void apply(int64_t panel, int64_t first, int64_t last) {
      const int64_t d = r_.args_.d, lane = panel * width_, tile_rows = r_.gemm_.rows;
      alignas(64) int32_t unused[kMostColumns] = {};
      const float* const rows = panels_ + lane * d;
      for (int64_t j = first; j < last; j += tile_rows) {
        const int64_t centres = std::min(tile_rows, last - j);
        const float* const packed = r_.at<float>(r_.packed_at_) + j * d;
        int64_t p = 0;
        do {
          const int64_t depth = std::min(r_.gemm_.depth_block, d - p);
          r_.gemm_.tile_exact(depth, packed + p * tile_rows, rows + p * width_, width_, tile_, p > 0, centres);
          p += depth;
        } while (p < d);
        const DistancePanel lanes{d, width_, rows, 1, width_, norms_ + lane, minimum_ + lane, unused};
        r_.selection_.fold_distance(tile_, centres, r_.centre_rows() + j * d, r_.at<float>(r_.norms_at_) + j, 0, lanes);
      }
    }

    void store(int64_t lane, int64_t applied) {
      r_.args_.m[entry_[lane]] = minimum_[lane];
      r_.args_.applied[entry_[lane]] = static_cast<int32_t>(r_.first_ + applied);
    }

    // Rows below the threshold are done; once that frees a panel, the last rows move into the gaps.
    void drop(int64_t applied) {
      int64_t alive = 0;
      for (int64_t lane = 0; lane < used_ * width_; ++lane) {
        if (entry_[lane] < 0) continue;
        if (minimum_[lane] >= r_.args_.threshold) {
          ++alive;
          continue;
        }
        store(lane, applied);
        entry_[lane] = -1;
        minimum_[lane] = -1.0f;
      }
      const int64_t wanted = blocks_of(alive, width_);
      if (wanted == used_) return;
      int64_t gap = 0;
      for (int64_t lane = wanted * width_; lane < used_ * width_; ++lane) {
        if (entry_[lane] < 0) continue;
        while (entry_[gap] >= 0) ++gap;
        move(lane, gap);
      }
      used_ = wanted;
    }

    void move(int64_t from, int64_t to) {
      const int64_t d = r_.args_.d;
      const float* const source = panels_ + from / width_ * width_ * d + from % width_;
      float* const target = panels_ + to / width_ * width_ * d + to % width_;
      for (int64_t p = 0; p < d; ++p) target[p * width_] = source[p * width_];
      norms_[to] = norms_[from];
      minimum_[to] = minimum_[from];
      entry_[to] = entry_[from];
      entry_[from] = -1;
    }

    const Refresh& r_;
    const int64_t width_;
    float* const panels_;
    float* const tile_;
    int64_t used_ = 0;  // panels that hold rows
    alignas(64) float norms_[kMostBatchPanels * kMostColumns];
    alignas(64) float minimum_[kMostBatchPanels * kMostColumns];
    int32_t entry_[kMostBatchPanels * kMostColumns];
  };

  Context& context_;
  const ms_refresh_minimum_args& args_;
  const GemmKernels& gemm_;
  const SelectionKernels& selection_;
  const int64_t batch_panels_, block_, slice_;
  int64_t first_ = 0, last_ = 0;  // centres of the current slice
  size_t live_at_ = 0, rows_at_ = 0, packed_at_ = 0, norms_at_ = 0, workers_at_ = 0, tile_at_ = 0, worker_bytes_ = 0, bytes_ = 0;
  std::byte* scratch_ = nullptr;
};

}  // namespace

int32_t cpu_refresh_minimum(ms_context* handle, const ms_refresh_minimum_args* args) {
  Context& context = context_of(handle);
  MS_EXPECT(context, args->rows >= 0 && args->rows <= INT32_MAX && args->centres >= 0 && args->centres <= INT32_MAX && args->d >= 1);
  if (args->rows == 0 || args->centres == 0) return MS_OK;
  Refresh refresh(context, *args);
  if (!refresh.reserve()) return context.fail(MS_OUT_OF_MEMORY, "no room for packed centres");
  refresh.run();
  return MS_OK;
}

}  // namespace mendset
