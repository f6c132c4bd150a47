#include "load/kept_memory.hpp"

#include <fmt/core.h>

#include <new>

#include "trainmark/core.hpp"

namespace trainmark {

std::unique_ptr<std::byte[]> memory_to_keep(std::size_t bytes) {
  try {
    return std::make_unique_for_overwrite<std::byte[]>(bytes);
  } catch (const std::bad_alloc&) {
    throw Error(ExitCode::environment, Complaint{"/load/memory_mib", fmt::format("{} MiB cannot be had", bytes >> 20U),
                                                 "samples are kept in a rank's memory", "ask for less"});
  }
}

}  // namespace trainmark
