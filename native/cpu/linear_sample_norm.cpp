// Squared Frobenius norms of per-sample weight gradients A^T B, A = f(x) [T, p] and B = d_y [T, q] of one sample: by the Gram identity
// sum over s, t of (A A^T)_st (B B^T)_st where that costs less, T (p + q) < 2 p q, by the product itself otherwise.
#include <algorithm>
#include <cmath>

#include "cpu/cpu_operations.h"
#include "cpu/gemm.h"
#include "cpu/kernels.h"
#include "cpu/partition.h"
#include "cpu/scratch_bytes.h"

namespace mendset {
namespace {

using namespace cpu;

constexpr int64_t kGroupElements = int64_t{4} << 20;  // packed rows held at a time (16 MiB), or one sample
constexpr int64_t kBiasColumns = 256;
constexpr double kCancellation = 0x1p-10;  // of (sum_t |a_t| |b_t|)^2: below it the Gram sum has lost too many digits

struct Partial {
  double square, norms;
};

class SampleNorms {
 public:
  SampleNorms(Context& context, const ms_linear_sample_norm_args& args) : context_(context), kernels_(context.kernels.gemm), args_(args) {}

  int32_t weights() {
    plan_scratch();
    scratch_ = context_.workspace.reserve(scratch_plan_.bytes());
    if (scratch_ == nullptr) return context_.fail(MS_OUT_OF_MEMORY, "no room for the scratch of per-sample gradient norms");
    for (int64_t first = 0; first < args_.samples;) {
      int64_t last = first, elements = 0;
      while (last < args_.samples && (last == first || elements + gram_elements(last) <= kGroupElements)) elements += gram_elements(last++);
      gram_group(first, last);
      first = last;
    }
    return MS_OK;
  }

  int32_t biases() {
    const int64_t blocks = blocks_of(args_.out, kBiasColumns);
    ScratchPlan plan;
    plan.add<double>(args_.samples * blocks);
    auto* const squares = reinterpret_cast<double*>(context_.workspace.reserve(plan.bytes()));
    if (squares == nullptr) return context_.fail(MS_OUT_OF_MEMORY, "no room for the scratch of per-sample gradient norms");
    run_tasks(context_, args_.samples * blocks, args_.rows * args_.out, [&](int64_t task, int) {
      const int64_t sample = task / blocks, column = task % blocks * kBiasColumns, columns = std::min(kBiasColumns, args_.out - column);
      double sums[kBiasColumns];
      context_.kernels.reduce.column_sums(args_.d_y + args_.offsets[sample] * args_.ld_y + column, args_.ld_y, length(sample), columns, sums);
      double square = 0;
      for (int64_t c = 0; c < columns; ++c) square += sums[c] * sums[c];
      squares[task] = square;
    });
    for (int64_t sample = 0; sample < args_.samples; ++sample) {
      for (int64_t block = 0; block < blocks; ++block) args_.bias_squares[sample * args_.stride] += squares[sample * blocks + block];
    }
    return MS_OK;
  }

 private:
  int64_t length(int64_t sample) const { return args_.offsets[sample + 1] - args_.offsets[sample]; }
  int64_t row_panels(int64_t sample) const { return blocks_of(length(sample), kernels_.rows); }
  int64_t column_panels(int64_t sample) const { return blocks_of(length(sample), kernels_.columns); }
  bool by_gram(int64_t sample) const { return length(sample) * (args_.in + args_.out) < 2 * args_.in * args_.out; }
  int64_t gram_elements(int64_t sample) const { return by_gram(sample) ? row_panels(sample) * kernels_.rows * (args_.in + args_.out) : 0; }

  GemmOperand inputs(int64_t sample, bool depth_contiguous) const {
    return {args_.x + args_.offsets[sample] * args_.ld_x, args_.ld_x, depth_contiguous, args_.x_activation};
  }
  GemmOperand gradients(int64_t sample, bool depth_contiguous) const {
    return {args_.d_y + args_.offsets[sample] * args_.ld_y, args_.ld_y, depth_contiguous};
  }
  Gemm product(int64_t sample) const { return {args_.in, args_.out, length(sample), inputs(sample, false), gradients(sample, false), {}}; }

