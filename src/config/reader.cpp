// A visitor that walks description and document side by side. Nothing stops at the first mistake.
#include "config/reader.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "config/nearest.hpp"
#include "config/values.hpp"

namespace trainmark::config {
namespace {

/// Pointers of all keys that a config may hold, for finding the home of a key in the wrong section.
class KeyCollector final : public Visitor {
 public:
  void open(std::string_view name, std::string_view) override {
    if (!name.empty()) add(name);
    path_.push_back(name.empty() ? std::string() : keys.back().pointer);
  }
  void close() override { path_.pop_back(); }
  void field(const Field& field, Member) override { add(field.name); }
  void list(std::string_view name, std::string_view, List&) override { add(name); }
  void alternatives(Choice& choice) override {
    const std::size_t chosen = choice.chosen();
    const auto outer = condition_;
    for (std::size_t at = 0; at < choice.selector().words.size(); ++at) {
      choice.choose(at);
      condition_ = {append_pointer(path_.back(), choice.selector().name), std::string(choice.selector().words[at])};
      choice.describe(*this);
    }
    condition_ = outer;
    choice.choose(chosen);
  }
  std::vector<Key> keys;

 private:
  void add(std::string_view name) {
    keys.push_back({path_.empty() ? "/" + std::string(name) : append_pointer(path_.back(), name), condition_.first,
                    condition_.second});
  }
  std::vector<std::string> path_;
  std::pair<std::string, std::string> condition_;  // selector and word
};

std::string_view last_of(std::string_view pointer) { return pointer.substr(pointer.rfind('/') + 1); }

}  // namespace

Reader::Reader(Node& root, const Lookup& lookup, std::vector<Remark>& remarks, const Description& defaults)
    : root_(root), lookup_(lookup), remarks_(remarks) {
  KeyCollector collector;
  defaults(collector);
  all_keys_ = std::move(collector.keys);
}

void Reader::open(std::string_view name, std::string_view) {
  if (levels_.empty()) {
    enter(&root_, {});
    levels_.back().known.emplace_back("$schema");  // editors want it; it changes nothing
    return;
  }
  std::string pointer;
  Node* node = take(name, &pointer);
  enter(node, std::move(pointer));
}

void Reader::enter(Node* node, std::string pointer, bool list_element) {
  if (node != nullptr && !std::holds_alternative<Object>(node->value)) {
    remark(node->place, pointer, fmt::format("must be an object {{...}}, not {}", describe_value(*node)));
    node = nullptr;
  }
  levels_.push_back({node, std::move(pointer), {}, list_element});
}

void Reader::close() { leave(); }

void Reader::leave() {
  if (levels_.back().node != nullptr) complain_of_unknown(levels_.back());
  levels_.pop_back();
}

void Reader::field(const Field& field, Member member) {
  std::string pointer;
  const Node* node = take(field.name, &pointer);
  if (node != nullptr) {
    if (std::string wrong = store(*node, field, member, lookup_); !wrong.empty())
      remark(node->place, pointer, std::move(wrong));
    return;
  }
  // A default that is not empty makes a required key optional; elements of a list have no such default.
  const auto* text = std::get_if<std::string*>(&member);
  const bool missing = field.required && (levels_.back().list_element || (text != nullptr && (*text)->empty()));
  if (missing) remark(place_of(pointer), pointer, fmt::format("is missing. {}", field.doc));
}

void Reader::list(std::string_view name, std::string_view, List& list) {
  std::string pointer;
  Node* node = take(name, &pointer);
  if (node == nullptr) return;
  auto* array = std::get_if<Array>(&node->value);
  if (array == nullptr) {
    remark(node->place, pointer, fmt::format("must be an array [...], not {}", describe_value(*node)));
    return;
  }
  list.resize(array->size());
  for (std::size_t i = 0; i < array->size(); ++i) {
    const std::string element = append_pointer(pointer, std::to_string(i));
    places_[element] = array->at(i).place;
    enter(&array->at(i), element, true);
    if (levels_.back().node != nullptr) list.describe(i, *this);
    leave();
  }
}

void Reader::select(Choice& choice) {
  const Field& selector = choice.selector();
  std::string word(selector.words.at(choice.chosen()));
  const std::size_t before = remarks_.size();
  field(selector, &word);
  const std::string pointer = append_pointer(levels_.back().pointer, selector.name);
  selected_[pointer] = remarks_.size() == before ? word : "";
  const auto index = static_cast<std::size_t>(std::ranges::find(selector.words, word) - selector.words.begin());
  if (index != choice.chosen()) choice.choose(index);
}

Node* Reader::take(std::string_view name, std::string* pointer) {
  Level& level = levels_.back();
  level.known.emplace_back(name);
  *pointer = append_pointer(level.pointer, name);
  Node* node = level.node != nullptr ? level.node->find(name) : nullptr;
  if (node != nullptr) places_[*pointer] = node->place;
  return node;
}

void Reader::complain_of_unknown(const Level& level) {
  for (const Entry& entry : std::get<Object>(level.node->value)) {
    if (std::find(level.known.begin(), level.known.end(), entry.key) != level.known.end()) continue;
    const std::string pointer = append_pointer(level.pointer, entry.key);
    if (const auto other = std::ranges::find(all_keys_, pointer, &Key::pointer); other != all_keys_.end()) {
      // The key of another word; where the word itself was wrong, one complaint is enough.
      const std::string& chosen = selected_[other->selector];
      if (chosen.empty()) continue;
      remark(entry.place, pointer,
             fmt::format("goes with {} \"{}\" (it would have no effect: {} is \"{}\")", other->selector, other->word,
                         other->selector, chosen));
      continue;
    }
    std::vector<std::string> meant;
    for (const Key& key : all_keys_) {
      const bool twice = std::ranges::find(meant, key.pointer) != meant.end();        // with several words
      if (last_of(key.pointer) == entry.key && !twice) meant.push_back(key.pointer);  // right key, wrong section
    }
    if (meant.empty()) {
      if (const std::string near = nearest(entry.key, level.known); !near.empty())
        meant.push_back(append_pointer(level.pointer, near));
    }
    std::string text = "unknown key (it would have no effect)";
    if (!meant.empty()) {
      text += fmt::format("; did you mean {}?", fmt::join(meant, " or "));
    } else {
      std::string known;
      for (const std::string& key : level.known)
        if (key != "$schema") known += (known.empty() ? "" : ", ") + key;
      text += fmt::format("; allowed here: {}", known);
    }
    remarks_.push_back({entry.place, pointer, std::move(text), std::move(meant)});
  }
}

Place Reader::place_of(std::string_view pointer) const {
  for (; !pointer.empty(); pointer = pointer.substr(0, pointer.rfind('/'))) {
    if (const auto found = places_.find(pointer); found != places_.end()) return found->second;
  }
  return root_.place;
}

void Reader::remark(const Place& place, std::string pointer, std::string text) {
  remarks_.push_back({place, std::move(pointer), std::move(text)});
}

}  // namespace trainmark::config
