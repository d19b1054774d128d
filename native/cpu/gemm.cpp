#include "cpu/gemm.h"

#include <algorithm>

#include "cpu/kernels.h"

namespace mendset::cpu {
namespace {

constexpr int64_t kLeftBlockElements = int64_t{2} << 20;  // packed left block: 8 MiB, within the third-level cache
constexpr int64_t kFewestBlockRows = 1024;                // how often a packed right panel is used at least, if there are as many rows
constexpr int64_t kSerialElements = 16384;                // less is packed faster than a worker wakes up
constexpr int64_t kSerialProducts = 65536;
constexpr int64_t kTaskProducts = 1 << 20;
// Operands whose depth is not contiguous are read a few depths at a time over several panels: whole cache lines, while they are cached.
constexpr int64_t kStridedDepth = 32;
constexpr int64_t kStridedPanels = 8;

// How a product is cut. Left blocks of `block_rows` rows and `super_depth` depth are packed by all threads; then tasks, each a range of right
// panels times a range of left panels, pack their right panels one depth block at a time and multiply.
struct Plan {
  int64_t row_panels, column_panels;
  int64_t block_panels;              // left panels of a block
  int64_t super_depth, depth_block;  // super_depth is a multiple of depth_block, or the whole depth
  int64_t task_columns, task_rows;   // panels
  bool thin;                         // one left panel, right panels read in place
  bool keep_sums;                    // partial sums of a whole row block lie in shared scratch between super-blocks
  size_t left, sums, worker, worker_bytes, bytes;
};

Plan plan_of(const Context& context, const Gemm& gemm) {
  const GemmKernels& kernels = context.kernels.gemm;
  const int64_t threads = context.pool.threads();
  Plan plan{};
  plan.row_panels = blocks_of(gemm.rows, kernels.rows);
  plan.column_panels = blocks_of(gemm.columns, kernels.columns);
  plan.depth_block = std::min(gemm.depth, kernels.depth_block);
  const int64_t padded_rows = plan.row_panels * kernels.rows;
  const int64_t block_rows = std::min(padded_rows, std::max(kFewestBlockRows, gemm.depth > 0 ? kLeftBlockElements / gemm.depth : padded_rows));
  plan.block_panels = std::max<int64_t>(1, block_rows / kernels.rows);
  const int64_t most_depth = kLeftBlockElements / (plan.block_panels * kernels.rows);
  plan.super_depth = gemm.depth <= std::max(most_depth, plan.depth_block) ? gemm.depth : std::max<int64_t>(1, most_depth / plan.depth_block) * plan.depth_block;
  plan.keep_sums = plan.super_depth < gemm.depth;

  const int64_t wanted = 4 * threads;
  plan.task_rows = std::min(plan.block_panels, std::max<int64_t>(1, kFewestBlockRows / kernels.rows));
  if (plan.column_panels * blocks_of(plan.block_panels, plan.task_rows) < wanted && threads > 1) {
    const int64_t chunks = blocks_of(wanted, plan.column_panels);
    plan.task_rows = std::min(plan.task_rows, std::max<int64_t>(8, blocks_of(plan.block_panels, chunks)));
  }
  const int64_t products = plan.task_rows * kernels.rows * kernels.columns * std::max<int64_t>(1, gemm.depth);
  plan.task_columns = std::clamp<int64_t>(kTaskProducts / products, 1, std::max<int64_t>(1, plan.column_panels / wanted));

  plan.thin = plan.row_panels == 1 && gemm.depth > 0 && !plan.keep_sums && !gemm.right.depth_contiguous && gemm.right.activation == MS_ACTIVATION_NONE;
  if (plan.thin) plan.task_columns = std::clamp<int64_t>(plan.column_panels / wanted, 1, kStridedPanels);

  ScratchPlan scratch;
  plan.left = scratch.add<float>(plan.block_panels * kernels.rows * plan.super_depth);
  plan.sums = scratch.add<float>(plan.keep_sums ? plan.block_panels * kernels.rows * plan.column_panels * kernels.columns : 0);
  ScratchPlan worker;
  worker.add<float>(plan.depth_block * kernels.columns);                  // the right panel
  worker.add<float>((plan.thin ? plan.task_columns : plan.task_rows) * kernels.rows * kernels.columns);  // tiles
  plan.worker_bytes = worker.bytes();
  plan.worker = scratch.bytes();
  plan.bytes = scratch.bytes() + plan.worker_bytes * static_cast<size_t>(threads);
  return plan;
}

class Run {
 public:
  Run(Context& context, const Gemm& gemm, std::byte* scratch)
      : context_(context), kernels_(context.kernels.gemm), gemm_(gemm), plan_(plan_of(context, gemm)), scratch_(scratch) {}

