// A log's records in types of ours, for readers rather than judges. Where output of several writers ran together the
// official parser gives a line up; here what is whole in it is read, and what is not is named.
#include <fmt/core.h>

#include <cmath>
#include <limits>
#include <optional>

#include "mllog/parsed.hpp"

namespace trainmark {
namespace mllog {
namespace {

constexpr std::string_view mark = ":::MLLOG";  // the token, which a cut may leave without its blank
constexpr double latest_ms = 1e15;             // the year 33658: differences of such times are exact
constexpr int most_losses = 64;  // of one line: beyond that it is given up, lest time grow with its square
constexpr std::string_view blanks = " \t\r\n\v\f";

/// A value of ours, where the types fit.
std::optional<EventValue> value_of(const Json& value) {
  if (value.is_null()) return EventValue{};
  if (value.is_boolean()) return EventValue{value.get<bool>()};
  constexpr std::uint64_t largest = std::numeric_limits<std::int64_t>::max();
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > largest) return EventValue{value.get<double>()};
  if (value.is_number_integer()) return EventValue{value.get<std::int64_t>()};
  if (is_number(value)) return EventValue{number_of(value)};
  if (value.is_string()) return EventValue{value.get<std::string>()};
  if (!value.is_array()) return {};
  std::vector<double> numbers;
  for (const Json& each : value) {
    if (!is_number(each)) return {};
    numbers.push_back(number_of(each));
  }
  return EventValue{std::move(numbers)};
}

Metadata fields_of(const Json& object) {
  Metadata fields;
  if (!object.is_object()) return fields;
  for (const auto& [name, value] : object.items()) {
    if (auto known = value_of(value)) fields.emplace_back(name, std::move(*known));
  }
  return fields;
}

/// How far the object that `text` begins with reaches; npos where it begins with none or does not close it.
std::size_t object_end(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string && c == '\\') {
      ++i;
    } else if (c == '"') {
      in_string = !in_string;
    } else if (!in_string && (c == '{' || c == '[')) {
      if (++depth > deepest_nesting) break;
    } else if (!in_string && (c == '}' || c == ']')) {
      if (--depth <= 0) return i + 1;
    }
    if (depth == 0 && blanks.find(c) == std::string_view::npos) break;
  }
  return std::string_view::npos;
}

/// The key that a broken record still shows; empty where it does not.
std::string key_in(std::string_view text) {
  const std::size_t name = text.find("\"key\"");
  const std::size_t begin = name == std::string_view::npos ? name : text.find('"', name + 5);
  const std::size_t end = begin == std::string_view::npos ? begin : text.find('"', begin + 1);
  if (end == std::string_view::npos || end - begin > 80) return {};
  return std::string(text.substr(begin + 1, end - begin - 1));
}

/// Of a mark in prose nothing is lost; a record's is followed by its object, by a blank or, cut off, by nothing.
bool begins_record(std::string_view behind) {
  return behind.empty() || behind.front() == '{' || blanks.find(behind.front()) != std::string_view::npos;
}

class Reader {
 public:
  explicit Reader(LogText& log) : log_(log) {}

  void take(std::string_view line, int number) {
    const std::size_t first = line.find(mark);
    if (first == std::string_view::npos) return;
    number_ = number;
    tag_ = line.substr(0, first);
    const std::string_view body = line.substr(first + mark.size());
    if (body.starts_with(' ') && line.rfind(mark) == first && take_record(body.substr(1))) return;
    take_apart(line, first);
  }

 private:
  bool take_record(std::string_view text) {
    Parsed parsed;
    read_record(text, number_, parsed);
    why_ = parsed.errors.empty() ? std::string() : parsed.errors.front().message;
    if (parsed.records.empty()) return false;
    const Record& found = parsed.records.front();
    if (!(std::abs(found.time_ms) <= latest_ms)) {
      why_ = fmt::format("time_ms {} is no point in time", found.time_ms);
      return false;
    }
    LogRecord& record = log_.records.emplace_back();
    record.line = number_;
    record.time_ms = found.time_ms;
    record.event_type = found.event_type;
    record.key = found.key;
    record.value = value_of(found.value).value_or(EventValue{});
    record.fields = fields_of(found.value);
    record.metadata = fields_of(found.metadata);
    record.tag = tag_;
    return true;
  }

  void lose(std::string_view body) {
    log_.flaws.push_back(
        {number_, true, key_in(body.substr(0, body.find(mark))), why_.empty() ? std::string("is cut off") : why_});
  }

  /// Object by object: whatever stands whole behind a token is a record.
  void take_apart(std::string_view line, std::size_t at) {
    int records = 0, lost = 0;
    bool rest = false;
    while (at != std::string_view::npos && lost < most_losses) {
      const std::string_view body = line.substr(at + mark.size());
      const std::size_t end = object_end(body);
      why_.clear();
      if (end != std::string_view::npos && take_record(body.substr(0, end))) {
        ++records;
        const std::string_view behind = body.substr(end);
        rest = rest || behind.substr(0, behind.find(mark)).find_first_not_of(blanks) != std::string_view::npos;
        at = line.find(mark, at + mark.size() + end);
        continue;
      }
      if (begins_record(body)) {
        lose(body);
        ++lost;
      }
      at = line.find(mark, at + mark.size());
    }
    if (records > 1) flaw(fmt::format("holds {} records glued together", records));
    if (records == 1 && (rest || lost == 0)) flaw("holds a record and other text behind or within it");
  }

  void flaw(std::string message) { log_.flaws.push_back({number_, false, {}, std::move(message)}); }

  LogText& log_;
  int number_ = 0;
  std::string tag_, why_;
};

}  // namespace
}  // namespace mllog

LogText read_log(std::string_view text) {
  LogText log;
  mllog::Reader reader(log);
  int line = 0;
  for (std::size_t at = 0; at < text.size();)
    reader.take(mllog::next_line(text, at), ++line);
  return log;
}

}  // namespace trainmark
