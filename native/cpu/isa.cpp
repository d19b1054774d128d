#include "cpu/isa.h"

#include <cstdlib>
#include <cstring>

namespace mendset::cpu {
namespace {
constexpr Isa kBestFirst[] = {Isa::avx512, Isa::avx2, Isa::neon, Isa::generic};
}

const char* isa_name(Isa isa) noexcept {
  switch (isa) {
    case Isa::avx2: return "avx2";
    case Isa::avx512: return "avx512";
    case Isa::neon: return "neon";
    case Isa::generic: break;
  }
  return "generic";
}

bool isa_available(Isa isa) noexcept {
  switch (isa) {
    case Isa::generic: return true;
#if defined(__x86_64__)  // the compiler's tests include the operating system's support for the registers
    case Isa::avx2: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case Isa::avx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
#elif defined(__aarch64__)
    case Isa::neon: return true;
#endif
    default: return false;
  }
}

Status choose_isa(Isa* out) {
  const char* wanted = std::getenv("MENDSET_ISA");
  if (wanted != nullptr && *wanted == '\0') wanted = nullptr;
  for (const Isa isa : kBestFirst) {
    if (wanted != nullptr ? std::strcmp(wanted, isa_name(isa)) != 0 : !isa_available(isa)) continue;
    if (!isa_available(isa)) return failure(Code::unsupported, "MENDSET_ISA asks for %s, which this processor does not have; unset it to take the best one.", wanted);
    *out = isa;
    return {};
  }
  return failure(Code::invalid_argument, "MENDSET_ISA is '%s'; expected generic, avx2, avx512 or neon.", wanted);
}

}  // namespace mendset::cpu
