// The value is JSON where it reads as JSON, else a string: --set train.until=steps needs no quotes within quotes.
#include "config/overrides.hpp"

#include <fmt/core.h>

#include <charconv>

namespace trainmark::config {
namespace {

/// "a.b" or "/a/b" into its elements; empty where there is none.
std::vector<std::string> split(std::string_view path) {
  const char separator = path.starts_with('/') ? '/' : '.';
  if (separator == '/') path.remove_prefix(1);
  std::vector<std::string> parts;
  while (true) {
    const std::size_t end = path.find(separator);
    if (path.substr(0, end).empty()) return {};
    parts.emplace_back(path.substr(0, end));
    if (end == std::string_view::npos) return parts;
    path.remove_prefix(end + 1);
  }
}

Node read_value(const std::string& text, int index) {
  std::vector<Remark> ignored;
  Document document = read_document(text, index, ignored);
  Node node = document.readable && ignored.empty() ? std::move(document.root) : Node{text, {}};
  node.place = {index, 0};
  if (!std::holds_alternative<Object>(node.value) && !std::holds_alternative<Array>(node.value)) node.text = text;
  return node;
}

/// The child to write into, made where an object has none yet; null where there can be none.
Node* child(Node& parent, const std::string& name, const Place& place) {
  if (auto* array = std::get_if<Array>(&parent.value)) {
    std::size_t index = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), index);
    return error == std::errc() && end == name.data() + name.size() && index < array->size() ? &(*array)[index]
                                                                                             : nullptr;
  }
  if (!std::holds_alternative<Object>(parent.value)) return nullptr;
  if (Node* found = parent.find(name)) return found;
  auto& object = std::get<Object>(parent.value);
  object.push_back({name, place, Node{Object{}, place}});
  return &object.back().node;
}

void apply(Node& root, const std::string& text, int index, std::vector<Remark>& remarks) {
  const Place place{index, 0};
  const std::size_t equals = text.find('=');
  const auto parts = split(std::string_view(text).substr(0, equals));
  if (equals == std::string::npos || parts.empty()) {
    remarks.push_back({place, {}, "is not of the form section.key=value, e.g. train.epochs=3"});
    return;
  }
  Node* node = &root;
  std::string pointer;
  for (const std::string& part : parts) {
    Node* next = child(*node, part, place);
    if (next == nullptr) {
      const auto* array = std::get_if<Array>(&node->value);
      remarks.push_back({place, pointer,
                         array != nullptr ? fmt::format("has {} elements, \"{}\" is none of them; set the whole array",
                                                        array->size(), part)
                                          : fmt::format("is {} and has no \"{}\"", describe_value(*node), part)});
      return;
    }
    pointer = append_pointer(pointer, part);
    node = next;
  }
  *node = read_value(text.substr(equals + 1), index);
}

}  // namespace

void apply_overrides(Node& root, const std::vector<std::string>& overrides, std::vector<Remark>& remarks) {
  for (std::size_t i = 0; i < overrides.size(); ++i)
    apply(root, overrides[i], static_cast<int>(i), remarks);
}

}  // namespace trainmark::config
