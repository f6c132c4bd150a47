// What selection needs to know of the CUDA backend. A build without CUDA links absent/cuda.cpp instead of cuda/.
#pragma once

#include "trainmark/backend.hpp"

namespace trainmark {

[[nodiscard]] bool cuda_present();  ///< built in, and a device and driver are there
[[nodiscard]] std::unique_ptr<Backend> make_cuda_backend(const BackendOptions& options, const World& world);
/// Plans for the device that `device_description` tells of (JSON as in share/devices) and never computes; needs no
/// device. Raises Error{environment} in a build without CUDA.
[[nodiscard]] std::unique_ptr<Backend> make_cuda_planner(const BackendOptions& options,
                                                         const std::string& device_description);

}  // namespace trainmark
