// Keys that follow from the word of another key: read, refused, written, described. The options are the test's own.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "config/reader.hpp"
#include "config/visitors.hpp"

namespace trainmark::config {
namespace {

struct Tea {
  int minutes = 3;
};
struct Coffee {
  float grams = 7.5F;
  std::string mill;
};
struct Order {
  std::variant<Tea, Coffee> drink;
  std::string guest = "nobody";
};

void describe(Visitor& visitor, Tea& tea) { visitor.field({.name = "minutes", .doc = "To wait."}, &tea.minutes); }
void describe(Visitor& visitor, Coffee& coffee) {
  visitor.field({.name = "grams", .doc = "Of beans.", .above = 0, .below = 10}, &coffee.grams);
  visitor.open("tools", "What it takes.");
  visitor.field({.name = "mill", .doc = "Whose.", .required = true}, &coffee.mill);
  visitor.close();
}
void describe(Visitor& visitor, Order& order) {
  visitor.open("", "An order.");
  VariantChoice choice(order.drink, {.name = "drink", .doc = "Which.", .words = {"tea", "coffee"}},
                       [](Visitor& to, auto& drink) { describe(to, drink); });
  visitor.select(choice);
  visitor.field({.name = "guest", .doc = "Who."}, &order.guest);
  visitor.alternatives(choice);
  visitor.close();
}

struct Read {
  Order order;
  std::vector<std::string> remarks;
};
Read read(const std::string& text) {
  Read result;
  std::vector<Remark> remarks;
  Document document = read_document(text, -1, remarks);
  Order defaults;
  const Lookup nothing = [](std::string_view) { return std::nullopt; };
  Reader reader(document.root, nothing, remarks, [&](Visitor& visitor) { describe(visitor, defaults); });
  describe(reader, result.order);
  for (const Remark& remark : remarks)
    result.remarks.push_back(remark.pointer + ": " + remark.text);
  EXPECT_EQ(defaults.drink.index(), 0U) << "the collector puts the choice back";
  return result;
}
using Lines = std::vector<std::string>;

TEST(Choice, OfNothingIsTheDefaultWithItsKeys) {
  const Read found = read(R"({"minutes": 5, "guest": "me"})");
  EXPECT_EQ(found.remarks, Lines{});
  EXPECT_EQ(std::get<Tea>(found.order.drink).minutes, 5);
  EXPECT_EQ(found.order.guest, "me");
}

TEST(Choice, BringsKeysSectionsAndDefaultsOfItsWord) {
  const Read found = read(R"({"tools": {"mill": "ours"}, "drink": "coffee"})");
  EXPECT_EQ(found.remarks, Lines{});
  EXPECT_EQ(std::get<Coffee>(found.order.drink).grams, 7.5F);
  EXPECT_EQ(std::get<Coffee>(found.order.drink).mill, "ours");
}

TEST(Choice, MakesRequiredOnlyWhatItsWordRequires) {
  EXPECT_EQ(read(R"({"drink": "coffee"})").remarks, Lines{"/tools/mill: is missing. Whose."});
  EXPECT_EQ(read("{}").remarks, Lines{});
}

TEST(Choice, RefusesKeysOfAnotherWordAndNamesIt) {
  EXPECT_EQ(read(R"({"drink": "coffee", "minutes": 4, "tools": {"mill": "m"}})").remarks,
            Lines{R"(/minutes: goes with /drink "tea" (it would have no effect: /drink is "coffee"))"});
  EXPECT_EQ(read(R"({"grams": 4})").remarks,
            Lines{R"(/grams: goes with /drink "coffee" (it would have no effect: /drink is "tea"))"});
}

TEST(Choice, OfAnUnknownWordIsOneComplaintWhateverKeysFollow) {
  EXPECT_EQ(read(R"({"drink": "cofee", "grams": 4, "minutes": 1, "tools": {"mill": "m"}})").remarks,
            Lines{R"(/drink: "cofee" is not known (allowed: tea, coffee; did you mean "coffee"?))"});
}

TEST(Choice, OfOneWordKnowsTheNearestOfItsKeys) {
  EXPECT_EQ(read(R"({"minuts": 4})").remarks,
            Lines{"/minuts: unknown key (it would have no effect); did you mean /minutes?"});
}

TEST(Choice, OfAFloatHoldsItsLimitsInFp32) {
  EXPECT_EQ(read(R"({"drink": "coffee", "grams": 9.99999999, "tools": {"mill": "m"}})").remarks.size(), 1U);
  EXPECT_EQ(read(R"({"drink": "coffee", "grams": 9.9999, "tools": {"mill": "m"}})").remarks, Lines{});
}

TEST(Choice, OfAWholeNumberHasTheRoomOfItsTypeInBothDirections) {
  for (const char* fits : {"2147483647", "-2147483647"})
    EXPECT_EQ(std::get<Tea>(read(R"({"minutes": )" + std::string(fits) + "}").order.drink).minutes, std::stoi(fits));
  EXPECT_EQ(read(R"({"minutes": -2147483649})").remarks,
            Lines{"/minutes: -2147483649 is out of range (allowed: at least -2147483647)"});
  EXPECT_EQ(read(R"({"minutes": 2147483648})").remarks,
            Lines{"/minutes: 2147483648 is out of range (allowed: at most 2147483647)"});
}

TEST(Choice, IsWrittenAsItsWordAndItsKeys) {
  Order order;
  const auto document = [&] { return document_of([&](Visitor& visitor) { describe(visitor, order); }).dump(); };
  EXPECT_EQ(document(), R"({"drink":"tea","guest":"nobody","minutes":3})");
  order.drink = Coffee{.grams = 0.1F, .mill = "m"};
  EXPECT_EQ(document(), R"({"drink":"coffee","guest":"nobody","grams":0.1,"tools":{"mill":"m"}})")
      << "a float as it was written";
}

TEST(Choice, IsAConditionOfTheSchema) {
  Order order;
  const auto schema = schema_of([&](Visitor& visitor) { describe(visitor, order); });
  EXPECT_FALSE(schema["properties"].contains("minutes"));
  EXPECT_EQ(schema["properties"]["drink"]["enum"].dump(), R"(["tea","coffee"])");
  EXPECT_EQ(schema["unevaluatedProperties"], false);
  ASSERT_EQ(schema["allOf"].size(), 2U);
  const auto& tea = schema["allOf"][0];
  EXPECT_EQ(tea["if"].dump(), R"({"properties":{"drink":{"const":"tea"}}})") << "also where the key is left out";
  EXPECT_EQ(tea["then"]["properties"]["minutes"]["default"], 3);
  EXPECT_FALSE(tea["then"].contains("required"));
  const auto& coffee = schema["allOf"][1];
  EXPECT_EQ(coffee["if"]["required"].dump(), R"(["drink"])");
  EXPECT_EQ(coffee["then"]["required"].dump(), R"(["tools"])");
  EXPECT_EQ(coffee["then"]["properties"]["tools"]["additionalProperties"], false);
  EXPECT_FALSE(coffee["then"].contains("additionalProperties")) << "it would refuse the keys beside it";
}

TEST(Choice, HasATableForEachWordInTheManual) {
  Order order;
  const std::string manual = manual_of([&](Visitor& visitor) { describe(visitor, order); });
  EXPECT_NE(manual.find("Keys with `drink` `\"tea\"`:\n\n| key | type |"), std::string::npos) << manual;
  EXPECT_NE(manual.find("Keys with `drink` `\"coffee\"`:\n\n| key | type |"), std::string::npos) << manual;
  EXPECT_NE(manual.find("## `tools`, with `drink` `\"coffee\"`\n"), std::string::npos) << manual;
  EXPECT_LT(manual.find("| `guest` |"), manual.find("Keys with")) << "what is always there comes first";
}

}  // namespace
}  // namespace trainmark::config
