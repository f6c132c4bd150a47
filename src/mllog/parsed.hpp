// The lines of a log as the official parser sees them: which are records, which cannot be read, which make it give up.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

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

/// Numbers that JSON has no words for travel as these strings; number_of gives them back.
[[nodiscard]] bool is_number(const Json& value);
[[nodiscard]] double number_of(const Json& value);
/// The value as the log has it, for messages.
[[nodiscard]] std::string shown(const Json& value);

}  // namespace trainmark::mllog
