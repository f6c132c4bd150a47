// What cuDNN says when no engine takes a graph is pages long; a user gets one line of it and what to do.
#pragma once

#include <string>
#include <string_view>

namespace trainmark::cuda {

struct EngineRefusal {
  std::string reason;  ///< one line
  std::string remedy;  ///< empty: nothing better than another library, type or shape is known
};
[[nodiscard]] EngineRefusal engine_refusal(std::string_view library_says);

}  // namespace trainmark::cuda
