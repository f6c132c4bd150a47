// The lines of a log as the official parser sees them: which are records, which cannot be read, which make it give up.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "mllog/utf8.hpp"
#include "trainmark/mllog.hpp"

namespace trainmark::mllog {

using Json = nlohmann::ordered_json;

struct Record {
  int line = 0;  // 1-based
  double time_ms = 0.0;
  std::string key;  // empty where it is not text
  std::string event_type;
  Json value;
  Json metadata;
};

struct Parsed {
  std::vector<Record> records;
  std::vector<Finding> errors;  ///< rule "parse": the file fails; rule "traceback": the official checker gives up
};

[[nodiscard]] Parsed parse(std::string_view text);
/// Adds the record, or the error, that what follows a token amounts to.
void read_record(std::string_view text, int line, Parsed& parsed);
/// The line at `at`, which moves to the next one's start: behind "\n", "\r" or both, as Python has it.
[[nodiscard]] std::string_view next_line(std::string_view text, std::size_t& at);
/// Python's JSON reader gives up on what nests deeper; it also keeps our recursions off the end of the stack.
inline constexpr int deepest_nesting = 985;

/// Numbers that JSON has no words for travel as these strings; number_of gives them back.
[[nodiscard]] bool is_number(const Json& value);
[[nodiscard]] double number_of(const Json& value);
/// The value as the log has it, for messages.
[[nodiscard]] std::string shown(const Json& value);

}  // namespace trainmark::mllog
