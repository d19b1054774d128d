// The table that the contract suite runs against.
#include "cuda/plugin.h"

namespace mendset::test {

const ms_backend* contract_table();
const ms_backend* contract_table() { return cuda::backend_table(); }

}  // namespace mendset::test
