// The library opens on any machine, exports one symbol, speaks this build's table, and says whether and why not it is usable.
#include <dlfcn.h>

#include <cstdio>
#include <cstring>
#include <string>

#include "backend/backend.h"
#include "test/check.h"

using namespace mendset;

int main(int count, char** arguments) {
  if (count != 2) {
    std::printf("Expected the path of the plugin as the only argument.\n");
    return 2;
  }
  const std::string path = arguments[1];
  const Status opened = open_plugin(path);
  if (!opened.ok()) std::printf("%s\n", opened.message().c_str());
  CHECK(opened.ok());
  CHECK(open_plugin(path).ok());  // again: nothing happens
  CHECK(!open_plugin("libmendset_cuda.so").ok());
  bool listed = false;
  for (const BackendReport& report : report_backends()) {
    if (report.name != "cuda") continue;
    listed = true;
    std::printf("%s: %s\n", report.usable ? "usable" : "not usable", report.detail.c_str());
    CHECK(!report.detail.empty());
    std::shared_ptr<Backend> backend;
    const Status status = Backend::open("cuda", 0, &backend);
    CHECK(status.ok() == report.usable);
    if (!report.usable) CHECK(status.message().find("not usable here: ") != std::string::npos && status.code() == Code::device);
    // the driver is absent: the sentence says so
    if (void* const driver = dlopen("libcuda.so.1", RTLD_NOW); driver == nullptr) CHECK(report.detail.find("no NVIDIA driver") != std::string::npos);
  }
  CHECK(listed);
  return test::finish();
}
