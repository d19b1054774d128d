// Selection from scores and by chance alone.
#pragma once

#include "addon/node.h"

namespace mendset::addon {

void register_scores(Napi::Env env, Napi::Object exports);

}  // namespace mendset::addon
