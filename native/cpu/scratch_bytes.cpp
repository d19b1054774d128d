#include "cpu/scratch_bytes.h"

namespace mendset::cpu {

int64_t scratch_bytes(ms_context* handle, int32_t operation, const void* args) {
  const Context& context = context_of(handle);
  switch (operation) {
#define MS_SCRATCH(name) \
  case MS_OPERATION_##name: return static_cast<int64_t>(scratch_of(context, *static_cast<const ms_##name##_args*>(args)));
    MS_SCRATCH(linear_forward)
    MS_SCRATCH(linear_backward_input)
    MS_SCRATCH(linear_backward_weight)
    MS_SCRATCH(linear_sample_norm)
    MS_SCRATCH(attention_forward)
    MS_SCRATCH(attention_backward)
#undef MS_SCRATCH
    default: return 0;
  }
}

}  // namespace mendset::cpu
