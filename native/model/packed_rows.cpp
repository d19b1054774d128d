#include "model/packed_rows.h"

#include <algorithm>

#include "model/model.h"

namespace mendset {

namespace {

long long number(int64_t n) { return static_cast<long long>(n); }

}  // namespace

Status check_sequences(const PackedBatch& batch, const Architecture& architecture, const char* name) {
  const std::span<const int32_t> offsets = batch.offsets;
  if (offsets.size() < 2)
    return failure(Code::invalid_argument, "%s has no sample; expected offsets with at least 2 entries, got %zu.", name,
                   offsets.size());
  if (offsets.front() != 0)
    return failure(Code::invalid_argument, "%s: offsets must begin with 0, got %d.", name, offsets.front());
  for (size_t s = 1; s < offsets.size(); ++s) {
    const int64_t length = int64_t{offsets[s]} - offsets[s - 1];
    if (length < 1)
      return failure(Code::invalid_argument, "%s: offsets must ascend strictly, but sample %zu has %lld tokens.", name, s - 1,
                     number(length));
    if (length > architecture.context) {
      return failure(Code::invalid_argument, "%s: sample %zu has %lld tokens, but the model's context is %lld; shorten it.", name,
                     s - 1, number(length), number(architecture.context));
    }
  }
  if (offsets.back() != batch.tokens()) {
    return failure(Code::invalid_argument, "%s: the last offset is %d, but there are %lld ids.", name, offsets.back(),
                   number(batch.tokens()));
  }
  for (size_t t = 0; t < batch.ids.size(); ++t) {
    if (batch.ids[t] < 0 || batch.ids[t] >= architecture.vocab) {
      return failure(Code::invalid_argument,
                     "%s: id %d at place %zu is outside the vocabulary of %lld; is it the right tokenizer?", name, batch.ids[t],
                     t, number(architecture.vocab));
    }
  }
  return {};
}

Status check_batch(const PackedBatch& batch, const Architecture& architecture, const char* name) {
  MS_TRY(check_language_model(architecture));
  MS_TRY(check_sequences(batch, architecture, name));
  if (!batch.mask.empty() && batch.mask.size() != batch.ids.size()) {
    return failure(Code::invalid_argument, "%s: the mask has %zu entries for %zu ids.", name, batch.mask.size(),
                   batch.ids.size());
  }
  if (batch.positions.empty()) return {};
  if (batch.positions.size() != batch.ids.size()) {
    return failure(Code::invalid_argument, "%s: there are %zu positions for %zu ids.", name, batch.positions.size(),
                   batch.ids.size());
  }
  for (size_t t = 0; t < batch.positions.size(); ++t) {
    if (batch.positions[t] < 0 || batch.positions[t] >= architecture.context) {
      return failure(Code::invalid_argument, "%s: position %d at place %zu is outside the context of %lld.", name,
                     batch.positions[t], t, number(architecture.context));
    }
  }
  return {};
}

namespace {

bool is_scored(const PackedBatch& batch, int32_t token) {
  return batch.mask.empty() || batch.mask[static_cast<size_t>(token)] != 0;
}

}  // namespace

void PackedRows::append(const PackedBatch& batch, int64_t first_sample, int64_t last_sample, bool trim) {
  for (int64_t s = first_sample; s < last_sample; ++s) {
    const int32_t begin = batch.offsets[static_cast<size_t>(s)], sample = static_cast<int32_t>(samples());
    int32_t end = batch.offsets[static_cast<size_t>(s) + 1];
    if (trim) {
      while (end > begin + 1 && !is_scored(batch, end - 1)) --end;
      --end;  // the last scored token is predicted, not read
    }
    for (int32_t t = begin; t < end; ++t) {
      const int32_t row = static_cast<int32_t>(rows());
      ids.push_back(batch.ids[static_cast<size_t>(t)]);
      positions.push_back(batch.positions.empty() ? t - begin : batch.positions[static_cast<size_t>(t)]);
      const int32_t next = t + 1;
      if (next >= batch.offsets[static_cast<size_t>(s) + 1] || !is_scored(batch, next)) continue;
      loss_rows.push_back(row);
      targets.push_back(batch.ids[static_cast<size_t>(next)]);
      loss_samples.push_back(sample);
      loss_tokens.push_back(next);
    }
    offsets.push_back(static_cast<int32_t>(rows()));
    loss_offsets.push_back(static_cast<int32_t>(losses()));
  }
}

int64_t scored_tokens(const PackedBatch& batch, int64_t sample) {
  const int32_t begin = batch.offsets[static_cast<size_t>(sample)], end = batch.offsets[static_cast<size_t>(sample) + 1];
  int64_t count = 0;
  for (int32_t t = begin + 1; t < end; ++t) count += is_scored(batch, t) ? 1 : 0;
  return count;
}

DeviceRows upload_rows(Builder& builder, const PackedRows& rows) {
  DeviceRows device;
  device.rows = rows.rows();
  device.samples = rows.samples();
  for (size_t s = 0; s + 1 < rows.offsets.size(); ++s) {
    const int64_t length = rows.offsets[s + 1] - rows.offsets[s];
    device.max_length = std::max(device.max_length, length);
    device.pairs += static_cast<double>(length * (length + 1) / 2);
  }
  device.ids = builder.upload(rows.ids);
  device.positions = builder.upload(rows.positions);
  device.offsets = builder.upload(rows.offsets);
  return device;
}

std::vector<std::pair<int64_t, int64_t>> split_samples(const PackedBatch& batch, int64_t max_tokens) {
  std::vector<std::pair<int64_t, int64_t>> ranges;
  int64_t first = 0;
  for (int64_t s = 1; s <= batch.samples(); ++s) {
    const auto tokens = [&](int64_t last) {
      return batch.offsets[static_cast<size_t>(last)] - batch.offsets[static_cast<size_t>(first)];
    };
    if (s < batch.samples() && tokens(s + 1) <= max_tokens) continue;
    ranges.emplace_back(first, s);
    first = s;
  }
  return ranges;
}

int64_t pass_tokens(const Model& model) {
  const Architecture& a = model.architecture();
  if (model.backend()->on_host()) return a.width < 512 ? 1024 : 512;
  // A device needs thousands of tokens to be busy: as many as keep their activations (ten widths a layer) within 4 GiB.
  constexpr int64_t kActivationFloats = int64_t{1} << 30;
  return std::clamp<int64_t>(kActivationFloats / (10 * a.width * a.layers), 1024, 16384);
}

}  // namespace mendset
