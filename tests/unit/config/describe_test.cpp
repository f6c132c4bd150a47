// Schema and manual page come from the same description as the parser: they hold every key.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support.hpp"

namespace trainmark {
namespace {

using Json = nlohmann::json;

/// Every property of `schema` is also a key of `config`, and the reverse.
void expect_same_keys(const Json& schema, const Json& config, const std::string& where) {
  EXPECT_EQ(schema.at("additionalProperties"), false) << where;
  for (const auto& [key, value] : config.items()) {
    ASSERT_TRUE(schema.at("properties").contains(key)) << where << "/" << key;
    const Json& property = schema.at("properties").at(key);
    EXPECT_FALSE(property.at("description").get<std::string>().empty()) << where << "/" << key;
    if (value.is_object()) expect_same_keys(property, value, where + "/" + key);
  }
  const std::size_t extra = schema.at("properties").contains("$schema") ? 1 : 0;
  EXPECT_EQ(schema.at("properties").size(), config.size() + extra) << where;
}

/// With the properties that follow from these selectors' words among the others, as a validator sees them.
Json resolved(Json schema, const Json& config) {
  for (const Json& rule : schema.value("allOf", Json::array())) {
    for (const auto& [selector, wanted] : rule.at("if").at("properties").items()) {
      if (config.at(selector) != wanted.at("const")) continue;
      for (const auto& [key, property] : rule.at("then").at("properties").items())
        schema["properties"][key] = property;
    }
  }
  if (schema.erase("allOf") > 0) {
    schema["additionalProperties"] = schema.at("unevaluatedProperties");
    schema.erase("unevaluatedProperties");
  }
  for (auto& [key, property] : schema.at("properties").items())
    if (property.contains("properties")) property = resolved(property, config.at(key));
  return schema;
}
Json schema_for(const std::string& text) {
  return resolved(Json::parse(config_schema()), Json::parse(to_json(parse(text))));
}

TEST(ConfigSchema, HoldsExactlyTheKeysOfAConfig) {
  const Json schema = schema_for("{" + data_section + "}");
  for (const char* choice :
       {"", R"(, "workload": "deepcam")", R"(, "optimizer": {"name": "lamb"})",
        R"(, "optimizer": {"name": "lars"}, "schedule": {"by": "polynomial"})", R"(, "schedule": {"by": "tanh"})",
        R"(, "optimizer": {"name": "adam"}, "schedule": {"by": "step"})"}) {
    const std::string text = "{" + data_section + choice + "}";
    expect_same_keys(schema_for(text), Json::parse(to_json(parse(text))), "");
  }
  EXPECT_EQ(schema.at("$schema"), "https://json-schema.org/draft/2020-12/schema");
  EXPECT_EQ(schema.at("required"), Json({"data"}));
}

TEST(ConfigSchema, SaysWhatTheParserDemands) {
  const Json properties = schema_for("{" + data_section + "}").at("properties");
  EXPECT_EQ(properties.at("train").at("properties").at("global_batch").at("minimum"), 1);
  EXPECT_EQ(properties.at("train").at("properties").at("until").at("enum").size(), 4U);
  EXPECT_EQ(properties.at("model").at("properties").at("extent").at("multipleOf"), 32);
  EXPECT_EQ(properties.at("model").at("properties").at("kernel").at("enum"), Json({2, 3}));
  EXPECT_EQ(properties.at("data").at("required"), Json({"train", "validation"}));
  const auto limits = [&](const char* pointer) {
    Json found = properties.at(Json::json_pointer(pointer));
    for (const char* other : {"type", "description", "default"})
      found.erase(other);
    return found;
  };
  EXPECT_EQ(limits("/stage/properties/reserve_percent"), Json({{"minimum", 0}, {"exclusiveMaximum", 100}}));
  EXPECT_EQ(limits("/watchdog/properties/step_seconds"), Json({{"exclusiveMinimum", 0}}));
  EXPECT_EQ(limits("/load/properties/threads"),
            Json::parse(R"({"anyOf": [{"type": "integer", "minimum": 1, "maximum": 1024}, {"const": "auto"}]})"));
  EXPECT_EQ(limits("/model/properties/extent"), Json({{"minimum", 32}, {"maximum", 1024}, {"multipleOf", 32}}));
  EXPECT_EQ(limits("/model/properties/width"), Json({{"exclusiveMinimum", 0}, {"maximum", 16}}));
  const auto description = [&](const char* pointer) {
    return properties.at(Json::json_pointer(pointer)).at("description").get<std::string>();
  };
  EXPECT_TRUE(description("/stage/properties/reserve_percent").ends_with(" [percent]"));
  EXPECT_FALSE(description("/stage/properties/target").ends_with("]"));
  EXPECT_EQ(limits("/submission/properties/org"), Json({{"minLength", 1}}));
  EXPECT_EQ(limits("/name"), Json({{"pattern", "^[A-Za-z0-9_-][A-Za-z0-9._-]*$"}, {"maxLength", 100}}));
  const Json& decay = properties.at("schedule").at("properties").at("decay").at("items");
  EXPECT_EQ(decay.at("required"), Json({"epoch", "factor"}));
  EXPECT_EQ(decay.at("additionalProperties"), false);
}

TEST(ConfigSchema, DefaultsAreThoseOfTheStructs) {
  const Json properties = Json::parse(config_schema()).at("properties");
  EXPECT_EQ(properties.at("train").at("properties").at("target").at("default"), TrainOptions{}.target);
  EXPECT_EQ(properties.at("watchdog").at("properties").at("step_seconds").at("default"),
            WatchdogOptions{}.step_seconds);
}

TEST(ConfigReference, NamesEveryKeyOfEverySection) {
  const std::string page = config_reference();
  const Json config = Json::parse(to_json(parse("{" + data_section + "}")));
  for (const auto& [section, value] : config.items()) {
    EXPECT_NE(page.find("`" + section + "`"), std::string::npos) << section;
    if (!value.is_object()) continue;
    const std::string part = page.substr(page.find("## `" + section + "`"));
    for (const auto& [key, unused] : value.items())
      EXPECT_TRUE(part.find("`" + key + "`") != std::string::npos || part.find("." + key + "`") != std::string::npos)
          << section << "." << key;
  }
}

}  // namespace
}  // namespace trainmark
