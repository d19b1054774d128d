// Outcome of everything that can fail. No exceptions cross a module's edge.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

namespace mendset {

enum class Code : int32_t {
  ok = 0,
  invalid_argument,  // the caller's input is wrong
  not_found,         // a file or tensor that should exist does not
  io,                // the operating system refused
  corrupt,           // a file contradicts itself or its format
  unsupported,       // valid, but not implemented: named in the message
  out_of_memory,
  non_finite,        // NaN or infinity where a number was needed
  device,            // a backend failed
  internal,
};

// Name used for `MendsetError.code` on the JavaScript side.
const char* code_name(Code code) noexcept;

class [[nodiscard]] Status {
 public:
  Status() noexcept = default;
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const noexcept { return code_ == Code::ok; }
  Code code() const noexcept { return code_; }
  const std::string& message() const noexcept { return message_; }

 private:
  Code code_ = Code::ok;
  std::string message_;
};

// printf-style construction of a failure.
Status failure(Code code, const char* format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;

#define MS_TRY(expression)                              \
  do {                                                  \
    ::mendset::Status ms_try_status = (expression);     \
    if (!ms_try_status.ok()) return ms_try_status;      \
  } while (0)

}  // namespace mendset
