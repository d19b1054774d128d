#include "backend/backend.h"

#include <cstring>
#include <mutex>
#include <utility>

#include "backend/plugin.h"
#include "core/thread_pool.h"
#include "cpu/cpu.h"
#include "plain/plain.h"

namespace mendset {
namespace {

struct Registry {
  std::mutex mutex;
  std::vector<const ms_backend*> tables{mendset_cpu_backend(), mendset_plain_backend()};
};

// Never destroyed: backends may outlive every static of this library.
Registry& registry() {
  static Registry* const instance = new Registry;
  return *instance;
}

Code code_of(int32_t result) {
  switch (result) {
    case MS_OK: return Code::ok;
    case MS_INVALID_ARGUMENT: return Code::invalid_argument;
    case MS_UNSUPPORTED: return Code::unsupported;
    case MS_OUT_OF_MEMORY: return Code::out_of_memory;
    default: return Code::device;
  }
}

const char* word_of(int32_t result) {
  switch (result) {
    case MS_INVALID_ARGUMENT: return "invalid argument";
    case MS_UNSUPPORTED: return "not supported";
    case MS_OUT_OF_MEMORY: return "out of memory";
    default: return "device failure";
  }
}

}  // namespace

Status Backend::open(const std::string& name, int threads, std::shared_ptr<Backend>* out) {
  if (threads < 0) return failure(Code::invalid_argument, "Expected a thread count of 0 (all cores) or more, got %d.", threads);
  const ms_backend* table = nullptr;
  std::string known;
  {
    std::lock_guard lock(registry().mutex);
    for (const ms_backend* candidate : registry().tables) {
      if (name == candidate->name) table = candidate;
      known += (known.empty() ? "'" : ", '") + std::string(candidate->name) + "'";
    }
  }
  if (table == nullptr) return failure(Code::invalid_argument, "There is no backend named '%s'; available are %s.", name.c_str(), known.c_str());

  char reason[512] = "";
  if (const int32_t result = table->probe(reason, sizeof reason); result != MS_OK)
    return failure(result == MS_INVALID_ARGUMENT ? Code::invalid_argument : Code::device, "The backend '%s' is not usable here: %s", name.c_str(), reason);
  const int count = threads > 0 ? threads : ThreadPool::default_threads();
  ms_context* context = nullptr;
  if (const int32_t result = table->create(count, &context); result != MS_OK) {
    const std::string detail = context != nullptr ? table->last_error(context) : "";
    if (context != nullptr) table->destroy(context);
    return failure(code_of(result), "The backend '%s' could not be started with %d threads: %s.", name.c_str(), count, detail.empty() ? word_of(result) : detail.c_str());
  }
  out->reset(new Backend(table, context, count));
  return {};
}

bool Backend::on_host() const { return table_ == mendset_cpu_backend() || table_ == mendset_plain_backend(); }

Backend::~Backend() { table_->destroy(context_); }

Status Backend::check(int32_t code, const char* operation) const {
  if (code == MS_OK) return {};
  const char* detail = table_->last_error(context_);
  if (detail == nullptr || *detail == '\0') detail = word_of(code);
  return failure(code_of(code), "%s on backend '%s' failed: %s", operation, name(), detail);
}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this == &other) return *this;
  reset();
  backend_ = std::move(other.backend_);
  data_ = std::exchange(other.data_, nullptr);
  bytes_ = std::exchange(other.bytes_, 0);
  return *this;
}

Status Buffer::allocate(const std::shared_ptr<Backend>& backend, size_t bytes, Buffer* out) {
  Buffer buffer;
  const int32_t result = backend->table().alloc(backend->context(), bytes, &buffer.data_);
  if (result == MS_OUT_OF_MEMORY) {
    // a device says what was asked for, what is held and how to shrink
    const char* detail = backend->on_host() ? "" : backend->table().last_error(backend->context());
    return failure(Code::out_of_memory, "The backend '%s' has no room for another %zu bytes%s%s.", backend->name(), bytes, *detail != '\0' ? ": " : "", detail);
  }
  MS_TRY(backend->check(result, "alloc"));
  buffer.backend_ = backend;
  buffer.bytes_ = bytes;
  if (backend->profile() != nullptr) backend->profile()->allocated(bytes);
  *out = std::move(buffer);
  return {};
}

void Buffer::reset() {
  if (data_ != nullptr) backend_->table().free(backend_->context(), data_);
  data_ = nullptr;
  bytes_ = 0;
  backend_.reset();
}

Status Buffer::upload(const void* host, size_t bytes, size_t offset) const {
  if (bytes == 0) return {};
  if (offset > bytes_ || bytes > bytes_ - offset) return failure(Code::internal, "Upload of %zu bytes at %zu into a buffer of %zu.", bytes, offset, bytes_);
  return backend_->check(backend_->table().upload(backend_->context(), static_cast<char*>(data_) + offset, host, bytes), "upload");
}

Status Buffer::download(void* host, size_t bytes, size_t offset) const {
  if (bytes == 0) return {};
  if (offset > bytes_ || bytes > bytes_ - offset) return failure(Code::internal, "Download of %zu bytes at %zu from a buffer of %zu.", bytes, offset, bytes_);
  return backend_->check(backend_->table().download(backend_->context(), host, static_cast<const char*>(data_) + offset, bytes), "download");
}

std::vector<BackendReport> report_backends() {
  std::vector<const ms_backend*> tables;
  {
    std::lock_guard lock(registry().mutex);
    tables = registry().tables;
  }
  std::vector<BackendReport> reports;
  for (const ms_backend* table : tables) {
    std::shared_ptr<Backend> backend;
    if (const Status status = Backend::open(table->name, 1, &backend); status.ok())
      reports.push_back({table->name, true, backend->device()});
    else
      reports.push_back({table->name, false, status.message()});
  }
  return reports;
}

Status open_plugin(const std::string& path) {
  const ms_backend* table = nullptr;
  MS_TRY(load_plugin(path, &table));
  std::lock_guard lock(registry().mutex);
  for (const ms_backend* known : registry().tables) {
    if (known == table) return {};  // opened before
    if (std::strcmp(known->name, table->name) == 0)
      return failure(Code::invalid_argument, "The plugin '%s' calls itself '%s', which is the name of another backend.", path.c_str(), table->name);
  }
  registry().tables.push_back(table);
  return {};
}

}  // namespace mendset
