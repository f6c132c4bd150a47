// What kernels share: dynamic shared memory by type. Tests put a file of the same name before this one.
#pragma once

namespace trainmark::cuda {

/// This block's dynamic shared memory (LaunchShape::shared_bytes of it), aligned to 16 bytes.
template <class T>
__device__ T* dynamic_shared() {
  extern __shared__ __align__(16) unsigned char bytes[];
  return reinterpret_cast<T*>(bytes);
}

}  // namespace trainmark::cuda
