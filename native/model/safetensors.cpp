#include "model/safetensors.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <set>

#include "model/json.h"

namespace mendset {

static_assert(std::endian::native == std::endian::little, "safetensors data are little-endian and used in place");

namespace {

constexpr uint64_t kMaxHeader = 100'000'000;
constexpr int64_t kMaxSafeInteger = (int64_t{1} << 53) - 1;

Status integer_list(const Json* json, std::vector<int64_t>* out) {
  if (json == nullptr || !json->is_array()) return failure(Code::corrupt, "is not a list");
  for (const Json& item : json->items()) {
    int64_t value;
    if (!item.as_integer(&value) || value < 0 || value > kMaxSafeInteger)
      return failure(Code::corrupt, "holds something else than integers from 0 to 2^53 - 1");
    out->push_back(value);
  }
  return {};
}

}  // namespace

size_t element_bytes(std::string_view dtype) {
  if (dtype == "F64" || dtype == "I64" || dtype == "U64") return 8;
  if (dtype == "F32" || dtype == "I32" || dtype == "U32") return 4;
  if (dtype == "F16" || dtype == "BF16" || dtype == "I16" || dtype == "U16") return 2;
  if (dtype == "I8" || dtype == "U8" || dtype == "BOOL") return 1;
  return 0;
}

uint16_t bfloat16_from_float(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

uint16_t float16_from_float(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value), magnitude = bits & 0x7FFFFFFFu;
  const uint32_t sign = (bits >> 16) & 0x8000u;
  if (magnitude > 0x7F800000u) return static_cast<uint16_t>(sign | 0x7E00u);
  if (magnitude >= 0x477FF000u) return static_cast<uint16_t>(sign | 0x7C00u);  // rounds to 65536 or more
  if (magnitude < 0x38800000u) {                                               // below 2^-14: multiples of 2^-24
    const float scaled = std::bit_cast<float>(magnitude) * 0x1p24f;            // exact, below 1024
    return static_cast<uint16_t>(sign | static_cast<uint32_t>(std::nearbyint(scaled)));
  }
  const uint32_t rounded = magnitude + 0xFFFu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

Status SafetensorsFile::open(const std::string& path, std::shared_ptr<SafetensorsFile>* out) {
  auto file = std::make_shared<SafetensorsFile>();
  file->path_ = path;
  MS_TRY(MappedFile::open(path, &file->file_));
  MS_TRY(file->parse_header());
  *out = std::move(file);
  return {};
}

Status SafetensorsFile::parse_header() {
  const std::string_view bytes = file_.bytes();
  const char* path = path_.c_str();
  if (bytes.size() < 8) return failure(Code::corrupt, "%s has %zu bytes; a safetensors file has at least 8.", path, bytes.size());
  uint64_t header_bytes;
  std::memcpy(&header_bytes, bytes.data(), 8);
  if (header_bytes > kMaxHeader) {
    return failure(Code::corrupt, "%s claims a header of %llu bytes; the format allows %llu.", path,
                   static_cast<unsigned long long>(header_bytes), static_cast<unsigned long long>(kMaxHeader));
  }
  if (header_bytes > bytes.size() - 8) {
    return failure(Code::corrupt, "%s is truncated: its header should have %llu bytes, but only %zu follow.", path,
                   static_cast<unsigned long long>(header_bytes), bytes.size() - 8);
  }
  data_begin_ = 8 + header_bytes;
  const std::string_view header = bytes.substr(8, static_cast<size_t>(header_bytes));
  if (header.empty() || header.front() != '{') return failure(Code::corrupt, "%s: the header does not begin with '{'.", path);
  Json json;
  if (const Status status = Json::parse(header, &json); !status.ok()) {
    return failure(Code::corrupt, "%s: the header cannot be read: %s", path, status.message().c_str());
  }
  for (const JsonMember& member : json.members()) {
    const char* name = member.key.c_str();
    if (member.key == "__metadata__") {
      if (!member.value.is_object()) return failure(Code::corrupt, "%s: __metadata__ is not an object.", path);
      for (const JsonMember& pair : member.value.members()) {
        if (!pair.value.is_string())
          return failure(Code::corrupt, "%s: __metadata__ value \"%.100s\" is not a string.", path, pair.key.c_str());
        metadata_[pair.key] = pair.value.as_string();
      }
      continue;
    }
    if (!member.value.is_object()) return failure(Code::corrupt, "%s: the entry of tensor %.200s is not an object.", path, name);
    const Json* dtype = member.value.find("dtype");
    if (dtype == nullptr || !dtype->is_string()) return failure(Code::corrupt, "%s: tensor %.200s has no dtype.", path, name);
    StoredTensor tensor;
    tensor.name = member.key;
    tensor.dtype = dtype->as_string();
    const size_t size = element_bytes(tensor.dtype);
    if (size == 0)
      return failure(Code::unsupported, "%s: tensor %.200s has the element type %.40s, which is not supported.", path, name,
                     tensor.dtype.c_str());
    std::vector<int64_t> offsets;
    if (const Status status = integer_list(member.value.find("shape"), &tensor.shape); !status.ok()) {
      return failure(Code::corrupt, "%s: the shape of tensor %.200s %s.", path, name, status.message().c_str());
    }
    if (const Status status = integer_list(member.value.find("data_offsets"), &offsets); !status.ok()) {
      return failure(Code::corrupt, "%s: data_offsets of tensor %.200s %s.", path, name, status.message().c_str());
    }
    if (offsets.size() != 2 || offsets[0] > offsets[1]) {
      return failure(Code::corrupt, "%s: data_offsets of tensor %.200s are not [begin, end].", path, name);
    }
    tensor.begin = static_cast<uint64_t>(offsets[0]);
    tensor.end = static_cast<uint64_t>(offsets[1]);
    tensor.count = 1;
    for (const int64_t dimension : tensor.shape) {
      if (dimension != 0 && tensor.count > kMaxSafeInteger / dimension) {
        return failure(Code::corrupt, "%s: the shape of tensor %.200s overflows.", path, name);
      }
      tensor.count *= dimension;
    }
    const uint64_t limit = UINT64_MAX / size;
    if (static_cast<uint64_t>(tensor.count) > limit || static_cast<uint64_t>(tensor.count) * size != tensor.end - tensor.begin) {
      return failure(Code::corrupt, "%s: tensor %.200s has %lld elements of %zu bytes, but its data_offsets span %llu bytes.",
                     path, name, static_cast<long long>(tensor.count), size,
                     static_cast<unsigned long long>(tensor.end - tensor.begin));
    }
    tensors_.push_back(std::move(tensor));
  }
  std::sort(tensors_.begin(), tensors_.end(), [](const StoredTensor& a, const StoredTensor& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end != b.end ? a.end < b.end : a.name < b.name;
  });
  uint64_t at = 0;
  for (const StoredTensor& tensor : tensors_) {
    if (tensor.begin != at) {
      return failure(Code::corrupt, "%s: tensor %.200s begins at byte %llu of the data, which %s at byte %llu.", path,
                     tensor.name.c_str(), static_cast<unsigned long long>(tensor.begin),
                     tensor.begin < at ? "overlaps its predecessor ending" : "leaves a hole after the end",
                     static_cast<unsigned long long>(at));
    }
    at = tensor.end;
  }
  if (at != bytes.size() - data_begin_) {
    return failure(Code::corrupt, "%s: the tensors end at byte %llu of the data, but the file has %llu.", path,
                   static_cast<unsigned long long>(at), static_cast<unsigned long long>(bytes.size() - data_begin_));
  }
  for (size_t i = 0; i < tensors_.size(); ++i) by_name_[tensors_[i].name] = i;
  return {};
}

const StoredTensor* SafetensorsFile::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

StoredTensor SafetensorsFile::part(const StoredTensor& tensor, int64_t first, int64_t count) {
  const uint64_t width = element_bytes(tensor.dtype), begin = tensor.begin + static_cast<uint64_t>(first) * width;
  return {tensor.name, tensor.dtype, {count}, count, begin, begin + static_cast<uint64_t>(count) * width};
}

std::string_view SafetensorsFile::bytes(const StoredTensor& tensor) const {
  return file_.bytes().substr(static_cast<size_t>(data_begin_ + tensor.begin), static_cast<size_t>(tensor.end - tensor.begin));
}

Status SafetensorsFile::read(const StoredTensor& tensor, float* out) const {
  const std::string_view from = bytes(tensor);
  const size_t count = static_cast<size_t>(tensor.count);
  if (tensor.dtype == "F32") {
    if (count > 0) std::memcpy(out, from.data(), from.size());
    return {};
  }
  const bool half = tensor.dtype == "F16";
  if (!half && tensor.dtype != "BF16") {
    return failure(Code::unsupported, "%s: tensor %s has the element type %s; weights are read from F32, F16 and BF16.",
                   path_.c_str(), tensor.name.c_str(), tensor.dtype.c_str());
  }
  for (size_t i = 0; i < count; ++i) {
    uint16_t bits;
    std::memcpy(&bits, from.data() + 2 * i, 2);
    out[i] = half ? float_from_float16(bits) : float_from_bfloat16(bits);
  }
  return {};
}

namespace {
size_t elements(const TensorToWrite& tensor) {
  size_t count = 1;
  for (const int64_t dimension : tensor.shape) count *= static_cast<size_t>(dimension);
  return count;
}
}  // namespace

Status SafetensorsWriter::create(const std::string& path, const std::vector<TensorToWrite>& tensors,
                                 std::map<std::string, std::string> metadata, SafetensorsWriter* out) {
  metadata.insert({"format", "pt"});  // readers before transformers 4.57 refuse files without it
  Json header = Json::object();
  Json pairs = Json::object();
  for (const auto& [key, value] : metadata) pairs.set(key, Json::string(value));
  header.set("__metadata__", std::move(pairs));
  int64_t at = 0;
  for (const TensorToWrite& tensor : tensors) {
    int64_t bytes = static_cast<int64_t>(element_bytes(tensor.dtype));
    std::vector<Json> shape;
    for (const int64_t dimension : tensor.shape) {
      bytes *= dimension;
      shape.push_back(Json::integer(dimension));
    }
    Json entry = Json::object();
    entry.set("dtype", Json::string(tensor.dtype));
    entry.set("shape", Json::array(std::move(shape)));
    entry.set("data_offsets", Json::array({Json::integer(at), Json::integer(at + bytes)}));
    header.set(tensor.name, std::move(entry));
    at += bytes;
  }
  std::string text = header.write(0);
  while (text.size() % 8 != 0) text.push_back(' ');
  const uint64_t length = text.size();
  MS_TRY(AtomicFile::create(path, &out->file_));
  MS_TRY(out->file_.write(&length, 8));
  MS_TRY(out->file_.write(text.data(), text.size()));
  out->tensors_ = tensors;
  out->next_ = 0;
  return {};
}

Status SafetensorsWriter::append(const float* values) { return append(values, elements(tensors_[next_])); }

Status SafetensorsWriter::append(const float* values, size_t count) {
  const TensorToWrite& tensor = tensors_[next_];
  written_ += count;
  if (written_ == elements(tensor)) {
    ++next_;
    written_ = 0;
  }
  if (tensor.dtype == "F32") return file_.write(values, count * 4);
  narrow_.resize(count);
  const bool half = tensor.dtype == "F16";
  for (size_t i = 0; i < count; ++i) narrow_[i] = half ? float16_from_float(values[i]) : bfloat16_from_float(values[i]);
  return file_.write(narrow_.data(), count * 2);
}

Status SafetensorsWriter::finish() {
  if (next_ != tensors_.size())
    return failure(Code::internal, "%zu of %zu declared tensors were written.", next_, tensors_.size());
  return file_.commit();
}

void CheckpointFiles::rename_endings(std::string_view from, std::string_view to) {
  std::vector<std::string> names;
  for (const auto& [name, place] : places_) {
    if (name.ends_with(from)) names.push_back(name);
  }
  for (const std::string& name : names) {
    const std::string renamed = name.substr(0, name.size() - from.size()) + std::string(to);
    if (places_.count(renamed) != 0) continue;
    auto node = places_.extract(name);
    node.key() = renamed;
    places_.insert(std::move(node));
  }
}

Status CheckpointFiles::open(const std::string& directory, CheckpointFiles* out) {
  const std::string single = directory + "/model.safetensors", index = directory + "/model.safetensors.index.json";
  if (file_exists(single)) {
    std::shared_ptr<SafetensorsFile> file;
    MS_TRY(SafetensorsFile::open(single, &file));
    for (const StoredTensor& tensor : file->tensors()) out->places_[tensor.name] = {file.get(), &tensor};
    out->files_.push_back(std::move(file));
    return {};
  }
  if (!file_exists(index)) {
    return failure(Code::not_found, "%s holds neither model.safetensors nor model.safetensors.index.json.", directory.c_str());
  }
  std::string text;
  MS_TRY(read_text_file(index, &text));
  Json json;
  if (const Status status = Json::parse(text, &json); !status.ok())
    return failure(Code::corrupt, "%s: %s", index.c_str(), status.message().c_str());
  const Json* map = json.find("weight_map");
  if (map == nullptr || !map->is_object()) return failure(Code::corrupt, "%s has no weight_map.", index.c_str());
  std::map<std::string, std::shared_ptr<SafetensorsFile>> shards;
  for (const JsonMember& member : map->members()) {
    if (!member.value.is_string())
      return failure(Code::corrupt, "%s: weight_map of %.200s is not a file name.", index.c_str(), member.key.c_str());
    const std::string& name = member.value.as_string();
    const bool control = std::any_of(name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) < 32; });
    if (name.empty() || control || name.find_first_of("/\\%") != std::string::npos || name == "." || name == "..") {
      return failure(Code::corrupt, "%s: \"%.200s\" is not a plain file name.", index.c_str(), name.c_str());
    }
    std::shared_ptr<SafetensorsFile>& shard = shards[name];
    if (shard == nullptr) MS_TRY(SafetensorsFile::open(directory + "/" + name, &shard));
    const StoredTensor* tensor = shard->find(member.key);
    if (tensor == nullptr)
      return failure(Code::corrupt, "%s: tensor %.200s is not in %s.", index.c_str(), member.key.c_str(), name.c_str());
    out->places_[member.key] = {shard.get(), tensor};
  }
  for (auto& [name, shard] : shards) {
    for (const StoredTensor& tensor : shard->tensors()) {
      const auto place = out->places_.find(tensor.name);
      if (place == out->places_.end())
        return failure(Code::corrupt, "%s: tensor %.200s of %s is missing in weight_map.", index.c_str(), tensor.name.c_str(),
                       name.c_str());
      if (place->second.file != shard.get()) {
        return failure(Code::corrupt, "%s: tensor %.200s is stored in two shards.", index.c_str(), tensor.name.c_str());
      }
    }
    out->files_.push_back(shard);
  }
  return {};
}

}  // namespace mendset
