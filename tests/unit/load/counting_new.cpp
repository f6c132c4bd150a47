// The replacements stand alone: inlined next to a new expression, compilers take them for mismatched pairs.
#include "unit/load/counting_new.hpp"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {
std::atomic<bool> counting_on{false};
std::atomic<std::int64_t> counted{0};

void* count_and_allocate(std::size_t bytes) {
  if (counting_on) ++counted;
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}
}  // namespace

void* operator new(std::size_t bytes) { return count_and_allocate(bytes); }
void* operator new[](std::size_t bytes) { return count_and_allocate(bytes); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace trainmark::testing {

void count_allocations(bool on) { counting_on = on; }
std::int64_t allocations() { return counted; }

}  // namespace trainmark::testing
