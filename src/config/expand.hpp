// ${VAR} and ${VAR:-default} in paths, so that one config serves machines whose folders differ.
#pragma once

#include <string>
#include <string_view>

#include "trainmark/config.hpp"

namespace trainmark::config {

struct Expansion {
  std::string text;
  std::string complaint;  ///< empty: expanded
};
/// A variable that is empty counts as unset, as in the shell's ":-". A lone '$' stays as it is.
[[nodiscard]] Expansion expand(std::string_view text, const Lookup& lookup);

}  // namespace trainmark::config
