// The config as a JSON Schema, for editors and for checking configs without this program.
#include <nlohmann/json.hpp>

#include "config/visitors.hpp"
#include "mllog/utf8.hpp"
#include "trainmark/config.hpp"

namespace trainmark {
namespace {

using Json = nlohmann::ordered_json;

/// 16.0 is printed as 16, so that a limit reads as a person would write it.
Json number(double value) {
  const auto whole = static_cast<std::int64_t>(value);
  return static_cast<double>(whole) == value ? Json(whole) : Json(value);
}

class SchemaWriter final : public config::Visitor {
 public:
  void open(std::string_view name, std::string_view doc) override {
    Json object = {{"type", "object"}, {"description", std::string(doc)}, {"properties", Json::object()}};
    if (name.empty()) {
      object = {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                {"$id", "https://trainmark.dev/schema/config.json"},
                {"title", "trainmark run"},
                {"type", "object"},
                {"description", std::string(doc)},
                {"properties", {{"$schema", {{"type", "string"}, {"description", "For editors; ignored."}}}}}};
    }
    stack_.push_back({std::string(name), std::move(object), Json::array()});
  }
  void close() override {
    Json object = finished();
    const std::string name = std::move(last_name_);
    if (stack_.empty()) {
      result = std::move(object);
      return;
    }
    if (object.contains("required")) stack_.back().required.push_back(name);
    stack_.back().object["properties"][name] = std::move(object);
  }
  void field(const config::Field& field, config::Member member) override {
    Json entry = std::visit([&](const auto& value) { return described(field, value); }, member);
    const auto* text = std::get_if<std::string*>(&member);
    const bool no_default = in_list_ || (text != nullptr && (*text)->empty());
    if (field.required && no_default) {
      entry.erase("default");
      stack_.back().required.push_back(std::string(field.name));
    }
    stack_.back().object["properties"][std::string(field.name)] = std::move(entry);
  }
  /// With several words each has a condition that says which keys there are then.
  void alternatives(config::Choice& choice) override {
    const std::size_t chosen = choice.chosen();
    const config::Field& selector = choice.selector();
    if (selector.words.size() == 1) return choice.describe(*this);
    for (std::size_t at = 0; at < selector.words.size(); ++at) {
      choice.choose(at);
      stack_.push_back({"", {{"properties", Json::object()}}, Json::array()});
      choice.describe(*this);
      Level level = std::move(stack_.back());
      stack_.pop_back();
      if (!level.required.empty()) level.object["required"] = level.required;
      const std::string name(selector.name);
      Json condition = {{"properties", {{name, {{"const", selector.words[at]}}}}}};
      if (at != chosen) condition["required"] = {name};
      stack_.back().object["allOf"].push_back({{"if", std::move(condition)}, {"then", std::move(level.object)}});
    }
    choice.choose(chosen);
  }
  void list(std::string_view name, std::string_view doc, config::List& list) override {
    Json defaults = Json::array();
    stack_.push_back({"", {{"type", "object"}, {"properties", Json::object()}}, Json::array()});
    in_list_ = true;
    list.describe_default(*this);
    in_list_ = false;
    Json element = finished();
    stack_.back().object["properties"][std::string(name)] = {
        {"type", "array"}, {"description", std::string(doc)}, {"items", std::move(element)}};
  }
  Json result;

 private:
  struct Level {
    std::string name;
    Json object;
    Json required;
  };
  Json finished() {
    Level level = std::move(stack_.back());
    stack_.pop_back();
    last_name_ = level.name;
    // Keys that a condition brings count as known, too.
    level.object[level.object.contains("allOf") ? "unevaluatedProperties" : "additionalProperties"] = false;
    if (!level.required.empty()) level.object["required"] = level.required;
    return std::move(level.object);
  }

  static std::string type_of(const bool*) { return "boolean"; }
  static std::string type_of(const int*) { return "integer"; }
  static std::string type_of(const std::int64_t*) { return "integer"; }
  static std::string type_of(const float*) { return "number"; }
  static std::string type_of(const double*) { return "number"; }
  static std::string type_of(const std::string*) { return "string"; }
  static std::string type_of(const config::Word&) { return "string"; }
  static std::string type_of(const config::Texts&) { return "string"; }

  template <class Value>
  static Json described(const config::Field& field, const Value& value) {
    Json entry = {{"type", type_of(value)},
                  {"description", std::string(field.doc)},
                  {"default", config::written(field, config::Member(value))}};
    if (!field.unit.empty()) entry["description"] = std::string(field.doc) + " [" + std::string(field.unit) + "]";
    if (!field.words.empty()) entry["enum"] = field.words;
    if (!field.choices.empty()) entry["enum"] = field.choices;
    if (field.minimum) entry["minimum"] = number(*field.minimum);
    if (field.maximum) entry["maximum"] = number(*field.maximum);
    if (field.above) entry["exclusiveMinimum"] = number(*field.above);
    if (field.below) entry["exclusiveMaximum"] = number(*field.below);
    if (field.multiple_of > 0) entry["multipleOf"] = field.multiple_of;
    if (!field.pattern.empty()) entry["pattern"] = std::string(field.pattern);
    if (field.longest > 0) entry["maxLength"] = field.longest;
    if (field.required && std::is_same_v<Value, std::string*>) entry["minLength"] = 1;
    if (!field.no_and_yes[0].empty()) {
      entry["type"] = {"string", "boolean"};
      entry["enum"].push_back(false);
      entry["enum"].push_back(true);
    }
    if (std::is_same_v<Value, config::Texts>) {
      const Json element = {{"type", "string"}, {"minLength", 1}};
      return with_alternative(std::move(entry), {{"type", "array"}, {"items", element}, {"minItems", 1}});
    }
    if (!field.or_word.empty()) return with_alternative(std::move(entry), {{"const", field.or_word}});
    return entry;
  }

  /// What limits the value goes into one of two alternatives.
  static Json with_alternative(Json entry, Json other) {
    Json both = {{"description", entry["description"]}, {"default", entry["default"]}};
    entry.erase("description");
    entry.erase("default");
    both["anyOf"] = {std::move(entry), std::move(other)};
    return both;
  }

  std::vector<Level> stack_;
  std::string last_name_;
  bool in_list_ = false;
};

}  // namespace

nlohmann::ordered_json config::schema_of(const Description& description) {
  SchemaWriter writer;
  description(writer);
  return std::move(writer.result);
}

std::string config_schema() {
  RunOptions defaults;
  return json_text(config::schema_of([&](config::Visitor& visitor) { config::describe(visitor, defaults); }), 2) + "\n";
}

}  // namespace trainmark
