// Bytes that are no UTF-8 are replaced one by one, and nothing else is touched.
#include "mllog/utf8.hpp"

#include <gtest/gtest.h>

#include "trainmark/mllog.hpp"

namespace trainmark {
namespace {

using namespace std::string_literals;

TEST(Utf8, LeavesWholeCharactersOfEveryLengthAsTheyAre) {
  for (const std::string& text :
       {""s, "a\0b"s, "\x7f"s, "\u0080\u07ff"s, "\u0800\ud7ff\ue000\uffff"s, "\U00010000\U0010ffff"s}) {
    EXPECT_EQ(utf8_prefix(text), text.size());
    EXPECT_EQ(to_utf8(text), text);
  }
}

TEST(Utf8, ReplacesWhatIsNone) {
  const std::pair<std::string, int> cases[] = {
      {"\x80", 1},
      {"\xbf", 1},
      {"\xc0\xaf", 2},
      {"\xc1\xbf", 2},
      {"\xc2", 1},
      {"\xdf\x7f", 1},
      {"\xe0\x9f\xbf", 3},
      {"\xe1\x80", 2},
      {"\xed\xa0\x80", 3},
      {"\xef\xbf", 2},
      {"\xf0\x8f\xbf\xbf", 4},
      {"\xf1\x80\x80", 3},
      {"\xf4\x90\x80\x80", 4},
      {"\xf5\x80\x80\x80", 4},
      {"\xff\xfe", 2},
  };
  for (const auto& [bytes, replaced] : cases) {
    const std::string before = "a\u00e4";
    const std::string text = to_utf8(before + bytes + "b");
    EXPECT_EQ(utf8_prefix(before + bytes + "b"), before.size()) << testing::PrintToString(bytes);
    std::string marks;
    for (int i = 0; i < replaced; ++i)
      marks += "\ufffd";
    EXPECT_EQ(text, before + marks + (bytes == "\xdf\x7f" ? "\x7f"s : ""s) + "b") << testing::PrintToString(bytes);
    EXPECT_EQ(utf8_prefix(text), text.size());
  }
}

TEST(Utf8, JsonOfAnyBytesIsJson) {
  nlohmann::ordered_json document = {{"a\xff", "b\xe9"}, {"list", {"\xc3", 1, 2.5}}};
  EXPECT_EQ(json_text(document), "{\"a\ufffd\":\"b\ufffd\",\"list\":[\"\ufffd\",1,2.5]}");
  EXPECT_EQ(json_text(nlohmann::json{{"big", 9007199254740993}}, 2), "{\n  \"big\": 9007199254740993\n}");
}

TEST(Utf8, LogsHoldNothingElse) {
  Event event{};
  event.key = "k\xff";
  event.value = "caf\xe9"s;
  event.metadata = {{"m\xfe", "v\xfd"s}};
  const std::string line = to_line(event);
  EXPECT_EQ(utf8_prefix(line), line.size());
  EXPECT_NE(line.find("\"caf\ufffd\""), std::string::npos) << line;
  EXPECT_EQ(read_log(line).records.size(), 1U);
}

}  // namespace
}  // namespace trainmark
