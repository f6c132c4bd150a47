// What data inspect and data verify found, as text and as JSON.
#pragma once

#include <string>

#include "trainmark/load.hpp"

namespace trainmark::cli {

[[nodiscard]] std::string inspection_text(const Inspection& seen);
[[nodiscard]] std::string inspection_json(const Inspection& seen);
[[nodiscard]] std::string verification_text(const Verification& found, const std::string& path, bool quiet);
[[nodiscard]] std::string verification_json(const Verification& found);

}  // namespace trainmark::cli
