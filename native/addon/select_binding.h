// kMeansTask, kCenterTask, pcaTask and topK: see src/native/binding-select.ts.
#pragma once

#include "addon/node.h"

namespace mendset::addon {

void register_selection(Napi::Env env, Napi::Object exports);

}  // namespace mendset::addon
