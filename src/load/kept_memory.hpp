// Memory of load.memory_mib, in which samples or decoded images stay.
#pragma once

#include <cstddef>
#include <memory>

namespace trainmark {

/// The system gives its pages as they are filled. Raises Error{environment}: there is no address space for so much.
[[nodiscard]] std::unique_ptr<std::byte[]> memory_to_keep(std::size_t bytes);

}  // namespace trainmark
