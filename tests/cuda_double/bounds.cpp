// The kernels' build checks indices into arrays of known size (-fsanitize=bounds); this is its handler, which makes a
// finding and stops the kernel. The layout of its first argument is GCC's.
#include <fmt/format.h>

#include <cstdint>

#include "cuda_double/block.hpp"
#include "cuda_double/device.hpp"

namespace {

struct SourceLine {
  const char* file;
  std::uint32_t line, column;
};
struct OutOfBounds {
  SourceLine where;
  const void* array_type;
  const void* index_type;
};

}  // namespace

extern "C" void __ubsan_handle_out_of_bounds(void* data, void* index) {
  using namespace trainmark::cuda_double;
  const auto& [where, array, type] = *static_cast<const OutOfBounds*>(data);
  const bool inside = running().fiber != nullptr;
  add_finding(fmt::format("{} uses index {} outside an array at {}:{}",
                          inside ? running().block->describe(*running().fiber) : std::string("host code"),
                          reinterpret_cast<std::intptr_t>(index), where.file, where.line));
  if (inside) stop_kernel();
}
extern "C" void __ubsan_handle_out_of_bounds_abort(void* data, void* index) {
  __ubsan_handle_out_of_bounds(data, index);
}
