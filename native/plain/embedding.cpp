// Token and position embeddings.
#include "plain/plain_operations.h"
#include "plain/weight_element.h"

namespace mendset {

int32_t plain_embed_forward(ms_context*, const ms_embed_forward_args* a) {
  for (int64_t t = 0; t < a->rows; ++t) {
    const float* position = a->position_table ? a->position_table + a->positions[t] * a->width : nullptr;
    float* out = a->out + t * a->width;
    for (int64_t c = 0; c < a->width; ++c) {
      const float token = weight_element(a->token_table, a->token_type, a->ids[t] * a->width + c);
      out[c] = position ? token + position[c] : token;
      if (a->bias) out[c] += a->bias[c];
    }
  }
  return MS_OK;
}

int32_t plain_embed_backward(ms_context*, const ms_embed_backward_args* a) {
  for (int64_t t = 0; t < a->rows; ++t) {
    const float* d_out = a->d_out + t * a->width;
    for (int64_t c = 0; c < a->width; ++c) {
      if (a->d_token_table) a->d_token_table[a->ids[t] * a->width + c] += d_out[c];
      if (a->d_position_table) a->d_position_table[a->positions[t] * a->width + c] += d_out[c];
    }
  }
  return MS_OK;
}

}  // namespace mendset
