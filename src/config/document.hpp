// A JSON document as a tree that remembers the line of everything in it, comments allowed. Syntax and duplicate keys
// are judged here; what the keys mean is not known here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace trainmark::config {

/// Where something was written: a line of the document, or an override of the command line.
struct Place {
  int override_index = -1;  ///< -1: the document
  int line = 1;
  auto operator<=>(const Place&) const = default;
};

struct Node;
struct Entry;  // a key with its value
using Object = std::vector<Entry>;
using Array = std::vector<Node>;

/// Its value is null until it is given one, and not by "= nullptr": a compiler may then want Entry before it is known.
struct Node {
  std::variant<std::nullptr_t, bool, std::int64_t, double, std::string, Object, Array> value;
  Place place;
  std::string text = {};     ///< as written, where that is a scalar of an override
  std::string written = {};  ///< the digits of a double, as the document has them

  [[nodiscard]] Node* find(std::string_view key);
};
struct Entry {
  std::string key;
  Place place;
  Node node;
};
/// Control characters as escapes: a message must not be able to command a terminal.
[[nodiscard]] std::string printable(std::string_view text);
/// "the number 3", "the string \"a\"", "an object": for messages.
[[nodiscard]] std::string describe_value(const Node& node);

/// One complaint about a document. `pointer` is a JSON pointer, empty for the document as a whole.
struct Remark {
  Place place;
  std::string pointer;
  std::string text;
  std::vector<std::string> meant = {};  ///< keys that were probably meant: nothing follows from their values either
};

struct Document {
  Node root;
  bool readable = false;  ///< false: syntax error, `remarks` tells
};
/// Reads one document. Duplicate keys and syntax errors become remarks.
[[nodiscard]] Document read_document(std::string_view text, int override_index, std::vector<Remark>& remarks);
/// A pointer's next element, with '~' and '/' escaped.
[[nodiscard]] std::string append_pointer(std::string_view pointer, std::string_view key);

}  // namespace trainmark::config
