// The double's launch: same names as the product's, found first by tests. Arguments become the parameters' types and
// are copied at the call, as a real launch does; the kernel itself runs later, on the host.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <tuple>
#include <utility>

#include "backend/cuda/device.hpp"
#include "cuda_double/kernel.hpp"

namespace trainmark::cuda {

struct LaunchShape {
  dim3 grid{1};
  dim3 block{1};
  std::size_t shared_bytes = 0;  ///< dynamic shared memory a block
};

template <class... Parameters, class... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), const LaunchShape& shape, cudaStream_t stream,
            Arguments&&... arguments) {
  static_assert(sizeof...(Parameters) == sizeof...(Arguments), "one argument for each of the kernel's parameters");
  std::tuple<Parameters...> values(static_cast<Parameters>(arguments)...);
  check(cuda_double::submit_kernel(
            {name, shape.grid, shape.block, shape.shared_bytes, (std::size_t{0} + ... + sizeof(Parameters)),
             [kernel, values = std::move(values)] { std::apply(kernel, values); }},
            stream),
        name);
}

}  // namespace trainmark::cuda
