// Upper estimates of the workspace of those operations that need more than a few rows of it. Sizes alone are read.
#pragma once

#include <cstddef>

#include "cpu/context.h"

namespace mendset::cpu {

size_t scratch_of(const Context& context, const ms_linear_forward_args& args);
size_t scratch_of(const Context& context, const ms_linear_backward_input_args& args);
size_t scratch_of(const Context& context, const ms_linear_backward_weight_args& args);
size_t scratch_of(const Context& context, const ms_linear_sample_norm_args& args);
size_t scratch_of(const Context& context, const ms_attention_forward_args& args);
size_t scratch_of(const Context& context, const ms_attention_backward_args& args);

int64_t scratch_bytes(ms_context* context, int32_t operation, const void* args);

}  // namespace mendset::cpu
