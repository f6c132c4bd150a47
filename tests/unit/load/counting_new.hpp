// Every operator new of the test program, counted on demand.
#pragma once

#include <cstdint>

namespace trainmark::testing {

void count_allocations(bool on);
std::int64_t allocations();

}  // namespace trainmark::testing
