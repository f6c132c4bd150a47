// The only place that knows the input is JSON: a config document into RunOptions and back, its schema, its manual page.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "trainmark/run.hpp"

namespace trainmark {

/// Looks up an environment variable; cli passes the real one, tests their own.
using Lookup = std::function<std::optional<std::string>(std::string_view)>;

/// Reads one JSON document (comments allowed) into options. `overrides` are "a.b=c" of --set, applied last. Relative paths
/// stay relative to the working directory. ${VAR:-default} is expanded in path keys only.
/// Raises Error{usage} with every complaint of the document, one a line: pointer, line, what, allowed values, nearest key.
[[nodiscard]] RunOptions parse_config(std::string_view text, std::string_view source_name,
                                      const std::vector<std::string>& overrides, const Lookup& lookup);
[[nodiscard]] std::string to_json(const RunOptions& options);  ///< every key, resolved, in the schema's order
[[nodiscard]] std::string config_schema();                     ///< JSON Schema, draft 2020-12
[[nodiscard]] std::string config_reference();                  ///< docs/config.md

}  // namespace trainmark
