// See shadow.hpp.
#include "cuda_double/shadow.hpp"

#include <sys/mman.h>

#include <new>

namespace trainmark::cuda_double {

Shadow::Shadow(const void* begin, std::size_t bytes) : begin_(static_cast<const char*>(begin)), bytes_(bytes) {
  begin_ -= reinterpret_cast<std::uintptr_t>(begin_) % 4;
  bytes_ += 8;
  void* memory = mmap(nullptr, bytes_ / 4 * sizeof(Cell), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  cells_ = static_cast<Cell*>(memory);
}

Shadow::~Shadow() { munmap(cells_, bytes_ / 4 * sizeof(Cell)); }

void Shadow::clear() { madvise(cells_, bytes_ / 4 * sizeof(Cell), MADV_DONTNEED); }

}  // namespace trainmark::cuda_double
