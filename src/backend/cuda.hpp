// What selection needs to know of the CUDA backend. A build without CUDA links absent/cuda.cpp instead of cuda/.
#pragma once

#include "trainmark/backend.hpp"

namespace trainmark {

[[nodiscard]] bool cuda_built();
[[nodiscard]] bool cuda_present();  ///< built in, and a device and driver are there
[[nodiscard]] std::unique_ptr<Backend> make_cuda_backend(const BackendOptions& options, const World& world);

}  // namespace trainmark
