// Counts every operator new of the test program.
#pragma once

namespace trainmark::testing {

[[nodiscard]] long allocations() noexcept;  ///< calls of operator new so far, of all threads

}  // namespace trainmark::testing
