// Lines are counted by the iterator that feeds the parser, since its callbacks do not tell where they are.
#include "config/document.hpp"

#include <fmt/core.h>

#include <cstddef>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>

#include "config/encoding.hpp"
#include "config/whole.hpp"

namespace trainmark::config {
namespace {

constexpr std::size_t deepest = 32;  // levels; more is no config, and a tree of thousands would exhaust the stack

std::string shortened(std::string_view text, std::size_t longest = 60) {
  if (text.size() <= longest) return printable(text);
  std::size_t end = longest - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U)  // not in the middle of a character
    --end;
  return printable(text.substr(0, end)) + "...";
}

/// What was consumed so far. The parser looks one character beyond a number, so a newline just read does not count yet.
struct Position {
  int newlines = 0;
  char last = '\0';
  bool ended = false;  // the parser has asked for more than there is
  [[nodiscard]] int line() const { return 1 + newlines - (last == '\n' ? 1 : 0); }
};

class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, Position* position) : at_(at), position_(position) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    position_->last = *at_;
    position_->newlines += *at_ == '\n' ? 1 : 0;
    ++at_;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountingIterator& other) const {
    position_->ended = position_->ended || at_ == other.at_;
    return at_ == other.at_;
  }
  bool operator!=(const CountingIterator& other) const { return !(*this == other); }

 private:
  const char* at_;
  Position* position_;
};

/// Builds the tree. Containers under construction stand on a stack by value and move into their parent when they end.
class TreeBuilder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  TreeBuilder(const Position& position, int override_index, std::vector<Remark>& remarks)
      : position_(position), override_index_(override_index), remarks_(remarks) {}

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(std::int64_t{value}); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      return add_real(static_cast<double>(value), std::to_string(value));
    return add(static_cast<std::int64_t>(value));
  }
  bool number_float(number_float_t value, const string_t& digits) override {
    const WholeNumber whole = whole_number(digits);
    return whole.is == Whole::yes ? add(whole.value) : add_real(value, digits);
  }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Object{}); }
  bool start_array(std::size_t) override { return open(Array{}); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& value) override {
    Frame& frame = stack_.back();
    frame.key = value;
    frame.key_place = here();
    for (const Entry& entry : std::get<Object>(frame.node.value)) {
      if (entry.key == value)
        remark(append_pointer(pointer(), value),
               fmt::format("duplicate key, first written in line {} (one of the two would be ignored); remove one",
                           entry.place.line));
    }
    return true;
  }
  bool parse_error(std::size_t, const std::string& token, const nlohmann::detail::exception& error) override {
    remark({}, "not JSON: " + reason(token, error));
    return false;
  }

  [[nodiscard]] Node take() { return std::move(root_); }

 private:
  struct Frame {
    Node node;
    std::string key;  // of the entry being read, where node is an object
    Place key_place;
  };

  /// From the state of the reading; the library's text says the rest, but is never asked what it means.
  [[nodiscard]] std::string reason(const std::string& token, const nlohmann::detail::exception& error) const {
    constexpr int out_of_range = 406;  // a number, nlohmann's json.exception.out_of_range.406
    if (error.id == out_of_range) return fmt::format("the number {} is too large (at most 1.8e308)", shortened(token));
    if (complete_) return "text after the end of the document (a config is one object); remove it";
    if (position_.ended && !begun_) return "there is no document (the file is empty, or holds nothing but comments)";
    std::string_view text = error.what();  // "[json.exception...] parse error at line 1, column 2: syntax error ..."
    if (const std::size_t colon = text.find(": "); colon != std::string_view::npos) text.remove_prefix(colon + 2);
    return shortened(text, 200) + (position_.ended ? " (is the file cut short?)" : "");
  }

  [[nodiscard]] Place here() const { return {override_index_, position_.line()}; }
  void remark(std::string at, std::string text) { remarks_.push_back({here(), std::move(at), std::move(text)}); }
  [[nodiscard]] std::string pointer() const {
    std::string path;
    for (std::size_t i = 0; i + 1 < stack_.size(); ++i) {
      const Array* array = std::get_if<Array>(&stack_[i].node.value);
      path = append_pointer(path, array ? std::to_string(array->size()) : stack_[i].key);
    }
    return path;
  }
  template <class Value>
  bool add(Value value) {
    place(Node{std::move(value), here()});
    return true;
  }
  bool add_real(double value, const std::string& digits) {
    place(Node{value, here(), {}, digits});
    return true;
  }
  bool open(decltype(Node::value) container) {
    if (stack_.size() == deepest) {
      remark({}, fmt::format("more than {} levels of nesting (no config has them)", deepest));
      return false;
    }
    begun_ = true;
    stack_.push_back({Node{std::move(container), here()}, {}, {}});
    return true;
  }
  bool close() {
    Node node = std::move(stack_.back().node);
    stack_.pop_back();
    place(std::move(node));
    return true;
  }
  void place(Node node) {
    begun_ = true;
    if (stack_.empty()) {
      root_ = std::move(node);
      complete_ = true;
    } else if (Frame& frame = stack_.back(); auto* object = std::get_if<Object>(&frame.node.value)) {
      object->push_back({frame.key, frame.key_place, std::move(node)});
    } else {
      std::get<Array>(frame.node.value).push_back(std::move(node));
    }
  }

  const Position& position_;
  int override_index_;
  std::vector<Remark>& remarks_;
  std::vector<Frame> stack_;
  Node root_;
  bool begun_ = false, complete_ = false;
};

}  // namespace

std::string printable(std::string_view text) {
  std::string result;
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    result += code < 0x20 || code == 0x7f ? fmt::format("\\u{:04x}", code) : std::string(1, c);
  }
  return result;
}

Node* Node::find(std::string_view key) {
  if (auto* object = std::get_if<Object>(&value)) {
    for (Entry& entry : *object) {
      if (entry.key == key) return &entry.node;
    }
  }
  return nullptr;
}

std::string describe_value(const Node& node) {
  struct Describe {
    const std::string& written;
    std::string operator()(std::nullptr_t) const { return "null"; }
    std::string operator()(bool value) const { return value ? "true" : "false"; }
    std::string operator()(std::int64_t value) const { return fmt::format("{}", value); }
    std::string operator()(double value) const {
      return written.empty() ? fmt::format("{}", value) : shortened(written);
    }
    std::string operator()(const std::string& value) const { return fmt::format("\"{}\"", shortened(value)); }
    std::string operator()(const Object&) const { return "an object"; }
    std::string operator()(const Array&) const { return "an array"; }
  };
  return std::visit(Describe{node.written}, node.value);
}

Document read_document(std::string_view text, int override_index, std::vector<Remark>& remarks) {
  if (const auto odd = override_index < 0 ? not_plain_text(text) : std::nullopt) {
    remarks.push_back({{override_index, odd->line}, {}, "not JSON: " + odd->text});
    return {};
  }
  Position position;
  TreeBuilder builder(position, override_index, remarks);
  Document document;
  document.readable = nlohmann::json::sax_parse(
      CountingIterator(text.data(), &position), CountingIterator(text.data() + text.size(), &position), &builder,
      nlohmann::json::input_format_t::json, /*strict=*/true, /*ignore_comments=*/true);
  if (document.readable) document.root = builder.take();
  return document;
}

std::string append_pointer(std::string_view pointer, std::string_view key) {
  std::string joined(pointer);
  joined += '/';
  for (const char c : printable(key))
    joined += c == '~' ? std::string("~0") : c == '/' ? std::string("~1") : std::string(1, c);
  return joined;
}

}  // namespace trainmark::config
