#include "addon/mapped_file.h"

#include <cstring>
#include <memory>

#include "addon/arguments.h"

#ifndef _WIN32
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#endif

namespace mendset::addon {
namespace {

#ifndef _WIN32
struct Mapping {
  void* base;
  size_t bytes;
};

// path, offset, bytes -> ArrayBuffer, read-only by agreement (private pages: a write would stay in this process); null where a runtime
// allows no memory of others.
Napi::Value map_file(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string path;
  int64_t offset = 0, bytes = 0;
  if (!read_string(info[0], "path", &path) || !read_integer(info[1], "offset", 0, int64_t{1} << 52, &offset) ||
      !read_integer(info[2], "bytes", 1, int64_t{1} << 52, &bytes)) {
    return env.Undefined();
  }
  const auto refuse = [&](Code code, const char* why) {
    throw_status(env, failure(code, "'%s' could not be mapped into memory (%s).", path.c_str(), why));
    return env.Undefined();
  };
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return refuse(errno == ENOENT ? Code::not_found : Code::io, std::strerror(errno));
  struct stat facts {};
  const bool fits = fstat(file, &facts) == 0 && offset + bytes <= static_cast<int64_t>(facts.st_size);
  const int64_t page = sysconf(_SC_PAGESIZE);
  const int64_t start = offset / page * page;
  const size_t length = static_cast<size_t>(offset - start + bytes);
  void* const base = fits ? mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, file, start) : MAP_FAILED;
  const int error = errno;
  close(file);
  if (!fits) return refuse(Code::corrupt, "it is shorter than its header says");
  if (base == MAP_FAILED) return refuse(Code::io, std::strerror(error));
  auto mapping = std::make_unique<Mapping>(Mapping{base, length});
  napi_value buffer = nullptr;
  const auto unmap = [](napi_env, void*, void* hint) {
    const std::unique_ptr<Mapping> owned(static_cast<Mapping*>(hint));
    munmap(owned->base, owned->bytes);
  };
  const napi_status status = napi_create_external_arraybuffer(env, static_cast<char*>(base) + (offset - start),
                                                              static_cast<size_t>(bytes), unmap, mapping.get(), &buffer);
  if (status != napi_ok) {
    munmap(base, length);
    return env.Null();
  }
  mapping.release();
  return Napi::Value(env, buffer);
}
#else
Napi::Value map_file(const Napi::CallbackInfo& info) { return info.Env().Null(); }
#endif

}  // namespace

void register_mapped_file(Napi::Env env, Napi::Object exports) { exports.Set("mapFile", Napi::Function::New<map_file>(env, "mapFile")); }

}  // namespace mendset::addon
