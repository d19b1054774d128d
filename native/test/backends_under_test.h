// On which backends a test of the engine runs: plain and cpu, or cuda alone when the path of a plugin is the test's only argument.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "backend/backend.h"

namespace mendset::test {

// Ends the process with 77, which CTest counts as skipped, when the plugin's device is not usable; prints why.
inline std::vector<std::string> backends_under_test(int count, char** arguments) {
  if (count < 2) return {"plain", "cpu"};
  setenv("MENDSET_CUDA_PRECISION", "fp32", 0);  // the references' bounds are those of fp32
  if (const Status opened = open_plugin(arguments[1]); !opened.ok()) {
    std::printf("%s\n", opened.message().c_str());
    std::exit(1);
  }
  for (const BackendReport& report : report_backends()) {
    if (report.name != "cuda" || report.usable) continue;
    std::printf("skipped: %s\n", report.detail.c_str());
    std::exit(77);
  }
  return {"cuda"};
}

}  // namespace mendset::test
