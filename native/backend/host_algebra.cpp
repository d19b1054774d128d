#include "backend/host_algebra.h"

#include "cpu/kernels.h"

namespace mendset {

const cpu::DenseKernels& host_algebra() {
  cpu::Isa isa = cpu::Isa::generic;
  if (!cpu::choose_isa(&isa).ok()) isa = cpu::Isa::generic;  // whoever opens a backend is told what is wrong with the choice
  return cpu::kernels_of(isa)->dense;
}

}  // namespace mendset
