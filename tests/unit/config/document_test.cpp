// What is said of a document that is no JSON: where it ends, where it goes wrong, in what it is written.
#include <gtest/gtest.h>

#include "support.hpp"

namespace trainmark {
namespace {

TEST(ConfigComplaints, NameTheLineOfASyntaxError) {
  const std::string message = complaints("{\n  \"seed\": 1\n  \"name\": \"x\"\n}");
  expect_part(message, "c.json:3: not JSON: ");
  EXPECT_EQ(lines(message), 1);
}

TEST(ConfigComplaints, SayThatAFileIsCutShort) {
  expect_part(complaints("{\n\"seed\": 1"), "is the file cut short?");
  expect_part(complaints("{\n\"seed\": \"a"), "is the file cut short?");
  expect_part(complaints("{ /* a comment"), "is the file cut short?");
}

TEST(ConfigComplaints, TellAnEmptyFileFromADamagedOne) {
  for (const char* text : {"", " \n\n", "// nothing\n", "/* nothing */", "\xef\xbb\xbf"}) {
    const std::string message = complaints(text);
    expect_part(message, ": not JSON: there is no document (the file is empty, or holds nothing but comments)");
    EXPECT_EQ(message.find("cut short"), std::string::npos) << message;
  }
}

TEST(ConfigComplaints, NameTheLineOfTextAfterTheEnd) {
  const std::string right = "{" + data_section + "}";
  for (const char* more : {"\n}", "\n{}", "\n,", "\nx", "\n1", "\n\"seed\": 1", "\n]"}) {
    expect_only(complaints(right + more),
                "c.json:2: not JSON: text after the end of the document (a config is one object); remove it");
  }
  EXPECT_EQ(complaints(right + "\n// more\n/* and more */\n"), "no error");
}

TEST(ConfigComplaints, DoNotCallAWrongCharacterAtTheEndACutFile) {
  for (const char* text : {"{\"seed\": 1]", "{\"seed\": }", "{\"seed\" }", "hello", "{'seed': 1}", "{\"seed\": 1,}"}) {
    const std::string message = complaints(text);
    expect_part(message, "c.json:1: not JSON: ");
    EXPECT_EQ(message.find("cut short"), std::string::npos) << message;
    EXPECT_EQ(message.find("after the end"), std::string::npos) << message;
    EXPECT_EQ(message.find("no document"), std::string::npos) << message;
  }
}

TEST(ConfigComplaints, FollowFromNoPieceOfTheDocument) {
  const std::string message = complaints("{\"seed\": 1 \"expected end of input\"}");
  expect_part(message, "not JSON: ");
  EXPECT_EQ(message.find("cut short"), std::string::npos) << message;
}

/// `text`, which is ASCII, in units of `width` bytes, the first or the last of which holds the character.
std::string widened(const std::string& text, int width, bool big_endian) {
  std::string wide;
  for (const char c : text) {
    std::string unit(static_cast<std::size_t>(width), '\0');
    (big_endian ? unit.back() : unit.front()) = c;
    wide += unit;
  }
  return wide;
}

TEST(ConfigComplaints, NameOtherEncodingsWithTheCure) {
  using namespace std::string_literals;
  const std::string right = "{" + data_section + "}";
  const std::pair<std::string, const char*> cases[] = {
      {"\xff\xfe"s + widened(right, 2, false), "UTF-16 text and JSON is UTF-8; convert it (iconv -f UTF-16 -t UTF-8)"},
      {"\xfe\xff"s + widened(right, 2, true), "UTF-16 text"},
      {"\xff\xfe\0\0"s + widened(right, 4, false), "UTF-32 text and JSON is UTF-8; convert it (iconv -f UTF-32 "},
      {"\0\0\xfe\xff"s + widened(right, 4, true), "UTF-32 text"},
      {widened(right, 2, false), "UTF-16LE text"},
      {widened(right, 2, true), "UTF-16BE text"},
      {widened(right, 4, false), "UTF-32LE text"},
      {widened(right, 4, true), "UTF-32BE text"},
  };
  for (const auto& [text, words] : cases)
    expect_part(complaints(text), "c.json:1: not JSON: this is "s + words);
  expect_part(complaints("{\n\"name\": \"caf\xe9\"}"), "c.json:2: not JSON: the byte 0xe9 is no UTF-8");
  expect_part(complaints("// caf\xe9\n" + right), "c.json:1: not JSON: the byte 0xe9 is no UTF-8");
  EXPECT_EQ(complaints("\xef\xbb\xbf" + right), "no error") << "the mark of UTF-8 is allowed";
}

TEST(ConfigComplaints, NameWhatIsNoTextAtAll) {
  using namespace std::string_literals;
  const std::string right = "{\n" + data_section + "\n}";
  expect_only(complaints(right + "\n"s + std::string(100, '\0')),
              "c.json:4: not JSON: a NUL byte (the file is no text, or was damaged in a crash); write it anew");
  expect_part(complaints(std::string(100, '\0')), "c.json:1: not JSON: a NUL byte");
  expect_part(complaints("{ // "s + '\0' + right), "c.json:1: not JSON: a NUL byte");
  expect_part(complaints("\x1f\x8b\x08rest"), "this is gzip data; unpack it");
  expect_part(complaints("\x28\xb5\x2f\xfdrest"), "this is zstd data; unpack it");
  expect_part(complaints("PK\x03\x04rest"), "this is a zip archive");
  expect_part(complaints("\x89HDF\r\n\x1a\n"), "this is an HDF5 file");
}

TEST(ConfigComplaints, StayShortHoweverLongTheWrongTextIs) {
  const std::string message = complaints("{\"seed\": \"" + std::string(100000, 'x'));
  EXPECT_LT(message.size(), 300U);
  expect_part(message, "is the file cut short?");
  expect_part(complaints(with("\"seed\": \"" + std::string(56, 'x') + "\u00e9\u00e9\u00e9\"")),
              std::string(56, 'x') + "...\"");
}

}  // namespace
}  // namespace trainmark
