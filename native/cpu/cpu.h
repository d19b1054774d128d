// The CPU backend: always linked in, kernels chosen at run time for the best instruction set (MENDSET_ISA forces one).
#pragma once

#include "mendset/backend.h"

const ms_backend* mendset_cpu_backend();