  void plan_scratch() {
    int64_t packed = kGroupElements, tasks = 0;
    size_t gemm = 0;
    for (int64_t sample = 0; sample < args_.samples; ++sample) {
      packed = std::max(packed, gram_elements(sample));
      tasks += column_panels(sample);
      most_panels_ = std::max(most_panels_, row_panels(sample));
      gemm = std::max(gemm, gemm_scratch_bytes(context_, product(sample)));  // any sample may turn out to cancel
    }
    int64_t present = 0;
    for (int64_t sample = 0; sample < args_.samples; ++sample) present += gram_elements(sample);
    packed = std::min(packed, std::max<int64_t>(present, 1));
    starts_at_ = scratch_plan_.add<int64_t>(args_.samples + 1);
    packed_starts_at_ = scratch_plan_.add<int64_t>(args_.samples + 1);
    partials_at_ = scratch_plan_.add<Partial>(tasks);
    squares_at_ = scratch_plan_.add<double>(gemm_tiles(context_, args_.in, args_.out));
    packed_at_ = scratch_plan_.add<float>(packed);
    ScratchPlan worker;
    worker.add<float>(kernels_.depth_block * kernels_.columns);
    tiles_at_ = worker.add<float>(2 * most_panels_ * kernels_.rows * kernels_.columns);
    worker_bytes_ = worker.bytes();
    workers_at_ = scratch_plan_.bytes();
    for (int worker_index = 0; worker_index < context_.pool.threads(); ++worker_index) scratch_plan_.add<std::byte>(static_cast<int64_t>(worker_bytes_));
    gemm_at_ = scratch_plan_.add<std::byte>(static_cast<int64_t>(gemm));
  }

  template <typename T> T* block(size_t offset) const { return reinterpret_cast<T*>(scratch_ + offset); }

  // Finds which of the samples first .. last-1 owns item `item` of a running count.
  static int64_t owner(const int64_t* starts, int64_t samples, int64_t item) { return std::upper_bound(starts, starts + samples + 1, item) - starts - 1; }

  void gram_group(int64_t first, int64_t last) {
    const int64_t samples = last - first;
    auto* const starts = block<int64_t>(starts_at_);                // running count of column panels
    auto* const packed_starts = block<int64_t>(packed_starts_at_);  // running count of row panels
    starts[0] = packed_starts[0] = 0;
    double operations = 0;
    for (int64_t i = 0; i < samples; ++i) {
      const bool gram = by_gram(first + i);
      starts[i + 1] = starts[i] + (gram ? column_panels(first + i) : 0);
      packed_starts[i + 1] = packed_starts[i] + (gram ? row_panels(first + i) : 0);
      operations += gram ? static_cast<double>(length(first + i)) * static_cast<double>(length(first + i)) * static_cast<double>(args_.in + args_.out) : 0.0;
    }
    const int64_t work = static_cast<int64_t>(std::min(operations, 1e18));
    // Row panel i of the group: [in][rows] of f(x), then [out][rows] of d_y.
    const int64_t panel_elements = kernels_.rows * (args_.in + args_.out);
    run_tasks(context_, packed_starts[samples], work, [&](int64_t item, int) {
      const int64_t i = owner(packed_starts, samples, item), row = (item - packed_starts[i]) * kernels_.rows;
      const int64_t used = std::min(kernels_.rows, length(first + i) - row);
      float* const panel = block<float>(packed_at_) + item * panel_elements;
      const GemmOperand a = inputs(first + i, true), b = gradients(first + i, true);
      kernels_.pack(panel, kernels_.rows, a.at(row, 0), a.ld, true, used, args_.in, a.activation);
      kernels_.pack(panel + kernels_.rows * args_.in, kernels_.rows, b.at(row, 0), b.ld, true, used, args_.out, b.activation);
    });
    auto* const partials = block<Partial>(partials_at_);
    run_tasks(context_, starts[samples], work, [&](int64_t item, int worker) {
      const int64_t i = owner(starts, samples, item);
      partials[item] = gram_column(first + i, item - starts[i], block<float>(packed_at_) + packed_starts[i] * panel_elements, worker);
    });
    for (int64_t i = 0; i < samples; ++i) {
      const int64_t sample = first + i;
      double square = 0, norms = 0;
      for (int64_t item = starts[i]; item < starts[i + 1]; ++item) {
        square += partials[item].square;
        norms += partials[item].norms;
      }
      if (!by_gram(sample) || square < kCancellation * norms * norms) square = direct(sample);
      args_.weight_squares[sample * args_.stride] += square;
    }
  }

