#include "mllog/parsed.hpp"

#include <fmt/core.h>

#include <cmath>
#include <limits>
#include <optional>

namespace trainmark::mllog {
namespace {

constexpr std::string_view special_prefix = "\x01number:";

/// Python's readers take NaN, Infinity and -Infinity; nlohmann does not. Outside of strings they become marked strings.
std::string with_special_numbers(std::string_view json) {
  static constexpr std::array<std::string_view, 3> words = {"-Infinity", "Infinity", "NaN"};
  std::string result;
  bool in_string = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_string && c == '\\' && i + 1 < json.size()) {
      result += json.substr(i++, 2);
      continue;
    }
    if (c == '"') in_string = !in_string;
    if (!in_string) {
      bool found = false;
      for (const std::string_view word : words) {
        if (!json.substr(i).starts_with(word)) continue;
        result += fmt::format("\"\\u0001number:{}\"", word);
        i += word.size() - 1;
        found = true;
        break;
      }
      if (found) continue;
    }
    result += c;
  }
  return result;
}

/// The official parser reads bytes as Latin-1; as UTF-8 they would have to be valid.
std::string latin1_as_utf8(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      text += c;
    } else {
      text += static_cast<char>(0xC0 | byte >> 6);
      text += static_cast<char>(0x80 | (byte & 0x3F));
    }
  }
  return text;
}

std::string_view stripped(std::string_view text) {
  constexpr std::string_view blanks = " \t\n\r\v\f\x1c\x1d\x1e\x1f\x85\xa0";  // of Latin-1, as Python strips
  const std::size_t first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

/// A point in time as Python's float() would read it; nothing: a parse error. Throws Json::type_error where Python
/// would.
std::optional<double> time_of(const Json& value) {
  if (value.is_boolean()) return value.get<bool>() ? 1.0 : 0.0;
  if (value.is_number()) return value.get<double>();
  if (is_number(value)) return number_of(value);
  const std::string padded = value.get<std::string>();
  const std::string text(stripped(padded));
  if (text.empty() || text.find_first_of("xXpP") != std::string::npos) return {};
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  if (*end != '\0') return {};
  return number;
}

void read_record(std::string_view body, int line, Parsed& parsed) {
  const Json json = Json::parse(with_special_numbers(latin1_as_utf8(body)), nullptr, false);
  if (json.is_discarded()) {
    parsed.errors.push_back({line, "parse", "is not one line of JSON"});
    return;
  }
  for (const char* field : {"time_ms", "key", "value", "metadata"}) {
    if (!json.is_object() || !json.contains(field)) {
      parsed.errors.push_back({line, "traceback", fmt::format("has no field \"{}\"", field)});
      return;
    }
  }
  Record record;
  record.line = line;
  try {
    const std::optional<double> time = time_of(json["time_ms"]);
    if (!time) {
      parsed.errors.push_back({line, "parse", "time_ms is no number"});
      return;
    }
    record.time_ms = *time;
  } catch (const Json::type_error&) {
    parsed.errors.push_back({line, "traceback", "time_ms is neither a number nor text"});
    return;
  }
  if (json["key"].is_string()) record.key = json["key"].get<std::string>();
  if (json.contains("event_type") && json["event_type"].is_string())
    record.event_type = json["event_type"].get<std::string>();
  record.value = json["value"];
  record.metadata = json["metadata"];
  parsed.records.push_back(std::move(record));
}

}  // namespace

Parsed parse(std::string_view text) {
  Parsed parsed;
  int line = 0;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = text.find_first_of("\r\n", at);
    if (end == std::string_view::npos) end = text.size();
    ++line;
    const std::string_view whole = text.substr(at, end - at);
    // Everything up to the last token is taken for a launcher's tag.
    const std::size_t token = whole.rfind(log_token);
    if (token != std::string_view::npos) read_record(stripped(whole.substr(token + log_token.size())), line, parsed);
    at = end + (text.substr(end).starts_with("\r\n") ? 2 : 1);
  }
  return parsed;
}

bool is_number(const Json& value) {
  if (value.is_number() || value.is_boolean()) return true;
  return value.is_string() && value.get_ref<const std::string&>().starts_with(special_prefix);
}

double number_of(const Json& value) {
  if (value.is_boolean()) return value.get<bool>() ? 1.0 : 0.0;
  if (value.is_number()) return value.get<double>();
  const std::string word = value.get<std::string>().substr(special_prefix.size());
  if (word == "NaN") return std::numeric_limits<double>::quiet_NaN();
  return word == "Infinity" ? std::numeric_limits<double>::infinity() : -std::numeric_limits<double>::infinity();
}

}  // namespace trainmark::mllog
