#include "backend/plugin.h"

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace mendset {
namespace {

bool absolute(const std::string& path) {
#if defined(_WIN32)
  return path.size() > 2 && (path[1] == ':' || (path[0] == '\\' && path[1] == '\\'));
#else
  return !path.empty() && path[0] == '/';
#endif
}

Status entry_of(const std::string& path, ms_backend_entry* entry) {
#if defined(_WIN32)
  const HMODULE library = LoadLibraryA(path.c_str());
  if (library == nullptr) return failure(Code::device, "The plugin '%s' could not be opened (Windows error %lu).", path.c_str(), GetLastError());
  *entry = reinterpret_cast<ms_backend_entry>(GetProcAddress(library, MS_BACKEND_ENTRY));
#else
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return failure(Code::device, "The plugin could not be opened: %s.", dlerror());
  *entry = reinterpret_cast<ms_backend_entry>(dlsym(library, MS_BACKEND_ENTRY));
#endif
  if (*entry == nullptr) return failure(Code::device, "The library '%s' is not a mendset plugin: it does not export %s.", path.c_str(), MS_BACKEND_ENTRY);
  return {};
}

bool complete(const ms_backend& table) {
  bool all = table.name != nullptr && table.probe && table.create && table.destroy && table.last_error && table.device && table.alloc && table.free &&
             table.upload && table.download && table.copy && table.synchronize;
#define MS_PRESENT(name) all = all && table.name != nullptr;
  MS_OPERATIONS(MS_PRESENT)
#undef MS_PRESENT
  return all;
}

}  // namespace

Status load_plugin(const std::string& path, const ms_backend** out) {
  if (!absolute(path)) return failure(Code::invalid_argument, "Expected the absolute path of a plugin library, got '%s'.", path.c_str());
  ms_backend_entry entry = nullptr;
  MS_TRY(entry_of(path, &entry));
  const ms_backend* const table = entry();
  if (table == nullptr) return failure(Code::device, "The plugin '%s' offers no backend.", path.c_str());
  if (table->abi != MS_BACKEND_ABI)
    return failure(Code::unsupported, "The plugin '%s' speaks version %d of the backend table, this build version %d: install the matching release of the plugin.",
                   path.c_str(), table->abi, MS_BACKEND_ABI);
  if (!complete(*table)) return failure(Code::device, "The plugin '%s' leaves operations of its table empty.", path.c_str());
  *out = table;
  return {};
}

}  // namespace mendset
