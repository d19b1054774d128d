// Safetensors files: u64 header length, JSON header, data. Everything in the header is checked before anything is allocated for
// it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/half_float.h"
#include "core/status.h"
#include "model/files.h"

namespace mendset {

struct StoredTensor {
  std::string name;
  std::string dtype;  // "F32", "BF16", ...
  std::vector<int64_t> shape;
  int64_t count;        // product of shape
  uint64_t begin, end;  // byte range within the data section
};

// Bytes of one element; 0 when the kind is unknown or not supported.
size_t element_bytes(std::string_view dtype);

class SafetensorsFile {
 public:
  static Status open(const std::string& path, std::shared_ptr<SafetensorsFile>* out);

  const std::string& path() const { return path_; }
  const std::vector<StoredTensor>& tensors() const { return tensors_; }  // ascending by place in the file
  const StoredTensor* find(std::string_view name) const;
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  // Elements [first, first + count) of a tensor, as a tensor of one dimension.
  static StoredTensor part(const StoredTensor& tensor, int64_t first, int64_t count);
  // Row-major little-endian elements, possibly unaligned, valid as long as this object.
  std::string_view bytes(const StoredTensor& tensor) const;
  // A tensor that has been used up need not stay in memory; it can still be read.
  void release(const StoredTensor& tensor) const { file_.release(bytes(tensor)); }
  // F32, F16 and BF16 widened to fp32; every other kind is refused by name. `out` has tensor.count elements.
  Status read(const StoredTensor& tensor, float* out) const;

 private:
  Status parse_header();
  std::string path_;
  MappedFile file_;
  std::vector<StoredTensor> tensors_;
  std::map<std::string, size_t, std::less<>> by_name_;
  std::map<std::string, std::string> metadata_;
  uint64_t data_begin_ = 0;
};

// Nearest bfloat16, ties to even; NaN stays NaN.
uint16_t bfloat16_from_float(float value);
// Nearest float16, ties to even; beyond 65504 infinity, NaN stays NaN.
uint16_t float16_from_float(float value);

struct TensorToWrite {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
};

// Writes one file in the given order: declare, append every tensor's bytes, finish. Appears under its name only when finished.
class SafetensorsWriter {
 public:
  static Status create(const std::string& path, const std::vector<TensorToWrite>& tensors,
                       std::map<std::string, std::string> metadata, SafetensorsWriter* out);
  // fp32 values of the next tensor, stored as F32, F16 or BF16 as declared.
  Status append(const float* values);
  // The next `count` of its values; the tensor ends with its last one.
  Status append(const float* values, size_t count);
  Status finish();

 private:
  AtomicFile file_;
  std::vector<TensorToWrite> tensors_;
  size_t next_ = 0, written_ = 0;  // tensor, elements of it
  std::vector<uint16_t> narrow_;
};

// The files of a checkpoint folder: model.safetensors, or the shards named by model.safetensors.index.json.
class CheckpointFiles {
 public:
  static Status open(const std::string& directory, CheckpointFiles* out);
  struct Place {
    const SafetensorsFile* file;
    const StoredTensor* tensor;
  };
  const std::map<std::string, Place>& places() const { return places_; }
  // Tensors that end in `from` are found as if they ended in `to`, unless there is such a one.
  void rename_endings(std::string_view from, std::string_view to);

 private:
  std::vector<std::shared_ptr<SafetensorsFile>> files_;
  std::map<std::string, Place> places_;
};

}  // namespace mendset
