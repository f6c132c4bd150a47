// The double's launch: same names as the product's, found first by tests. Arguments become the parameters' types and
// are copied at the call, as a real launch does; the kernel itself runs later, on the host.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>
#include <tuple>

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
  struct Call {
    void (*kernel)(Parameters...);
    std::tuple<Parameters...> values;
  };
  const auto call = std::make_shared<const Call>(Call{kernel, {static_cast<Parameters>(arguments)...}});
  const auto run_thread = [](const void* memory) {
    const Call& made = *static_cast<const Call*>(memory);
    std::apply(made.kernel, made.values);
  };
  check(cuda_double::submit_kernel({name, shape.grid, shape.block, shape.shared_bytes, call, sizeof(Call), run_thread},
                                   stream),
        name);
}

}  // namespace trainmark::cuda
