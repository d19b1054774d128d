#include "model/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <utility>

namespace mendset {

namespace {

constexpr size_t kMaxTextBytes = size_t{1} << 28;  // far above any config or index

Status system_failure(const char* action, const std::string& path, int error) {
  const Code code = error == ENOENT || error == ENOTDIR ? Code::not_found : Code::io;
  return failure(code, "Cannot %s %s: %s.", action, path.c_str(), std::strerror(error));
}

Status open_for_reading(const std::string& path, int* descriptor, size_t* size) {
  *descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // never waits for a pipe's writer
  if (*descriptor < 0) return system_failure("open", path, errno);
  struct stat status;
  int error = 0;
  if (::fstat(*descriptor, &status) != 0)
    error = errno;
  else if (S_ISDIR(status.st_mode))
    error = EISDIR;
  if (error != 0) {
    ::close(*descriptor);
    return system_failure("read", path, error);
  }
  if (!S_ISREG(status.st_mode)) {
    ::close(*descriptor);
    return failure(Code::corrupt, "%s is not a regular file.", path.c_str());
  }
  *size = static_cast<size_t>(status.st_size);
  return {};
}

}  // namespace

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this != &other) {
    reset();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

void MappedFile::reset() {
  if (data_ != nullptr) ::munmap(data_, size_);
  data_ = nullptr;
  size_ = 0;
}

void MappedFile::release(std::string_view part) const {
  const uintptr_t page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(part.data()) + page - 1) / page * page;
  const uintptr_t end = reinterpret_cast<uintptr_t>(part.data() + part.size()) / page * page;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);  // advice: failing changes nothing
}

Status MappedFile::open(const std::string& path, MappedFile* out) {
  out->reset();
  int descriptor;
  size_t size;
  MS_TRY(open_for_reading(path, &descriptor, &size));
  if (size == 0) {
    ::close(descriptor);
    return failure(Code::corrupt, "%s is empty.", path.c_str());
  }
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
  const int error = errno;
  ::close(descriptor);
  if (data == MAP_FAILED) return system_failure("map", path, error);
  out->data_ = data;
  out->size_ = size;
  return {};
}

AtomicFile& AtomicFile::operator=(AtomicFile&& other) noexcept {
  if (this != &other) {
    discard();
    path_ = std::move(other.path_);
    temporary_ = std::move(other.temporary_);
    descriptor_ = std::exchange(other.descriptor_, -1);
  }
  return *this;
}

void AtomicFile::discard() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
  descriptor_ = -1;
}

Status AtomicFile::create(const std::string& path, AtomicFile* out) {
  out->discard();
  out->path_ = path;
  out->temporary_ = path + "." + std::to_string(::getpid()) + ".incomplete";
  out->descriptor_ = ::open(out->temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (out->descriptor_ < 0) return system_failure("create", out->temporary_, errno);
  return {};
}

Status AtomicFile::write(const void* data, size_t bytes) {
  constexpr size_t kMaxWrite = size_t{1} << 30;  // Linux writes at most 2^31 - 4096 bytes at once
  const char* from = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::write(descriptor_, from, bytes < kMaxWrite ? bytes : kMaxWrite);
    if (written < 0) {
      if (errno == EINTR) continue;
      return system_failure("write", temporary_, errno);
    }
    from += written;
    bytes -= static_cast<size_t>(written);
  }
  return {};
}

Status AtomicFile::commit() {
  if (::fsync(descriptor_) != 0) return system_failure("sync", temporary_, errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) return system_failure("rename a file to", path_, errno);
  ::close(descriptor_);
  descriptor_ = -1;
  return {};
}

bool file_exists(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode);
}

Status read_text_file(const std::string& path, std::string* out) {
  int descriptor;
  size_t size;
  MS_TRY(open_for_reading(path, &descriptor, &size));
  if (size > kMaxTextBytes) {
    ::close(descriptor);
    return failure(Code::corrupt, "%s has %zu bytes; expected a text of at most %zu.", path.c_str(), size, kMaxTextBytes);
  }
  out->resize(size);
  size_t have = 0;
  while (have < size) {
    const ssize_t got = ::read(descriptor, out->data() + have, size - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const int error = errno;
      ::close(descriptor);
      return system_failure("read", path, error);
    }
    if (got == 0) break;
    have += static_cast<size_t>(got);
  }
  ::close(descriptor);
  out->resize(have);
  return {};
}

Status remove_file(const std::string& path) {
  if (::unlink(path.c_str()) == 0 || errno == ENOENT) return {};
  return system_failure("remove", path, errno);
}

Status write_text_file(const std::string& path, std::string_view text) {
  AtomicFile file;
  MS_TRY(AtomicFile::create(path, &file));
  MS_TRY(file.write(text.data(), text.size()));
  return file.commit();
}

}  // namespace mendset
