// What a build without CUDA says when it is asked for a device.
#include "backend/cuda.hpp"

namespace trainmark {

bool cuda_built() { return false; }
bool cuda_present() { return false; }

std::unique_ptr<Backend> make_cuda_backend(const BackendOptions&, const World&) {
  throw Error(ExitCode::environment, Complaint{"/backend/device", "this build of trainmark has no CUDA backend",
                                               "\"cuda\" was asked for", "use \"cpu\" or \"auto\""});
}

std::unique_ptr<Backend> make_cuda_planner(const BackendOptions&, const std::string&) {
  throw Error(ExitCode::environment,
              Complaint{"plan", "this build of trainmark has no CUDA backend", "cuDNN plans the graphs of a device",
                        "build where the CUDA toolkit, cuDNN and NCCL are found (docs/gpu.md)"});
}

}  // namespace trainmark
