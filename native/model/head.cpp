#include "model/head.h"

#include <algorithm>

#include "model/forward.h"

namespace mendset {

int64_t head_chunk_rows(const Model& model, bool trains_head) {
  // 256 rows of a 50,257-word vocabulary when the head's gradient is read and written per chunk, half of it otherwise. A device reads and writes the
  // head's weights and gradient hundreds of times faster than it is fed: 2048 rows, 393 MiB.
  const bool on_host = model.backend()->on_host();
  const int64_t elements = !on_host ? 103'000'000 : trains_head ? 12'900'000 : 6'450'000;
  return std::clamp<int64_t>(elements / model.architecture().vocab / 64 * 64, 64, on_host ? 1024 : 4096);
}

void build_logits(Builder& builder, const Model& model, int64_t rows, const float* hidden, float* logits) {
  const LinearMap& head = model.map().head;
  builder.add(ms_linear_forward_args{rows, head.in, head.out, hidden, head.in, MS_ACTIVATION_NONE, model.matrix(head.weight),
                                     head.layout, nullptr, nullptr, logits, head.out, model.type(head.weight)});
}

HeadRows build_head_rows(Builder& builder, const Model& model, const PackedRows& rows, float* output, bool with_statistics) {
  const int64_t d = model.architecture().width;
  HeadRows head;
  head.rows = rows.losses();
  head.input = output;
  if (!rows.all_rows()) {
    const int32_t* index = builder.upload(rows.loss_rows);
    head.index = index;
    head.input = builder.take<float>(head.rows * d);
    builder.add(ms_gather_rows_args{head.rows, d, index, output, head.input});
    builder.give(output);
  }
  head.hidden = builder.take<float>(head.rows * d);
  if (with_statistics) {
    head.mean = builder.take<float>(head.rows);
    head.rstd = builder.take<float>(head.rows);
  }
  build_norm(builder, model, model.map().final_norm, head.rows, head.input, head.hidden, head.mean, head.rstd, -1);
  return head;
}

}  // namespace mendset
