#include "addon/environment.h"

namespace mendset::addon {

Status Environment::backend(const std::string& name, int threads, std::shared_ptr<Backend>* out) {
  auto& slot = backends_[{name, threads}];
  if (!slot) MS_TRY(Backend::open(name, threads, &slot));
  *out = slot;
  return {};
}

}  // namespace mendset::addon
