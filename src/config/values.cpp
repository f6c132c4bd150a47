// Numbers are compared with their limits as doubles: every limit that a config has is exact there.
#include "config/values.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <regex>

#include "config/expand.hpp"
#include "config/nearest.hpp"
#include "config/reader.hpp"
#include "config/whole.hpp"

namespace trainmark::config {
namespace {

std::string with_allowed(std::string what, const Field& field, const std::string& meant = {}) {
  const std::string allowed = allowed_text(field);
  if (!allowed.empty() || !meant.empty()) {
    what += fmt::format(" ({}{}{})", allowed, !allowed.empty() && !meant.empty() ? "; " : "",
                        meant.empty() ? "" : fmt::format("did you mean \"{}\"?", meant));
  }
  return what;
}

std::string wrong_type(const Node& node, std::string_view wanted, const Field& field) {
  std::string what = fmt::format("must be {}, not {}", wanted, describe_value(node));
  if (std::holds_alternative<std::string>(node.value) && wanted != "a string") what += " (a string)";
  return with_allowed(std::move(what), field);
}

bool within(double value, const Field& field) {
  return !(field.minimum && value < *field.minimum) && !(field.maximum && value > *field.maximum) &&
         !(field.above && value <= *field.above) && !(field.below && value >= *field.below);
}

/// Of what is computed with in fp32: neither infinite there nor, unless it is, 0, and within its limits still.
bool fits_fp32(double value, const Field& field) {
  if (std::abs(value) > static_cast<double>(std::numeric_limits<float>::max())) return false;
  const auto rounded = static_cast<float>(value);
  return (rounded == 0.0F) == (value == 0.0) && within(rounded, field);
}

struct Store {
  const Node& node;
  const Field& field;
  const Lookup& lookup;

  std::string operator()(bool* member) const {
    const bool* value = std::get_if<bool>(&node.value);
    if (value == nullptr) return wrong_type(node, "true or false", field);
    *member = *value;
    return {};
  }
  std::string operator()(double* member) const {
    double value = 0;
    if (const auto* real = std::get_if<double>(&node.value)) {
      value = *real;
    } else if (const auto* whole = std::get_if<std::int64_t>(&node.value)) {
      value = static_cast<double>(*whole);
    } else {
      return wrong_type(node, "a number", field);
    }
    if (!within(value, field)) return with_allowed(fmt::format("{} is out of range", describe_value(node)), field);
    if (field.fp32 && !fits_fp32(value, field)) return out_of_fp32();
    *member = value;
    return {};
  }
  std::string operator()(float* member) const {
    double value = *member;
    if (std::string wrong = (*this)(&value); !wrong.empty()) return wrong;
    if (!fits_fp32(value, field)) return out_of_fp32();
    *member = static_cast<float>(value);
    return {};
  }
  std::string operator()(int* member) const {
    std::int64_t value = *member;
    if (std::string wrong = whole(value, std::numeric_limits<int>::max()); !wrong.empty()) return wrong;
    *member = static_cast<int>(value);
    return {};
  }
  std::string operator()(std::int64_t* member) const {
    return whole(*member, std::numeric_limits<std::int64_t>::max());
  }

  std::string operator()(const Word& member) const {
    const bool* yes = std::get_if<bool>(&node.value);
    if (yes != nullptr && !field.no_and_yes[0].empty()) {
      const std::string_view word = field.no_and_yes[*yes ? 1 : 0];
      member.set(static_cast<std::size_t>(std::ranges::find(field.words, word) - field.words.begin()));
      return {};
    }
    std::string text(field.words.at(member.get()));
    if (std::string wrong = (*this)(&text); !wrong.empty()) return wrong;
    member.set(static_cast<std::size_t>(std::ranges::find(field.words, text) - field.words.begin()));
    return {};
  }
  std::string operator()(const Texts& member) const {
    const Array* list = std::get_if<Array>(&node.value);
    std::vector<std::string> all(list != nullptr ? list->size() : 1);
    if (all.empty()) return "must not be an empty list";
    for (std::size_t at = 0; at < all.size(); ++at) {
      std::string wrong = Store{list != nullptr ? list->at(at) : node, field, lookup}(&all[at]);
      if (wrong.empty() && list != nullptr && all[at].empty()) wrong = "must not be empty";
      if (!wrong.empty()) return list != nullptr ? fmt::format("element {}: {}", at, wrong) : wrong;
    }
    if (all.size() == 1 && all[0].empty()) all.clear();
    member.set(std::move(all));
    return {};
  }
  std::string operator()(std::string* member) const {
    std::string value;
    if (const auto* text = std::get_if<std::string>(&node.value)) {
      value = *text;
    } else if (!node.text.empty()) {
      value = node.text;  // --set name=42: the shell's user cannot see a type
    } else {
      return wrong_type(node, "a string", field);
    }
    if (value.find('\0') != std::string::npos) return "holds a NUL character";
    if (field.path) {
      Expansion expansion = expand(value, lookup);
      if (!expansion.complaint.empty()) return expansion.complaint;
      value = std::move(expansion.text);
    }
    if (field.required && value.empty()) return "must not be empty";
    if (!field.words.empty() && std::find(field.words.begin(), field.words.end(), value) == field.words.end()) {
      const std::vector<std::string> known(field.words.begin(), field.words.end());
      return with_allowed(fmt::format("{} is not known", describe_value(node)), field, nearest(value, known));
    }
    if (field.longest > 0 && value.size() > field.longest)
      return with_allowed(fmt::format("{} has {} characters", describe_value(node), value.size()), field);
    if (!field.pattern.empty() && !std::regex_match(value, std::regex(std::string(field.pattern))))
      return with_allowed(fmt::format("{} does not fit", describe_value(node)), field);
    *member = value;
    return {};
  }

