// What the tests of config share: a small document that is right, and its complaints when something is changed.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "trainmark/config.hpp"

namespace trainmark {

inline const std::string data_section = R"("data": {"train": "t", "validation": "v"})";

inline std::optional<std::string> nothing_set(std::string_view) { return std::nullopt; }

inline RunOptions parse(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return parse_config(text, "c.json", overrides, nothing_set);
}
/// The message of the Error that parsing raises; "no error" where there is none.
inline std::string complaints(const std::string& text, const std::vector<std::string>& overrides = {}) {
  try {
    static_cast<void>(parse(text, overrides));
  } catch (const Error& error) {
    return error.code() == ExitCode::usage ? error.what() : "wrong exit code";
  }
  return "no error";
}
/// A right document with `more` in front of its data section.
inline std::string with(const std::string& more) { return "{" + more + ", " + data_section + "}"; }

/// Expects exactly this one complaint.
inline void expect_only(const std::string& message, const std::string& expected) { EXPECT_EQ(message, expected); }
inline void expect_part(const std::string& message, const std::string& part) {
  EXPECT_NE(message.find(part), std::string::npos) << "\"" << part << "\" is not in:\n" << message;
}
inline std::ptrdiff_t lines(const std::string& text) { return std::count(text.begin(), text.end(), '\n') + 1; }

}  // namespace trainmark
