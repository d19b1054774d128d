// Strata of scores and draws from them, as functions of the addon.
#pragma once

#include "addon/node.h"

namespace mendset::addon {

void register_strata(Napi::Env env, Napi::Object exports);

}  // namespace mendset::addon
