// The memory of a model's weights: fp32, or per group as the checkpoint stores them.
#include <algorithm>
#include <functional>

#include "core/half_float.h"
#include "model/model.h"

namespace mendset {

namespace {

size_t round_up(size_t bytes) { return (bytes + 63) / 64 * 64; }

size_t element_size(int32_t type) { return type == MS_TYPE_F32 ? sizeof(float) : sizeof(uint16_t); }

constexpr size_t kPiece = size_t{1} << 20;  // elements that are widened at a time

}  // namespace

bool Model::allocated() const { return !memory_.empty() && memory(0).buffer != nullptr; }

bool Model::may_be_narrow(int tensor) const {
  if (tensor == map_.token_embedding || tensor == map_.head.weight) return true;
  const int32_t block = tensors_[static_cast<size_t>(tensor)].block;
  if (block < 0) return false;
  const std::vector<const LinearMap*> maps = block_linears(map_.blocks[static_cast<size_t>(block)]);
  return std::any_of(maps.begin(), maps.end(), [&](const LinearMap* map) { return map->weight == tensor; });
}

Status Model::hold_narrow(const std::vector<int32_t>& stored_types) {
  for (size_t g = 0; g < groups_.size(); ++g) {
    size_t at = 0;
    for (size_t t = groups_[g].first; t < groups_[g].last; ++t) {
      const int32_t type = may_be_narrow(static_cast<int>(t)) ? stored_types[t] : static_cast<int32_t>(MS_TYPE_F32);
      if ((backend_->table().weight_types >> type & 1) == 0) {
        return failure(Code::unsupported,
                       "The backend '%s' holds weights in fp32 alone; load the model without keeping 16-bit weights as stored.",
                       backend_->name());
      }
      types_[t] = type;
      narrow_offsets_[t] = at;
      at += round_up(static_cast<size_t>(tensors_[t].count) * element_size(type));
      memory_[g].narrow |= type != MS_TYPE_F32;
    }
  }
  return {};
}

int64_t Model::group_bytes(size_t group, bool narrow) const {
  const TensorGroup& range = groups_[group];
  if (!narrow) return (range.end - range.begin) * static_cast<int64_t>(sizeof(float));
  size_t bytes = 0;
  for (size_t t = range.first; t < range.last; ++t)
    bytes += round_up(static_cast<size_t>(tensors_[t].count) * element_size(types_[t]));
  return static_cast<int64_t>(bytes);
}

int64_t Model::bytes() const {
  int64_t bytes = 0;
  for (size_t g = 0; g < groups_.size(); ++g) bytes += group_bytes(g, is_narrow(g));
  return bytes;
}

int32_t Model::stored_type() const {
  const auto narrow = std::find_if(types_.begin(), types_.end(), [](int32_t type) { return type != MS_TYPE_F32; });
  return narrow == types_.end() ? static_cast<int32_t>(MS_TYPE_F32) : *narrow;
}

GroupMemory Model::memory(size_t group) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return memory_[group];
}

std::byte* Model::base(const GroupMemory& memory) {
  return memory.buffer == nullptr ? reinterpret_cast<std::byte*>(kNowhere) : memory.buffer->as<std::byte>() + memory.begin;
}

size_t Model::offset_in_group(int tensor, bool narrow) const {
  if (narrow) return narrow_offsets_[static_cast<size_t>(tensor)];
  return static_cast<size_t>(offset(tensor) - groups_[group_of(tensor)].begin) * sizeof(float);
}

void* Model::place(int tensor) const {
  const GroupMemory held = memory(group_of(tensor));
  return base(held) + offset_in_group(tensor, held.narrow);
}

int32_t Model::type(int tensor) const {
  return is_narrow(group_of(tensor)) ? types_[static_cast<size_t>(tensor)] : static_cast<int32_t>(MS_TYPE_F32);
}

Status Model::allocate_groups(std::vector<GroupMemory>* out) const {
  out->resize(groups_.size());
  if (stored_type() == MS_TYPE_F32) {  // one range, so that it is copied and freed as one
    auto buffer = std::make_shared<Buffer>();
    MS_TRY(Buffer::allocate(backend_, static_cast<size_t>(elements_) * sizeof(float), buffer.get()));
    for (size_t g = 0; g < groups_.size(); ++g)
      (*out)[g] = {buffer, static_cast<size_t>(groups_[g].begin) * sizeof(float), false};
    return {};
  }
  for (size_t g = 0; g < groups_.size(); ++g) MS_TRY(allocate_group(g, is_narrow(g), &(*out)[g]));
  return {};
}

