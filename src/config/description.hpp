// The one description of every config key: name, meaning, unit, range, where its value lives. Parsing, printing, the
// JSON Schema and the manual page are visitors of it, so that none of them can know a key that the others do not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "trainmark/run.hpp"

namespace trainmark::config {

using Member = std::variant<bool*, int*, std::int64_t*, double*, std::string*>;

/// What may be written behind a key. Everything left out does not limit.
struct Field {
  std::string_view name;
  std::string_view doc;  ///< one sentence
  std::string_view unit = {};
  std::vector<std::string_view> words = {};  ///< a string must be one of these
  std::vector<std::int64_t> choices = {};    ///< an integer must be one of these
  std::optional<double> minimum = {}, maximum = {};
  std::optional<double> above = {}, below = {};  ///< exclusive limits
  std::int64_t multiple_of = 0;
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

class Visitor {
 public:
  virtual ~Visitor() = default;
  virtual void open(std::string_view name, std::string_view doc) = 0;  ///< an object; the root has an empty name
  virtual void close() = 0;
  virtual void field(const Field& field, Member member) = 0;
  virtual void list(std::string_view name, std::string_view doc, List& list) = 0;
};

/// Shows every key of `options` to `visitor`, in the order in which a config is written.
void describe(Visitor& visitor, RunOptions& options);

}  // namespace trainmark::config
