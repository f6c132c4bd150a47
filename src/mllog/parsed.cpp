#include "mllog/parsed.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

namespace trainmark::mllog {
namespace {

constexpr std::string_view special_prefix = "\x01number:";
bool nests_too_deep(std::string_view json) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_string && c == '\\') {
      ++i;
    } else if (c == '"') {
      in_string = !in_string;
    } else if (!in_string && (c == '[' || c == '{')) {
      if (++depth > deepest_nesting) return true;
    } else if (!in_string && (c == ']' || c == '}')) {
      --depth;
    }
  }
  return false;
}

/// The same number with an exponent that cannot overflow: to ask whether it is well formed.
std::string with_small_exponent(std::string_view number) {
  const std::size_t exponent = number.find_first_of("eE");
  std::string text(number.substr(0, exponent));
  // Long digits overflow too; all digits count the same for the form, except that a leading 0 stands alone.
  const std::size_t point = std::min(text.find('.'), text.size());
  if (point > 20) text.erase(10, point - 20);
  if (exponent == std::string_view::npos) return text;
  const std::string_view power = number.substr(exponent + 1);
  const std::size_t digits = power.find_first_not_of("0123456789", power.starts_with('-') || power.starts_with('+'));
  const bool formed = !power.empty() && power.back() >= '0' && power.back() <= '9' && digits == std::string_view::npos;
  return text + (formed ? "e1" : "e");
}

/// An escape of a string, as nlohmann takes it; returns how much of the text it was.
std::size_t append_escape(std::string_view json, std::string& to) {
  const auto unit = [](std::string_view text) {
    unsigned value = 0;
    if (text.size() < 6 || !text.starts_with("\\u")) return 0U;
    const auto read = std::from_chars(text.data() + 2, text.data() + 6, value, 16);
    return read.ptr == text.data() + 6 ? value : 0U;
  };
  const unsigned first = unit(json);
  if (first < 0xD800 || first > 0xDFFF) {
    to += json.substr(0, 2);
    return 2;
  }
  const unsigned second = unit(json.substr(6));
  if (first < 0xDC00 && second >= 0xDC00 && second <= 0xDFFF) {
    to += json.substr(0, 12);
    return 12;
  }
  to += "\\ufffd";
  return 6;
}

/// How far a number reaches from here; 0: there is none.
std::size_t number_length(std::string_view json) {
  return std::min(json.find_first_not_of("-+.0123456789eE"), json.size());
}

/// The marked text for what Python reads as a number and nlohmann does not; empty where both agree.
std::string special_number(std::string_view json, std::size_t& length) {
  static constexpr std::array<std::string_view, 3> words = {"-Infinity", "Infinity", "NaN"};
  for (const std::string_view word : words) {
    if (!json.starts_with(word)) continue;
    length = word.size();
    return std::string(word);
  }
  length = number_length(json);
  const std::string_view text = json.substr(0, length);
  double number = 0.0;
  // Only from here can a double overflow; well-formedness is for the JSON reader to judge, which sees the digits'
  // shape.
  if (length < 4 || !Json::accept(with_small_exponent(text))) return {};
  if (std::from_chars(text.data(), text.data() + length, number).ec != std::errc::result_out_of_range) return {};
  const bool integer = text.find_first_of(".eE") == std::string_view::npos;
  const std::size_t exponent = text.find_first_of("eE");
  if (exponent != std::string_view::npos && text.find("-", exponent) != std::string_view::npos) return {};  // underflow
  return std::string(text.starts_with('-') ? "-" : "") + (integer ? "BigInteger" : "Infinity");
}

/// Python's readers take NaN, Infinity, -Infinity, numbers too large for a double and halves of surrogate pairs;
/// nlohmann does not. The numbers become marked strings, the halves the replacement character.
std::string with_special_numbers(std::string_view json) {
  std::string result;
  bool in_string = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_string && json.substr(i).starts_with("\\u0001number:")) {  // nobody's text may pass for the mark
      result += "\\u0002";
      i += 5;
      continue;
    }
    if (in_string && c == '\\' && i + 1 < json.size()) {
      i += append_escape(json.substr(i), result) - 1;
      continue;
    }
    if (c == '"') in_string = !in_string;
    if (in_string || std::string_view("-IN0123456789").find(c) == std::string_view::npos) {
      result += c;
      continue;
    }
    std::size_t length = 1;
    const std::string word = special_number(json.substr(i), length);
    if (word.empty()) {
      length = std::max<std::size_t>(length, 1);
      result += json.substr(i, length);
    } else {
      const std::size_t next = json.find_first_not_of(" \t\r\n", i + length);
      const bool as_key = next != std::string_view::npos && json[next] == ':';  // no reader takes that
      result += as_key ? word : fmt::format("\"\\u0001number:{}\"", word);
    }
    i += length - 1;
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

