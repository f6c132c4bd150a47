// One value against one field: type, range, words, expansion.
#pragma once

#include <string>

#include "config/description.hpp"
#include "config/document.hpp"
#include "trainmark/config.hpp"

namespace trainmark::config {

/// Stores the value, or says what is wrong with it (then the member keeps its default).
[[nodiscard]] std::string store(const Node& node, const Field& field, Member member, const Lookup& lookup);

}  // namespace trainmark::config
