// How errors read.
#include <fmt/core.h>

#include "trainmark/core.hpp"

namespace trainmark {

std::string to_string(const Complaint& complaint) {
  std::string text = complaint.where.empty() ? complaint.what : fmt::format("{}: {}", complaint.where, complaint.what);
  if (!complaint.why.empty()) text += fmt::format(" ({})", complaint.why);
  if (!complaint.remedy.empty()) text += fmt::format("; {}", complaint.remedy);
  return text;
}

Error::Error(ExitCode code, const Complaint& complaint) : std::runtime_error(to_string(complaint)), code_(code) {}

void contract_failed(const char* condition, std::string_view detail, std::source_location where) {
  throw std::logic_error(fmt::format("{}:{}: broken contract: {} ({}); this is a bug in trainmark, please report it",
                                     where.file_name(), where.line(), condition, detail));
}

}  // namespace trainmark
