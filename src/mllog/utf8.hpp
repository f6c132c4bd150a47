// Text from outside as UTF-8, which JSON must be. Paths, arguments, host names and the words of other programs may hold
// any bytes; where they are written into JSON, tables and pages, what is no UTF-8 is replaced, since nlohmann's own
// default is an exception in the middle of a run.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace trainmark {

/// How many bytes at the start of `text` are whole UTF-8 characters.
[[nodiscard]] std::size_t utf8_prefix(std::string_view text) noexcept;
/// `text` with U+FFFD for every byte that is no part of a character.
[[nodiscard]] std::string to_utf8(std::string_view text);

/// The one way from a JSON document to text. `indent`: spaces a level; -1 writes one line. Ends without a newline.
template <class Json>
[[nodiscard]] std::string json_text(const Json& document, int indent = -1) {
  return document.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace trainmark
