#pragma once

#include "addon/node.h"

namespace mendset::addon {

void register_profile(Napi::Env env, Napi::Object exports);

}  // namespace mendset::addon
