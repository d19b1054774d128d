// Encoders and sequence classifiers for JavaScript.
#pragma once

#include "addon/node.h"

namespace mendset::addon {

// loadEncoderTask, encodeTask
void register_encoder(Napi::Env env, Napi::Object exports);

}  // namespace mendset::addon
