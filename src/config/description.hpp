// The one description of every config key: name, meaning, unit, range, where its value lives. Parsing, printing, the
// JSON Schema and the manual page are visitors of it, so that none of them can know a key that the others do not.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "trainmark/run.hpp"

namespace trainmark::config {

/// An enum's value by the index of its word.
struct Word {
  std::function<std::size_t()> get;
  std::function<void(std::size_t)> set;
};
/// Several strings, of which one alone may be written without a list; an empty one is none.
struct Texts {
  std::function<std::vector<std::string>()> get;
  std::function<void(std::vector<std::string>)> set;
};
using Member = std::variant<bool*, int*, std::int64_t*, float*, double*, std::string*, Word, Texts>;

/// What may be written behind a key. Everything left out does not limit.
struct Field {
  std::string_view name;
  std::string_view doc;  ///< one sentence
  std::string_view unit = {};
  std::vector<std::string_view> words = {};  ///< a string must be one of these; of an enum in its order
  std::vector<std::int64_t> choices = {};    ///< an integer must be one of these
  std::optional<double> minimum = {}, maximum = {};
  std::optional<double> above = {}, below = {};  ///< exclusive limits
  bool fp32 = false;  ///< a double that is computed with in fp32, where it must still be what was written
  std::int64_t multiple_of = 0;
  std::array<std::string_view, 2> no_and_yes = {};  ///< words for which false and true may stand
  std::string_view or_word = {};                    ///< that may stand in a whole number's place
  std::int64_t word_value = 0;         ///< what the member is then; never one that may be written as a number
  std::string_view pattern = {};       ///< regular expression of a string
  std::string_view pattern_text = {};  ///< the same in words
  std::size_t longest = 0;             ///< most characters of a string; 0: no limit
  bool path = false;                   ///< ${VAR:-default} is expanded
  bool required = false;               ///< must be there, and not empty
};

class Visitor;
/// A list of objects, each described by the same fields.
class List {
 public:
  virtual ~List() = default;
  [[nodiscard]] virtual std::size_t size() const = 0;
  virtual void resize(std::size_t count) = 0;
  virtual void describe(std::size_t index, Visitor& visitor) = 0;  ///< fields of one element, without its braces
  virtual void describe_default(Visitor& visitor) = 0;             ///< the same of an element of its own
};

/// The elements of a vector. `fields(visitor, element)` describes one.
template <class Element, class Fields>
class ElementList final : public List {
 public:
  ElementList(std::vector<Element>& values, Fields fields) : values_(values), fields_(fields) {}
  [[nodiscard]] std::size_t size() const override { return values_.size(); }
  void resize(std::size_t count) override { values_.assign(count, {}); }
  void describe(std::size_t index, Visitor& visitor) override { fields_(visitor, values_.at(index)); }
  void describe_default(Visitor& visitor) override {
    Element element;
    fields_(visitor, element);
  }

 private:
  std::vector<Element>& values_;
  Fields fields_;
};

/// A key (the selector) whose word decides which other keys there are, and what their defaults are.
class Choice {
 public:
  virtual ~Choice() = default;
  [[nodiscard]] virtual const Field& selector() const = 0;  ///< its `words` are the alternatives
  [[nodiscard]] virtual std::size_t chosen() const = 0;     ///< index of a word
  virtual void choose(std::size_t index) = 0;               ///< with the defaults of that word
  virtual void describe(Visitor& visitor) = 0;              ///< the keys of the word that is chosen
};

class Visitor {
 public:
  virtual ~Visitor() = default;
  virtual void open(std::string_view name, std::string_view doc) = 0;  ///< an object; the root has an empty name
  virtual void close() = 0;
  virtual void field(const Field& field, Member member) = 0;
  virtual void list(std::string_view name, std::string_view doc, List& list) = 0;
  /// Of an enum, whose words are the field's; the first `count` of them where a config may not ask for all.
  template <class Enum>
  void words(Field field, Enum& value, std::size_t count = Words<Enum>::all.size()) {
    field.words.assign(Words<Enum>::all.begin(), Words<Enum>::all.begin() + count);
    this->field(field, Word{[&value] { return static_cast<std::size_t>(value); },
                            [&value](std::size_t index) { value = static_cast<Enum>(index); }});
  }
  /// The selector, in the current object: a field like others for who only shows what is chosen.
  virtual void select(Choice& choice) {
    std::string word(choice.selector().words.at(choice.chosen()));
    field(choice.selector(), &word);
  }
  /// The keys that follow from it, in the same object; after it.
  virtual void alternatives(Choice& choice) { choice.describe(*this); }
};

/// The alternatives of a variant, in its order. `fields(visitor, alternative)` describes each of them.
template <class Variant, class Fields>
class VariantChoice final : public Choice {
 public:
  VariantChoice(Variant& value, Field selector, Fields fields)
      : value_(value), selector_(std::move(selector)), fields_(std::move(fields)) {}
  [[nodiscard]] const Field& selector() const override { return selector_; }
  [[nodiscard]] std::size_t chosen() const override { return value_.index(); }
  void choose(std::size_t index) override { emplace<0>(index); }
  void describe(Visitor& visitor) override {
    std::visit([&](auto& alternative) { fields_(visitor, alternative); }, value_);
  }

 private:
  template <std::size_t At>
  void emplace(std::size_t index) {
    if constexpr (At < std::variant_size_v<Variant>) {
      if (index == At) {
        value_.template emplace<At>();
      } else {
        emplace<At + 1>(index);
      }
    }
  }

  Variant& value_;
  Field selector_;
  Fields fields_;
};

inline constexpr double most_parts = 1U << 20U;  ///< far beyond any launch
/// The keys of a workload's network.
void describe_model(Visitor& visitor, CosmoflowOptions& model);
void describe_model(Visitor& visitor, DeepcamOptions& model);
void describe_model(Visitor& visitor, Resnet50Options& model);
/// Sections `optimizer` and `schedule`.
void describe_optimizer(Visitor& visitor, Rule& rule);
void describe_schedules(Visitor& visitor, Schedule& schedule, BatchScaling& scaling);

/// Shows every key of `options` to `visitor`, in the order in which a config is written.
void describe(Visitor& visitor, RunOptions& options);

}  // namespace trainmark::config