  void all() {
    for (first_panel_ = 0; first_panel_ < plan_.row_panels; first_panel_ += plan_.block_panels) {
      panels_ = std::min(plan_.block_panels, plan_.row_panels - first_panel_);
      depth_start_ = 0;
      do {
        depth_ = std::min(plan_.super_depth, gemm_.depth - depth_start_);
        pack_left();
        multiply();
        depth_start_ += depth_;
      } while (depth_start_ < gemm_.depth);
    }
  }

 private:
  template <typename Body> void parallel(int64_t tasks, bool small, Body body) {
    if (small) {
      for (int64_t task = 0; task < tasks; ++task) body(task, 0);
    } else {
      context_.pool.run(tasks, body);
    }
  }

  // Panel p of the packed left block is [depth][rows] at p * rows * depth.
  float* left_panel(int64_t panel) const { return reinterpret_cast<float*>(scratch_ + plan_.left) + panel * kernels_.rows * depth_; }

  void pack_left() {
    const int64_t elements = panels_ * kernels_.rows * depth_;
    const GemmOperand& left = gemm_.left;
    parallel(blocks_of(panels_, kStridedPanels), elements <= kSerialElements, [&](int64_t task, int) {
      const int64_t end = std::min(panels_, (task + 1) * kStridedPanels), step = left.depth_contiguous ? depth_ : kStridedDepth;
      for (int64_t p = 0; p < depth_; p += step) {
        for (int64_t panel = task * kStridedPanels; panel < end; ++panel) {
          const int64_t row = (first_panel_ + panel) * kernels_.rows;
          kernels_.pack(left_panel(panel) + p * kernels_.rows, kernels_.rows, left.at(row, depth_start_ + p), left.ld, left.depth_contiguous,
                        std::min(kernels_.rows, gemm_.rows - row), std::min(step, depth_ - p), left.activation);
        }
      }
    });
  }

  void multiply() {
    const int64_t row_tasks = blocks_of(panels_, plan_.task_rows);
    const int64_t column_tasks = blocks_of(plan_.column_panels, plan_.task_columns);
    const int64_t products = panels_ * kernels_.rows * plan_.column_panels * kernels_.columns * depth_;
    parallel(row_tasks * column_tasks, products <= kSerialProducts, [&](int64_t task, int worker) {
      const int64_t first = task % row_tasks * plan_.task_rows, column = task / row_tasks * plan_.task_columns;
      const int64_t last = std::min(panels_, first + plan_.task_rows), end = std::min(plan_.column_panels, column + plan_.task_columns);
      if (plan_.thin) return multiply_thin(column, end, worker);
      for (int64_t panel = column; panel < end; ++panel) multiply_panel(first, last, panel, worker);
    });
  }

  // Right panel `column`, from depth p of the whole product on.
  void pack_right(float* panel, int64_t column, int64_t p, int64_t depth) {
    const GemmOperand& right = gemm_.right;
    const int64_t used = std::min(kernels_.columns, gemm_.columns - column);
    if (right.type == MS_TYPE_F32) kernels_.pack(panel, kernels_.columns, right.at(column, p), right.ld, right.depth_contiguous, used, depth, right.activation);
    else kernels_.pack_narrow(panel, right.narrow_at(column, p), right.type, right.ld, right.depth_contiguous, used, depth);
  }

  void finish_tile(int64_t row_panel, int64_t column_panel, const float* tile) {
    const int64_t row = row_panel * kernels_.rows, column = column_panel * kernels_.columns;
    if (gemm_.squares != nullptr) gemm_.squares[row_panel * plan_.column_panels + column_panel] = kernels_.tile_square(tile);
    else kernels_.finish(gemm_.output, tile, row, column, std::min(kernels_.rows, gemm_.rows - row), std::min(kernels_.columns, gemm_.columns - column));
  }