constexpr std::string_view blanks = " \t\n\r\v\f\x1c\x1d\x1e\x1f\x85\xa0";  // of Latin-1, as Python strips

/// What follows the token keeps its beginning: the official parser strips whole lines, and JSON knows fewer blanks.
std::string_view without_end(std::string_view text) { return text.substr(0, text.find_last_not_of(blanks) + 1); }

std::string_view stripped(std::string_view text) {
  text = without_end(text);
  return text.substr(std::min(text.find_first_not_of(blanks), text.size()));
}

/// Python's float() of a text, without its digits of other scripts; the standard library's readers follow the locale.
std::optional<double> float_of(std::string_view padded) {
  std::string text;
  const std::string_view trimmed = stripped(padded);
  const auto digit = [&](std::size_t i) { return i < trimmed.size() && trimmed[i] >= '0' && trimmed[i] <= '9'; };
  for (std::size_t i = 0; i < trimmed.size(); ++i) {
    if (trimmed[i] == '_' && i > 0 && digit(i - 1) && digit(i + 1)) continue;
    text += trimmed[i];
  }
  if (text.starts_with('+') && !text.starts_with("+-")) text.erase(0, 1);
  if (text.find_first_of("(xXpP") != std::string::npos) return {};
  double number = 0.0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || read.ptr != text.data() + text.size() || read.ec == std::errc::invalid_argument) return {};
  const bool underflow = text.find("e-") != std::string::npos || text.find("E-") != std::string::npos;
  if (read.ec == std::errc::result_out_of_range && !underflow) number = std::numeric_limits<double>::infinity();
  return number;
}

/// A point in time as the official parser reads it; nothing: a parse error. Throws Json::type_error where Python would.
std::optional<double> time_of(const Json& value) {
  if (is_number(value)) {
    const double number = number_of(value);
    const bool too_large = value.is_string() && value.get_ref<const std::string&>().ends_with("BigInteger");
    return too_large ? Json().get<double>() : number;  // an OverflowError in Python: the same end as a wrong type
  }
  return float_of(value.get<std::string>());
}

/// Reads UTF-8 as what it is; other bytes are Latin-1, as the official parser reads all of them.
Json json_of(std::string_view body) {
  if (body.find('\0') != std::string_view::npos || body.starts_with("\xEF\xBB\xBF")) return Json::value_t::discarded;
  const std::string text = with_special_numbers(body);
  Json json = Json::parse(text, nullptr, false);
  return json.is_discarded() ? Json::parse(latin1_as_utf8(text), nullptr, false) : json;
}

}  // namespace

void read_record(std::string_view text, int line, Parsed& parsed) {
  const std::string_view body = without_end(text);
  if (nests_too_deep(body)) {
    parsed.errors.push_back({line, "traceback", fmt::format("nests deeper than {} levels", deepest_nesting)});
    return;
  }
  const Json json = json_of(body);
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

std::string_view next_line(std::string_view text, std::size_t& at) {
  const std::size_t end = std::min(text.find_first_of("\r\n", at), text.size());
  const std::string_view line = text.substr(at, end - at);
  at = end + (text.substr(end).starts_with("\r\n") ? 2 : 1);
  return line;
}

Parsed parse(std::string_view text) {
  Parsed parsed;
  int line = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::string_view whole = next_line(text, at);
    ++line;
    // Everything up to the last token is taken for a launcher's tag.
    const std::size_t token = whole.rfind(log_token);
    if (token != std::string_view::npos) read_record(whole.substr(token + log_token.size()), line, parsed);
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
  return word.starts_with('-') ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity();
}

std::string shown(const Json& value) {
  return value.is_string() && is_number(value) ? value.get<std::string>().substr(special_prefix.size())
                                               : json_text(value);
}

}  // namespace trainmark::mllog
