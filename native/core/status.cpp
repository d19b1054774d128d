#include "core/status.h"

#include <cstdarg>
#include <cstdio>

namespace mendset {

const char* code_name(Code code) noexcept {
  switch (code) {
    case Code::ok: return "ok";
    case Code::invalid_argument: return "invalid-argument";
    case Code::not_found: return "not-found";
    case Code::io: return "io";
    case Code::corrupt: return "corrupt";
    case Code::unsupported: return "unsupported";
    case Code::out_of_memory: return "out-of-memory";
    case Code::non_finite: return "non-finite";
    case Code::device: return "device";
    case Code::internal: return "internal";
  }
  return "internal";
}

Status failure(Code code, const char* format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  return Status(code, text);
}

}  // namespace mendset