  // The part of the Gram sum whose columns are one panel of the sample's rows: tiles on and below the diagonal.
  Partial gram_column(int64_t sample, int64_t column_panel, const float* packed, int worker) const {
    std::byte* const own = scratch_ + workers_at_ + static_cast<size_t>(worker) * worker_bytes_;
    float* const right = reinterpret_cast<float*>(own);
    float* const tiles = reinterpret_cast<float*>(own + tiles_at_);
    const int64_t tile_elements = kernels_.rows * kernels_.columns, panel_elements = kernels_.rows * (args_.in + args_.out);
    const int64_t column = column_panel * kernels_.columns, used = std::min(kernels_.columns, length(sample) - column);
    const int64_t first = column / kernels_.rows, panels = row_panels(sample);
    const auto multiply = [&](const GemmOperand& operand, int64_t depth_total, int64_t offset, int64_t side) {
      int64_t p = 0;
      do {
        const int64_t depth = std::min(kernels_.depth_block, depth_total - p);
        kernels_.pack(right, kernels_.columns, operand.at(column, p), operand.ld, true, used, depth, operand.activation);
        for (int64_t panel = first; panel < panels; ++panel) {
          kernels_.tile(depth, packed + panel * panel_elements + offset + p * kernels_.rows, right, kernels_.columns,
                        tiles + (2 * panel + side) * tile_elements, p > 0, kernels_.rows);
        }
        p += depth;
      } while (p < depth_total);
    };
    multiply(inputs(sample, true), args_.in, 0, 0);
    multiply(gradients(sample, true), args_.out, kernels_.rows * args_.in, 1);
    Partial partial{0, 0};
    for (int64_t panel = first; panel < panels; ++panel) {
      const int64_t row = panel * kernels_.rows;
      const float* const tile = tiles + 2 * panel * tile_elements;
      partial.square += kernels_.tile_gram(tile, tile + tile_elements, row, column, std::min(kernels_.rows, length(sample) - row), used, &partial.norms);
    }
    return partial;
  }

  double direct(int64_t sample) const {
    Gemm gemm = product(sample);
    gemm.squares = block<double>(squares_at_);
    run_gemm(context_, gemm, scratch_ + gemm_at_);
    double square = 0;
    for (int64_t tile = 0; tile < gemm_tiles(context_, args_.in, args_.out); ++tile) square += gemm.squares[tile];
    return square;
  }

  Context& context_;
  const GemmKernels& kernels_;
  const ms_linear_sample_norm_args& args_;
  ScratchPlan scratch_plan_;
  size_t starts_at_ = 0, packed_starts_at_ = 0, partials_at_ = 0, squares_at_ = 0, packed_at_ = 0, workers_at_ = 0, tiles_at_ = 0, worker_bytes_ = 0, gemm_at_ = 0;
  int64_t most_panels_ = 0;
  std::byte* scratch_ = nullptr;
};

}  // namespace

namespace cpu {

// As if every sample were as long as the longest, up to the number of rows.
size_t scratch_of(const Context& context, const ms_linear_sample_norm_args& a) {
  const GemmKernels& kernels = context.kernels.gemm;
  const int64_t panels = blocks_of(a.max_length, kernels.rows);
  const int64_t longest = panels * kernels.rows * (a.in + a.out), all = (a.rows + a.samples * kernels.rows) * (a.in + a.out);
  const int64_t packed = std::min(std::max(kGroupElements, longest), all);
  const int64_t worker = kernels.depth_block * kernels.columns + 2 * panels * kernels.rows * kernels.columns;
  const Gemm product{a.in, a.out, a.max_length, {a.x, a.ld_x, false, a.x_activation}, {a.d_y, a.ld_y, false}, {}};
  return static_cast<size_t>(packed + worker * context.pool.threads()) * sizeof(float) +
         static_cast<size_t>(gemm_tiles(context, a.in, a.out)) * sizeof(double) + gemm_scratch_bytes(context, product);
}

}  // namespace cpu

int32_t cpu_linear_sample_norm(ms_context* handle, const ms_linear_sample_norm_args* args) {
  Context& context = context_of(handle);
  MS_EXPECT(context, args->rows >= 0 && args->in >= 0 && args->out >= 0 && args->samples >= 0 && args->ld_x >= args->in && args->ld_y >= args->out);
  SampleNorms norms(context, *args);
  if (args->weight_squares != nullptr) {
    if (const int32_t result = norms.weights(); result != MS_OK) return result;
  }
  return args->bias_squares != nullptr ? norms.biases() : MS_OK;
}

}  // namespace mendset
