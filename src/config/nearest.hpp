// Which known word a mistyped one was probably meant to be.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace trainmark::config {

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`; case is not counted.
[[nodiscard]] int edit_distance(std::string_view a, std::string_view b);
/// The word of `known` nearest to `word`; empty where none is near enough to be worth naming.
[[nodiscard]] std::string nearest(std::string_view word, const std::vector<std::string>& known);

}  // namespace trainmark::config
