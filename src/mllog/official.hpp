// The verdict of the official compliance checker with --werror, no more and no less.
#pragma once

#include "mllog/rules.hpp"

namespace trainmark::mllog {

[[nodiscard]] std::vector<Finding> official_findings(const Parsed& parsed, const std::string& usage,
                                                     const std::string& ruleset);

/// What the official checker lacks.
[[nodiscard]] std::vector<Finding> semantic_findings(const Parsed& parsed, const std::string& benchmark);

}  // namespace trainmark::mllog