Status Model::allocate_group(size_t group, bool narrow, GroupMemory* out) const {
  auto buffer = std::make_shared<Buffer>();
  MS_TRY(Buffer::allocate(backend_, static_cast<size_t>(group_bytes(group, narrow)), buffer.get()));
  *out = {std::move(buffer), 0, narrow};
  return {};
}

Status Model::allocate_rotary() {
  const std::vector<double>& frequencies = architecture_.rotary_frequencies;
  if (frequencies.empty()) return {};
  const size_t bytes = frequencies.size() * sizeof(double);
  MS_TRY(Buffer::allocate(backend_, bytes, &rotary_));
  return rotary_.upload(frequencies.data(), bytes);
}

Status Model::allocate() {
  MS_TRY(allocate_rotary());
  std::vector<GroupMemory> memory;
  MS_TRY(allocate_groups(&memory));
  const std::lock_guard<std::mutex> lock(mutex_);
  memory_ = std::move(memory);
  return {};
}

void Model::replace(size_t group, GroupMemory memory, int own_leases) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::swap(memory_[group], memory);
  if (leases_ > own_leases) retired_.push_back(std::move(memory));
}

void Model::lease() {
  const std::lock_guard<std::mutex> lock(mutex_);
  ++leases_;
}

void Model::end_lease() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (--leases_ == 0) retired_.clear();
}

Status Model::widen(size_t group, int own_leases) {
  const GroupMemory narrow = memory(group);
  if (!narrow.narrow) return {};
  GroupMemory wide;
  MS_TRY(allocate_group(group, false, &wide));
  std::vector<uint16_t> bits;
  std::vector<float> values;
  for (size_t t = groups_[group].first; t < groups_[group].last; ++t) {
    const int tensor = static_cast<int>(t);
    const size_t count = static_cast<size_t>(tensors_[t].count), from = offset_in_group(tensor, true),
                 to = offset_in_group(tensor, false);
    for (size_t done = 0; done < count; done += kPiece) {
      const size_t piece = std::min(kPiece, count - done);
      values.resize(piece);
      if (types_[t] == MS_TYPE_F32) {
        MS_TRY(narrow.buffer->download(values.data(), piece * sizeof(float), narrow.begin + from + done * sizeof(float)));
      } else {
        bits.resize(piece);
        MS_TRY(narrow.buffer->download(bits.data(), piece * sizeof(uint16_t), narrow.begin + from + done * sizeof(uint16_t)));
        for (size_t i = 0; i < piece; ++i)
          values[i] = types_[t] == MS_TYPE_BF16 ? float_from_bfloat16(bits[i]) : float_from_float16(bits[i]);
      }
      MS_TRY(wide.buffer->upload(values.data(), piece * sizeof(float), to + done * sizeof(float)));
    }
  }
  replace(group, std::move(wide), own_leases);
  return {};
}

Status Model::keep(std::vector<GroupMemory>* kept) const {
  if (kept->empty()) {
    std::vector<GroupMemory> made(groups_.size());
    if (stored_type() == MS_TYPE_F32) MS_TRY(allocate_groups(&made));
    *kept = std::move(made);
  }
  for (size_t g = 0; g < groups_.size(); ++g) {
    const GroupMemory now = memory(g);
    GroupMemory& copy = (*kept)[g];
    if (now.narrow) {
      copy = now;
      continue;
    }
    if (copy.buffer == nullptr || copy.narrow) MS_TRY(allocate_group(g, false, &copy));
    MS_TRY(copy_group(g, now, copy));
  }
  return {};
}

Status Model::put_back(const std::vector<GroupMemory>& kept) {
  for (size_t g = 0; g < groups_.size(); ++g) {
    GroupMemory now = memory(g);
    if (kept[g].narrow) {
      if (!now.narrow) replace(g, kept[g], 0);
      continue;
    }
    if (now.narrow) {
      GroupMemory wide;
      MS_TRY(allocate_group(g, false, &wide));
      MS_TRY(copy_group(g, kept[g], wide));
      replace(g, std::move(wide), 0);
    } else {
      MS_TRY(copy_group(g, kept[g], now));
    }
  }
  return {};
}

