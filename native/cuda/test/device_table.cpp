// The plugin's table with every operation followed by a wait: the contract suite reads outputs at once. Without a usable device the process says why
// and ends with 77, which CTest counts as skipped.
#include <cstdio>
#include <cstdlib>

#include "backend/plugin.h"
#include "mendset/backend.h"
#include "pinned_heap.h"

namespace mendset::test {

const ms_backend* contract_table();

namespace {

const ms_backend* plugin = nullptr;

#define MS_WRAP(name)                                                          \
  int32_t name##_and_wait(ms_context* context, const ms_##name##_args* args) { \
    const int32_t result = plugin->name(context, args);                        \
    return result != MS_OK ? result : plugin->synchronize(context);            \
  }
MS_OPERATIONS(MS_WRAP)
#undef MS_WRAP

ms_backend table;

// Before main, as tests make their operands there: the probe forks, which must come before this process talks to the device itself.
__attribute__((constructor)) void open_device() {
  if (const Status status = load_plugin(MENDSET_CUDA_LIBRARY_PATH, &plugin); !status.ok()) {
    std::printf("%s\n", status.message().c_str());
    std::exit(1);
  }
  char reason[512] = "";
  if (plugin->probe(reason, sizeof reason) != MS_OK) {
    std::printf("skipped: %s\n", reason);
    std::exit(77);
  }
  if (!use_pinned_heap()) {
    std::printf("The device gives no pinned memory for the test's operands.\n");
    std::exit(1);
  }
  table = *plugin;
#define MS_ENTRY(name) table.name = name##_and_wait;
  MS_OPERATIONS(MS_ENTRY)
#undef MS_ENTRY
}

}  // namespace

const ms_backend* contract_table() { return &table; }

}  // namespace mendset::test