  // One left panel times right panels column .. end-1, each used once: read in place where they are whole and fp32.
  void multiply_thin(int64_t column, int64_t end, int worker) {
    const int64_t tile_elements = kernels_.rows * kernels_.columns, rows_used = gemm_.squares != nullptr ? kernels_.rows : gemm_.rows;
    float* const right_panel = reinterpret_cast<float*>(scratch_ + plan_.worker + static_cast<size_t>(worker) * plan_.worker_bytes);
    float* const tiles = right_panel + blocks_of(plan_.depth_block * kernels_.columns, 16) * 16;
    const GemmOperand& right = gemm_.right;
    for (int64_t p = 0; p < gemm_.depth; p += kStridedDepth) {
      const int64_t depth = std::min(kStridedDepth, gemm_.depth - p);
      for (int64_t panel = column; panel < end; ++panel) {
        const int64_t first = panel * kernels_.columns;
        const bool in_place = right.type == MS_TYPE_F32 && first + kernels_.columns <= gemm_.columns;
        if (!in_place) pack_right(right_panel, first, p, depth);
        const float* const b = in_place ? right.at(first, p) : right_panel;
        const int64_t ld = in_place ? right.ld : kernels_.columns;
        kernels_.tile(depth, left_panel(0) + p * kernels_.rows, b, ld, tiles + (panel - column) * tile_elements, p > 0, rows_used);
      }
    }
    for (int64_t panel = column; panel < end; ++panel) finish_tile(0, panel, tiles + (panel - column) * tile_elements);
  }

  // Left panels first .. last-1 of the block times one right panel, over the present super-depth.
  void multiply_panel(int64_t first, int64_t last, int64_t column_panel, int worker) {
    const int64_t column = column_panel * kernels_.columns;
    const int64_t tile_elements = kernels_.rows * kernels_.columns;
    float* const right_panel = reinterpret_cast<float*>(scratch_ + plan_.worker + static_cast<size_t>(worker) * plan_.worker_bytes);
    float* tiles = right_panel + blocks_of(plan_.depth_block * kernels_.columns, 16) * 16;
    if (plan_.keep_sums) tiles = reinterpret_cast<float*>(scratch_ + plan_.sums) + (column_panel * plan_.block_panels + first) * tile_elements;
    const bool single = plan_.depth_block >= gemm_.depth;  // no partial sums: every tile reuses one place in the first-level cache
    const bool finished = depth_start_ + depth_ == gemm_.depth;

    int64_t p = 0;
    do {
      const int64_t depth = std::min(plan_.depth_block, depth_ - p);
      pack_right(right_panel, column, depth_start_ + p, depth);
      const bool final_block = finished && p + depth == depth_;
      for (int64_t panel = first; panel < last; ++panel) {
        const int64_t row = (first_panel_ + panel) * kernels_.rows, rows_used = std::min(kernels_.rows, gemm_.rows - row);
        float* const tile = single ? tiles : tiles + (panel - first) * tile_elements;
        kernels_.tile(depth, left_panel(panel) + p * kernels_.rows, right_panel, kernels_.columns, tile, depth_start_ + p > 0,
                      gemm_.squares != nullptr ? kernels_.rows : rows_used);
        if (final_block) finish_tile(first_panel_ + panel, column_panel, tile);
      }
      p += depth;
    } while (p < depth_);
  }

  Context& context_;
  const GemmKernels& kernels_;
  const Gemm& gemm_;
  const Plan plan_;
  std::byte* const scratch_;
  int64_t first_panel_ = 0, panels_ = 0, depth_start_ = 0, depth_ = 0;  // the present block
};

}  // namespace

int64_t gemm_tiles(const Context& context, int64_t rows, int64_t columns) {
  return blocks_of(rows, context.kernels.gemm.rows) * blocks_of(columns, context.kernels.gemm.columns);
}

size_t gemm_scratch_bytes(const Context& context, const Gemm& gemm) { return plan_of(context, gemm).bytes; }

void run_gemm(Context& context, const Gemm& gemm, std::byte* scratch) {
  if (gemm.rows > 0 && gemm.columns > 0) Run(context, gemm, scratch).all();
}

int32_t run_gemm(Context& context, const Gemm& gemm) {
  if (gemm.rows == 0 || gemm.columns == 0) return MS_OK;
  std::byte* const scratch = context.workspace.reserve(gemm_scratch_bytes(context, gemm));
  if (scratch == nullptr) return context.fail(MS_OUT_OF_MEMORY, "no room for the scratch of a matrix product");
  run_gemm(context, gemm, scratch);
  return MS_OK;
}

}  // namespace mendset::cpu
