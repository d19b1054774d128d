// One usable backend with its context. Owned by shared_ptr: models, trainers and tasks keep it alive.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backend/operation_profile.h"
#include "core/status.h"
#include "mendset/backend.h"

namespace mendset {

class Backend {
 public:
  // name: "cpu", "plain", or a plugin's name registered by `open_plugin`. threads: 0 = MENDSET_THREADS or all cores.
  static Status open(const std::string& name, int threads, std::shared_ptr<Backend>* out);
  ~Backend();
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  const ms_backend& table() const { return *table_; }
  ms_context* context() const { return context_; }
  const char* name() const { return table_->name; }
  const char* device() const { return table_->device(context_); }
  int threads() const { return threads_; }
  bool on_host() const;  // its memory is ordinary memory, shared with the caller

  // null unless someone asked for one
  OperationProfile* profile() const { return profile_.get(); }
  void set_profile(std::unique_ptr<OperationProfile> profile) { profile_ = std::move(profile); }

  // Turns an operation's return code into a Status that carries the operation's name and the backend's own message.
  Status check(int32_t code, const char* operation) const;

 private:
  Backend(const ms_backend* table, ms_context* context, int threads) : table_(table), context_(context), threads_(threads) {}
  const ms_backend* table_;
  ms_context* context_;
  int threads_;
  std::unique_ptr<OperationProfile> profile_;
};

// Device memory with an owner.
class Buffer {
 public:
  Buffer() = default;
  ~Buffer() { reset(); }
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept;
  static Status allocate(const std::shared_ptr<Backend>& backend, size_t bytes, Buffer* out);
  void reset();

  void* data() const { return data_; }
  template <typename T> T* as() const { return static_cast<T*>(data_); }
  size_t bytes() const { return bytes_; }
  Status upload(const void* host, size_t bytes, size_t offset = 0) const;
  Status download(void* host, size_t bytes, size_t offset = 0) const;
  // `count` numbers from number `first` on: where they lie if that is ordinary memory, else in `copy`.
  template <typename T> Status view(int64_t first, int64_t count, std::vector<T>* copy, const T** out) const {
    if (backend_ == nullptr || backend_->on_host()) {
      *out = as<T>() + first;
      return {};
    }
    copy->resize(static_cast<size_t>(count));
    *out = copy->data();
    return download(copy->data(), copy->size() * sizeof(T), static_cast<size_t>(first) * sizeof(T));
  }

 private:
  std::shared_ptr<Backend> backend_;
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

struct BackendReport {
  std::string name;
  bool usable;
  std::string detail;  // device when usable, the reason otherwise
};
std::vector<BackendReport> report_backends();
// Opens a plugin library by absolute path, checks its ABI and keeps it for the life of the process.
Status open_plugin(const std::string& path);

}  // namespace mendset
