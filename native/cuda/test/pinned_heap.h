// From the call on, every `new` of the process is memory that host and device address alike.
#pragma once

namespace mendset::test {

bool use_pinned_heap();

}  // namespace mendset::test
