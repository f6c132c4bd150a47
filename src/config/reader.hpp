// From a document to options: fills every described key from the tree and collects what is wrong with it.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "config/document.hpp"
#include "config/visitors.hpp"
#include "trainmark/config.hpp"

namespace trainmark::config {

/// A key that a config may hold.
struct Key {
  std::string pointer;
  std::string selector = {};  ///< pointer of the selector on whose word it depends; empty: of none
  std::string word = {};
};

class Reader final : public Visitor {
 public:
  /// `defaults` describes options at their defaults, for what is said of keys in the wrong place.
  Reader(Node& root, const Lookup& lookup, std::vector<Remark>& remarks, const Description& defaults);
  void open(std::string_view name, std::string_view doc) override;
  void close() override;
  void field(const Field& field, Member member) override;
  void list(std::string_view name, std::string_view doc, List& list) override;
  void select(Choice& choice) override;

  /// Where a key stands, or where the nearest object around it does.
  [[nodiscard]] Place place_of(std::string_view pointer) const;

 private:
  struct Level {
    Node* node = nullptr;  // null: not in the document
    std::string pointer;
    std::vector<std::string> known;
    bool list_element = false;
  };
  /// The value of key `name` of the current object, or null; the key is known from then on.
  Node* take(std::string_view name, std::string* pointer);
  void enter(Node* node, std::string pointer, bool list_element = false);
  void leave();
  void complain_of_unknown(const Level& level);
  void remark(const Place& place, std::string pointer, std::string text);

  Node& root_;
  const Lookup& lookup_;
  std::vector<Remark>& remarks_;
  std::vector<Level> levels_;
  std::map<std::string, Place, std::less<>> places_;
  std::vector<Key> all_keys_;                                 // every described key, those of all alternatives
  std::map<std::string, std::string, std::less<>> selected_;  // word by a selector's pointer; empty: it was wrong
};

/// "allowed: ..." of a field, empty where anything of its type goes.
[[nodiscard]] std::string allowed_text(const Field& field);

}  // namespace trainmark::config
