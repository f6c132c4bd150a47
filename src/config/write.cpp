// Options back to JSON: every key, also those at their defaults, so that the text reproduces the run by itself.
#include <nlohmann/json.hpp>

#include "config/description.hpp"
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
    std::visit([&](const auto* value) { stack_.back().second[std::string(field.name)] = *value; }, member);
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

std::string to_json(const RunOptions& options) {
  RunOptions copy = options;  // a visitor may change what it is shown; this one does not
  Writer writer;
  config::describe(writer, copy);
  return json_text(writer.result, 2);
}

}  // namespace trainmark
