// Options back to JSON: every key, also those at their defaults, so that the text reproduces the run by itself.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "config/visitors.hpp"
#include "mllog/utf8.hpp"
#include "trainmark/config.hpp"

namespace trainmark {
namespace {

using Json = nlohmann::ordered_json;

class Writer final : public config::Visitor {
 public:
  void open(std::string_view name, std::string_view) override {
    stack_.emplace_back(std::string(name), Json::object());
  }
  void close() override {
    auto [name, object] = std::move(stack_.back());
    stack_.pop_back();
    if (stack_.empty()) {
      result = std::move(object);
    } else {
      stack_.back().second[name] = std::move(object);
    }
  }
  void field(const config::Field& field, config::Member member) override {
    stack_.back().second[std::string(field.name)] = config::written(field, member);
  }
  void list(std::string_view name, std::string_view, config::List& list) override {
    Json array = Json::array();
    for (std::size_t i = 0; i < list.size(); ++i) {
      stack_.emplace_back("", Json::object());
      list.describe(i, *this);
      array.push_back(std::move(stack_.back().second));
      stack_.pop_back();
    }
    stack_.back().second[std::string(name)] = std::move(array);
  }
  Json result;

 private:
  std::vector<std::pair<std::string, Json>> stack_;
};

}  // namespace

namespace {

struct Written {
  const config::Field& field;
  /// 0.9 as it was written, where a float holds the nearest to it.
  Json operator()(const float* value) const { return std::stod(fmt::format("{}", *value)); }
  Json operator()(const int* value) const { return whole(*value); }
  Json operator()(const std::int64_t* value) const { return whole(*value); }
  Json operator()(const config::Word& value) const { return field.words.at(value.get()); }
  Json operator()(const config::Texts& value) const {
    const std::vector<std::string> all = value.get();
    if (all.size() > 1) return all;
    return all.empty() ? "" : all.front();
  }
  template <class Value>
  Json operator()(const Value* value) const {
    return *value;
  }
  [[nodiscard]] Json whole(std::int64_t value) const {
    return !field.or_word.empty() && value == field.word_value ? Json(field.or_word) : Json(value);
  }
};

}  // namespace

nlohmann::ordered_json config::written(const Field& field, const Member& member) {
  return std::visit(Written{field}, member);
}

nlohmann::ordered_json config::document_of(const Description& description) {
  Writer writer;
  description(writer);
  return std::move(writer.result);
}

std::string to_json(const RunOptions& options) {
  RunOptions copy = options;  // a visitor may change what it is shown; this one does not
  return json_text(config::document_of([&](config::Visitor& visitor) { config::describe(visitor, copy); }), 2);
}

}  // namespace trainmark
