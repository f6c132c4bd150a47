// The double's dynamic shared memory: poisoned between blocks, and the end of the launch's bytes is the end of a page.
#pragma once

#include "cuda_double/kernel.hpp"

namespace trainmark::cuda {

template <class T>
T* dynamic_shared() {
  return static_cast<T*>(cuda_double::dynamic_shared_memory());
}

}  // namespace trainmark::cuda
