// Which known word a mistyped one was probably meant to be.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace trainmark::config {

/// The word of `known` nearest to `word`; empty where none is near enough to be worth naming.
[[nodiscard]] std::string nearest(std::string_view word, const std::vector<std::string>& known);

}  // namespace trainmark::config
