// How errors read.
#include <fmt/core.h>

#include <filesystem>
#include <new>

#include "trainmark/core.hpp"

namespace trainmark {

std::string to_string(const Complaint& complaint) {
  std::string text = complaint.where.empty() ? complaint.what : fmt::format("{}: {}", complaint.where, complaint.what);
  if (!complaint.why.empty()) text += fmt::format(" ({})", complaint.why);
  if (!complaint.remedy.empty()) text += fmt::format("; {}", complaint.remedy);
  return text;
}

Error::Error(ExitCode code, const Complaint& complaint) : Error(code, to_string(complaint), complaint) {}
Error::Error(ExitCode code, const std::string& message) : Error(code, message, {"", message, "", ""}) {}
Error::Error(ExitCode code, const std::string& message, const Complaint& complaint)
    : std::runtime_error(message), code_(code), complaint_(std::make_shared<const Complaint>(complaint)) {}

namespace {

Failure failure_from(ExitCode code, Complaint complaint) {
  std::string message = to_string(complaint);
  return {code, std::move(message), std::move(complaint)};
}

}  // namespace

Failure failure_of(const std::exception& error) {
  if (const auto* known = dynamic_cast<const Error*>(&error)) return {known->code(), known->what(), known->complaint()};
  if (dynamic_cast<const std::logic_error*>(&error) != nullptr)
    return failure_from(ExitCode::environment,
                        {"", fmt::format("internal error, please report it: {}", error.what()), "", ""});
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr)
    return failure_from(
        ExitCode::environment,
        {"", "out of memory", "",
         "ask for more of it, or let the command hold less (a run: a smaller /train/global_batch, fewer "
         "/load/prefetch batches, more nodes)"});
  if (const auto* files = dynamic_cast<const std::filesystem::filesystem_error*>(&error))
    return failure_from(ExitCode::data, {files->path1().string(), files->code().message(), "",
                                         "check that it is still there and may be read and written"});
  return failure_from(ExitCode::environment, {"", error.what(), "", ""});
}

Failure failure_at_hand() {
  try {
    throw;
  } catch (const std::exception& error) {
    return failure_of(error);
  } catch (...) {
    return failure_from(ExitCode::environment,
                        {"", "internal error, please report it: an exception of no known kind", "", ""});
  }
}

void contract_failed(const char* condition, std::string_view detail, std::source_location where) {
  throw std::logic_error(fmt::format("{}:{}: broken contract: {} ({}); this is a bug in trainmark, please report it",
                                     where.file_name(), where.line(), condition, detail));
}

}  // namespace trainmark
