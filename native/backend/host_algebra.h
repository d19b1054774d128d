// fp64 linear algebra on the host, with the instruction set that the processor's backend uses; the same bits on all of them.
#pragma once

#include "cpu/kernels/dense.h"

namespace mendset {

const cpu::DenseKernels& host_algebra();

}  // namespace mendset
