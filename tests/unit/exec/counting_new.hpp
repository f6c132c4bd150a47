// Counts every operator new of the test program.
#pragma once

namespace trainmark::testing {

[[nodiscard]] long allocations() noexcept;        ///< calls of operator new so far, of all threads
[[nodiscard]] long large_allocations() noexcept;  ///< those of 64 KiB or more

}  // namespace trainmark::testing