 private:
  std::string whole(std::int64_t& member, std::int64_t most) const {
    const auto* word = std::get_if<std::string>(&node.value);
    if (word != nullptr && !field.or_word.empty() && *word == field.or_word) {
      member = field.word_value;
      return {};
    }
    std::int64_t value = 0;
    if (const auto* integer = std::get_if<std::int64_t>(&node.value)) {
      value = *integer;
    } else if (std::holds_alternative<double>(node.value)) {
      // What is whole and has room in 64 bits became an integer where it was read: 1e3, 16.0.
      if (whole_number(node.written).is == Whole::no) return wrong_type(node, "a whole number", field);
      return out_of_range(node, most);
    } else {
      return wrong_type(node, "a whole number", field);
    }
    const bool chosen =
        field.choices.empty() || std::find(field.choices.begin(), field.choices.end(), value) != field.choices.end();
    if (value > most || value < -most) return out_of_range(node, most);
    if (!chosen || !within(static_cast<double>(value), field))
      return with_allowed(fmt::format("{} is out of range", value), field);
    if (field.multiple_of > 0 && value % field.multiple_of != 0)
      return with_allowed(fmt::format("{} is not a multiple of {}", value, field.multiple_of), field);
    member = value;
    return {};
  }

  [[nodiscard]] std::string out_of_fp32() const {
    return with_allowed(fmt::format("{} is out of range in fp32", describe_value(node)), field);
  }
  /// Of a number beyond the type's own limit, which no other limit of the field may name.
  [[nodiscard]] std::string out_of_range(const Node& number, std::int64_t most) const {
    std::string allowed = allowed_text(field);
    const std::string shown = describe_value(number);
    const bool negative = shown.starts_with('-');
    const bool bounded =
        !field.choices.empty() || (negative ? field.minimum || field.above : field.maximum || field.below);
    if (!bounded) {
      allowed += fmt::format("{}{} {}{}", allowed.empty() ? "allowed: " : ", ", negative ? "at least" : "at most",
                             negative ? "-" : "", most);
    }
    return fmt::format("{} is out of range ({})", shown, allowed);
  }
};

}  // namespace

std::string store(const Node& node, const Field& field, Member member, const Lookup& lookup) {
  return std::visit(Store{node, field, lookup}, member);
}

std::string allowed_text(const Field& field) {
  if (!field.words.empty())
    return fmt::format("allowed: {}{}", fmt::join(field.words, ", "),
                       field.no_and_yes[0].empty() ? "" : ", false, true");
  if (!field.choices.empty()) return fmt::format("allowed: {}", fmt::join(field.choices, ", "));
  if (!field.pattern_text.empty()) return fmt::format("allowed: {}", field.pattern_text);
  std::vector<std::string> parts;
  if (field.multiple_of > 0) parts.push_back(fmt::format("multiples of {}", field.multiple_of));
  if (field.minimum && field.maximum) {
    parts.push_back(fmt::format("{} to {}", *field.minimum, *field.maximum));
  } else {
    if (field.minimum) parts.push_back(fmt::format("at least {}", *field.minimum));
    if (field.above) parts.push_back(fmt::format("greater than {}", *field.above));
    if (field.maximum) parts.push_back(fmt::format("at most {}", *field.maximum));
  }
  if (field.below) parts.push_back(fmt::format("less than {}", *field.below));
  if (!field.or_word.empty()) parts.push_back(fmt::format("or \"{}\"", field.or_word));
  return parts.empty() ? std::string() : fmt::format("allowed: {}", fmt::join(parts, ", "));
}

}  // namespace trainmark::config
