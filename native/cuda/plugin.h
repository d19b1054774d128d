// The backend's table: what mendset_backend() returns, and what tests of the emulation open.
#pragma once

#include "mendset/backend.h"

namespace mendset::cuda {

const ms_backend* backend_table();

}  // namespace mendset::cuda
