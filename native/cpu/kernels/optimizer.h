// Kernels of the optimiser updates, on consecutive elements.
#pragma once

#include "mendset/backend.h"

namespace mendset::cpu {

struct OptimizerKernels {
  void (*rmsprop)(const ms_rmsprop_args& args, int64_t begin, int64_t end);
  void (*adamw)(const ms_adamw_args& args, int64_t begin, int64_t end);
};

}  // namespace mendset::cpu
