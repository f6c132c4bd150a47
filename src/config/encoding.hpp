// What a file holds that is no UTF-8 text: editors, downloads and crashes leave such configs, and a syntax error in
// their first byte would not tell.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace trainmark::config {

struct Oddity {
  int line = 1;
  std::string text;
};
/// Nothing where `text` is UTF-8 without NUL bytes, with or without a mark at its start.
[[nodiscard]] std::optional<Oddity> not_plain_text(std::string_view text);

}  // namespace trainmark::config
