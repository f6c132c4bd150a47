// Overrides of the command line ("a.b=c"), written into the document before it is read, so that they are judged by the
// same rules as the file.
#pragma once

#include <string>
#include <vector>

#include "config/document.hpp"

namespace trainmark::config {

void apply_overrides(Node& root, const std::vector<std::string>& overrides, std::vector<Remark>& remarks);

}  // namespace trainmark::config