Status Model::take(Model& from) {
  const auto differs = [](const TensorInfo& a, const TensorInfo& b) { return a.name != b.name || a.shape != b.shape; };
  if (&from.backend_->table() != &backend_->table() ||
      !std::equal(tensors_.begin(), tensors_.end(), from.tensors_.begin(), from.tensors_.end(), std::not_fn(differs))) {
    return failure(Code::invalid_argument, "Weights are taken from a model of the same architecture on the same backend.");
  }
  std::vector<GroupMemory> theirs;
  for (size_t g = 0; g < groups_.size(); ++g) {
    const auto first = static_cast<std::ptrdiff_t>(groups_[g].first), last = static_cast<std::ptrdiff_t>(groups_[g].last);
    if (!std::equal(types_.begin() + first, types_.begin() + last, from.types_.begin() + first)) MS_TRY(from.widen(g, 0));
    theirs.push_back(from.memory(g));
  }
  return put_back(theirs);
}

Status Model::copy_group(size_t group, const GroupMemory& from, const GroupMemory& to) const {
  return backend_->check(
      backend_->table().copy(backend_->context(), base(to), base(from), static_cast<size_t>(group_bytes(group, from.narrow))),
      "copy");
}

Status Model::write(int tensor, int64_t first, int64_t count, const void* values) const {
  const GroupMemory held = memory(group_of(tensor));
  const size_t width = element_size(type(tensor));
  return held.buffer->upload(values, static_cast<size_t>(count) * width,
                             held.begin + offset_in_group(tensor, held.narrow) + static_cast<size_t>(first) * width);
}

Status Model::read(int tensor, int64_t first, int64_t wanted, float* values) const {
  const size_t count = static_cast<size_t>(wanted);
  const GroupMemory held = memory(group_of(tensor));
  const int32_t type = held.narrow ? types_[static_cast<size_t>(tensor)] : static_cast<int32_t>(MS_TYPE_F32);
  const size_t at = held.begin + offset_in_group(tensor, held.narrow) + static_cast<size_t>(first) * element_size(type);
  if (type == MS_TYPE_F32) return held.buffer->download(values, count * sizeof(float), at);
  std::vector<uint16_t> bits(std::min(kPiece, count));
  for (size_t done = 0; done < count; done += kPiece) {
    const size_t piece = std::min(kPiece, count - done);
    MS_TRY(held.buffer->download(bits.data(), piece * sizeof(uint16_t), at + done * sizeof(uint16_t)));
    for (size_t i = 0; i < piece; ++i)
      values[done + i] = type == MS_TYPE_BF16 ? float_from_bfloat16(bits[i]) : float_from_float16(bits[i]);
  }
  return {};
}

Status Model::copy(std::shared_ptr<Model>* out) const {
  auto copy = std::make_shared<Model>();
  copy->backend_ = backend_;
  copy->architecture_ = architecture_;
  copy->config_ = config_;
  copy->tensors_ = tensors_;
  copy->offsets_ = offsets_;
  copy->groups_ = groups_;
  copy->map_ = map_;
  copy->elements_ = elements_;
  copy->types_ = types_;
  copy->narrow_offsets_ = narrow_offsets_;
  copy->stored_dtype = stored_dtype;
  copy->stored_dtypes = stored_dtypes;
  copy->memory_.resize(groups_.size());
  MS_TRY(copy->allocate_rotary());
  MS_TRY(keep(&copy->memory_));
  *out = std::move(copy);
  return {};
}

Status Model::copy_head(std::shared_ptr<Model>* out) const {
  const int tensor = map_.head.weight;
  const TensorInfo& info = tensors_[static_cast<size_t>(tensor)];
  const GroupMemory held = memory(group_of(tensor));
  auto copy = std::make_shared<Model>();
  copy->backend_ = backend_;
  copy->architecture_ = architecture_;
  copy->tensors_ = {{info.name, info.shape, info.count, -1}};
  copy->offsets_ = {0};
  copy->map_.head = map_.head;
  copy->map_.head.weight = 0;
  copy->elements_ = static_cast<int64_t>(round_up(static_cast<size_t>(info.count) * sizeof(float)) / sizeof(float));
  copy->groups_ = {{0, 1, 0, copy->elements_}};
  copy->types_ = {held.narrow ? types_[static_cast<size_t>(tensor)] : static_cast<int32_t>(MS_TYPE_F32)};
  copy->narrow_offsets_ = {0};
  copy->memory_ = {{nullptr, 0, copy->types_[0] != MS_TYPE_F32}};
  if (allocated()) {  // of a layout: a layout
    const size_t from = held.begin + offset_in_group(tensor, held.narrow);
    if (copy->memory_[0].narrow) {
      copy->memory_[0] = {held.buffer, from, true};
    } else {
      MS_TRY(copy->allocate_groups(&copy->memory_));
      MS_TRY(copy->copy_group(0, {held.buffer, from, false}, copy->memory_[0]));
    }
  }
  *out = std::move(copy);
  return {};
}

}  // namespace mendset
