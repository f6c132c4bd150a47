// What is made of a description besides options: a document of it, its JSON Schema and its manual page.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "config/description.hpp"

namespace trainmark::config {

/// Shows the keys of some options to a visitor. The visitor may change them, and has put them back on return.
using Description = std::function<void(Visitor&)>;

[[nodiscard]] nlohmann::ordered_json written(const Field& field, const Member& member);  ///< one value
[[nodiscard]] nlohmann::ordered_json document_of(const Description& description);
[[nodiscard]] nlohmann::ordered_json schema_of(const Description& description);
[[nodiscard]] std::string manual_of(const Description& description);  ///< Markdown, a table for each object

}  // namespace trainmark::config
