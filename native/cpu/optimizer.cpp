// Optimiser updates and the sum of squares that clipping needs.
#include <algorithm>

#include "cpu/cpu_operations.h"
#include "cpu/kernels.h"
#include "cpu/partition.h"

namespace mendset {

using namespace cpu;

namespace {
constexpr int64_t kBlock = 16384;  // a multiple of every vector length, so that the blocks have no ragged ends inside
}

int32_t cpu_rmsprop(ms_context* handle, const ms_rmsprop_args* args) {
  Context& context = context_of(handle);
  MS_EXPECT(context, args->count >= 0);
  run_tasks(context, blocks_of(args->count, kBlock), args->count * 4, [&](int64_t task, int) {
    context.kernels.optimizer.rmsprop(*args, task * kBlock, std::min(args->count, (task + 1) * kBlock));
  });
  return MS_OK;
}

int32_t cpu_adamw(ms_context* handle, const ms_adamw_args* args) {
  Context& context = context_of(handle);
  MS_EXPECT(context, args->count >= 0 && args->step >= 1);
  run_tasks(context, blocks_of(args->count, kBlock), args->count * 5, [&](int64_t task, int) {
    context.kernels.optimizer.adamw(*args, task * kBlock, std::min(args->count, (task + 1) * kBlock));
  });
  return MS_OK;
}

int32_t cpu_sum_squares(ms_context* handle, const ms_sum_squares_args* args) {
  Context& context = context_of(handle);
  MS_EXPECT(context, args->count >= 0);
  const int64_t blocks = blocks_of(args->count, kBlock);
  double* const sums = reinterpret_cast<double*>(context.workspace.reserve(static_cast<size_t>(blocks) * sizeof(double)));
  if (!sums) return context.fail(MS_OUT_OF_MEMORY, "no room for the partial sums of squares");
  run_tasks(context, blocks, args->count, [&](int64_t task, int) {
    const int64_t begin = task * kBlock;
    sums[task] = context.kernels.rows.squares(args->x + begin, std::min(kBlock, args->count - begin));
  });
  double sum = 0;
  for (int64_t block = 0; block < blocks; ++block) sum += sums[block];
  *args->out += sum;
  return MS_OK;
}

}  // namespace mendset
