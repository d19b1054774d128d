// The plain backend: every operation as the shortest readable loops, one thread. It judges the fast backends and never judges
// speed.
#pragma once

#include "mendset/backend.h"

const ms_backend* mendset_plain_backend();
