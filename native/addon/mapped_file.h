// Files as memory: pages are read when touched and given back when memory is short.
#pragma once

#include "addon/node.h"

namespace mendset::addon {

void register_mapped_file(Napi::Env env, Napi::Object exports);

}  // namespace mendset::addon
