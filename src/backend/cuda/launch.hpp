// The one way a kernel is started: by name, through the runtime's typed launch, never by angle brackets. Tests put a
// file of the same name before this one and run kernels on the host (docs/testing-without-a-gpu.md).
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <tuple>

#include "backend/cuda/device.hpp"

namespace trainmark::cuda {

struct LaunchShape {
  dim3 grid{1};
  dim3 block{1};
  std::size_t shared_bytes = 0;  ///< dynamic shared memory a block
};

/// Enqueues `kernel`; arguments become the parameters' types first, as a call would convert them. `name` is for
/// messages.
template <class... Parameters, class... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), const LaunchShape& shape, cudaStream_t stream,
            Arguments&&... arguments) {
  static_assert(sizeof...(Parameters) == sizeof...(Arguments), "one argument for each of the kernel's parameters");
  std::tuple<Parameters...> values(static_cast<Parameters>(arguments)...);
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = stream;
  std::apply(
      [&](Parameters&... value) {
        void* pointers[] = {&value...};
        check(cudaLaunchKernelExC(&config, reinterpret_cast<const void*>(kernel), pointers), name);
      },
      values);
}

}  // namespace trainmark::cuda
