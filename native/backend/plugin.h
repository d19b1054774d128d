// Opens a backend's shared library. It stays open for the life of the process: unloading a GPU runtime is not safe.
#pragma once

#include <string>

#include "core/status.h"
#include "mendset/backend.h"

namespace mendset {

Status load_plugin(const std::string& path, const ms_backend** out);

}  // namespace mendset
