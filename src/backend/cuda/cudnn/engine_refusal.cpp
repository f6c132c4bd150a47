// Picks cuDNN's status names out of its report, and knows the one reason that is the machine's and not the graph's.
#include "backend/cuda/cudnn/engine_refusal.hpp"

#include <algorithm>
#include <vector>

namespace trainmark::cuda {

EngineRefusal engine_refusal(std::string_view library_says) {
  if (library_says.find("libcuda == nullptr") != std::string_view::npos) {
    return {"it is compiled when it is planned, which takes a driver library (libcuda.so.1), and this machine has none",
            "plan where a driver is installed, or put a stand-in for it first in LD_LIBRARY_PATH "
            "(docs/testing-without-a-gpu.md)"};
  }
  constexpr std::string_view mark = "CUDNN_STATUS_";
  constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
  std::string statuses;
  std::vector<std::string_view> seen;
  for (std::size_t at = library_says.find(mark); at != std::string_view::npos; at = library_says.find(mark, at + 1)) {
    const std::string_view status =
        library_says.substr(at, std::min(library_says.find_first_not_of(letters, at), library_says.size()) - at);
    if (std::ranges::find(seen, status) != seen.end()) continue;
    seen.push_back(status);
    statuses += (statuses.empty() ? "" : ", ") + std::string(status);
  }
  if (!statuses.empty()) return {statuses, ""};
  const std::string_view first_line = library_says.substr(0, library_says.find('\n'));
  return {std::string(first_line), ""};
}

}  // namespace trainmark::cuda
