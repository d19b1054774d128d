// Files of a checkpoint: read-only maps, and files that appear under their name only when complete.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "core/status.h"

namespace mendset {

// A file mapped read-only and private. The descriptor is closed at once, so replacing the file by rename leaves the map valid.
class MappedFile {
 public:
  MappedFile() = default;
  ~MappedFile() { reset(); }
  MappedFile(MappedFile&& other) noexcept { *this = static_cast<MappedFile&&>(other); }
  MappedFile& operator=(MappedFile&& other) noexcept;
  static Status open(const std::string& path, MappedFile* out);
  void reset();
  // The bytes of `part` will not be read again soon: their pages leave this process's memory (they stay in the system's cache).
  void release(std::string_view part) const;
  std::string_view bytes() const { return {static_cast<const char*>(data_), size_}; }

 private:
  void* data_ = nullptr;
  size_t size_ = 0;
};

// Writes to a temporary name beside `path`; `commit` syncs and renames. Dropped without commit, nothing of it remains.
class AtomicFile {
 public:
  AtomicFile() = default;
  ~AtomicFile() { discard(); }
  AtomicFile(AtomicFile&& other) noexcept { *this = static_cast<AtomicFile&&>(other); }
  AtomicFile& operator=(AtomicFile&& other) noexcept;
  static Status create(const std::string& path, AtomicFile* out);
  Status write(const void* data, size_t bytes);
  Status commit();
  bool is_open() const { return descriptor_ >= 0; }

 private:
  void discard();
  std::string path_, temporary_;
  int descriptor_ = -1;
};

bool file_exists(const std::string& path);
// The whole of a small text file; not_found when it does not exist.
Status read_text_file(const std::string& path, std::string* out);
Status write_text_file(const std::string& path, std::string_view text);
Status remove_file(const std::string& path);  // fine when there is none

}  // namespace mendset
