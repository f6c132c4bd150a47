// Errors, types, shapes, ranges, handles and the clock.
#include <gtest/gtest.h>

#include <filesystem>
#include <new>

#include "trainmark/core.hpp"

namespace trainmark {
namespace {

TEST(Complaint, ReadsWhereWhatWhyAndWhatToDo) {
  EXPECT_EQ(to_string(Complaint{"a.json", "extent 100 is odd", "pools halve it", "choose 96"}),
            "a.json: extent 100 is odd (pools halve it); choose 96");
}

TEST(Complaint, LeavesOutWhatIsEmpty) {
  EXPECT_EQ(to_string(Complaint{"", "no samples", "", ""}), "no samples");
  EXPECT_EQ(to_string(Complaint{"f.h5", "no samples", "", "add some"}), "f.h5: no samples; add some");
}

TEST(Error, CarriesItsExitCodeAndItsText) {
  const Error error(ExitCode::data, Complaint{"f.h5", "is empty", "", ""});
  EXPECT_EQ(error.code(), ExitCode::data);
  EXPECT_STREQ(error.what(), "f.h5: is empty");
  EXPECT_EQ(Error(ExitCode::watchdog, "late").code(), ExitCode::watchdog);
}

TEST(Error, KeepsThePartsOfItsComplaint) {
  const Error error(ExitCode::data, Complaint{"f.h5", "is empty", "no samples", "copy it"});
  EXPECT_EQ(error.complaint().where, "f.h5");
  EXPECT_EQ(error.complaint().what, "is empty");
  EXPECT_EQ(error.complaint().why, "no samples");
  EXPECT_EQ(error.complaint().remedy, "copy it");
  EXPECT_EQ(Error(ExitCode::watchdog, "late").complaint().what, "late");
}

TEST(Failure, IsOneOfTheDataWhereTheFileSystemRefuses) {
  try {
    (void)std::filesystem::file_size("/nonexistent/file");
    FAIL() << "it is there";
  } catch (const std::exception& error) {
    const Failure failure = failure_of(error);
    EXPECT_EQ(failure.code, ExitCode::data);
    EXPECT_EQ(failure.complaint.where, "/nonexistent/file");
    EXPECT_EQ(failure.complaint.what, "No such file or directory");
    EXPECT_EQ(failure.message, to_string(failure.complaint));
    EXPECT_EQ(failure_at_hand().message, failure.message);
  }
}

TEST(Failure, IsNeverTheStandardLibrarysTextAlone) {
  EXPECT_EQ(failure_of(Error(ExitCode::usage, "no")).code, ExitCode::usage);
  EXPECT_EQ(failure_of(std::bad_alloc()).message.substr(0, 14), "out of memory;");
  EXPECT_EQ(failure_of(std::logic_error("broken")).message, "internal error, please report it: broken");
  EXPECT_EQ(failure_of(std::runtime_error("so")).code, ExitCode::environment);
  EXPECT_EQ(failure_of(std::runtime_error("so")).message, "so");
  try {
    throw 7;
  } catch (...) {
    EXPECT_EQ(failure_at_hand().code, ExitCode::environment);
    EXPECT_EQ(failure_at_hand().message, "internal error, please report it: an exception of no known kind");
  }
}

TEST(Check, ThrowsWithTheConditionTheDetailAndThePlace) {
  EXPECT_NO_THROW(TRAINMARK_CHECK(1 + 1 == 2, "arithmetic"));
  try {
    TRAINMARK_CHECK(1 + 1 == 3, "arithmetic");
    FAIL() << "no exception";
  } catch (const std::logic_error& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("1 + 1 == 3"), std::string::npos) << text;
    EXPECT_NE(text.find("arithmetic"), std::string::npos) << text;
    EXPECT_NE(text.find("vocabulary_test.cpp"), std::string::npos) << text;
  }
}

TEST(DType, HasASizeAndAName) {
  const std::array<std::pair<DType, std::size_t>, 8> sizes = {{{DType::f32, 4},
                                                               {DType::bf16, 2},
                                                               {DType::f16, 2},
                                                               {DType::f64, 8},
                                                               {DType::i16, 2},
                                                               {DType::i32, 4},
                                                               {DType::i64, 8},
                                                               {DType::u8, 1}}};
  for (const auto& [type, size] : sizes)
    EXPECT_EQ(size_of(type), size) << name_of(type);
  const std::array<std::pair<DType, std::string_view>, 8> names = {{{DType::f32, "f32"},
                                                                    {DType::bf16, "bf16"},
                                                                    {DType::f16, "f16"},
                                                                    {DType::f64, "f64"},
                                                                    {DType::i16, "i16"},
                                                                    {DType::i32, "i32"},
                                                                    {DType::i64, "i64"},
                                                                    {DType::u8, "u8"}}};
  for (const auto& [type, name] : names)
    EXPECT_EQ(name_of(type), name);
}

TEST(Shape, CountsItsElementsIn64Bits) {
  EXPECT_EQ((Shape{2, 4, 128, 128, 128}).elements(), 16'777'216);
  EXPECT_EQ((Shape{1 << 20, 1 << 20}).elements(), std::int64_t{1} << 40);
  EXPECT_EQ(Shape{}.elements(), 1);
  EXPECT_EQ(to_string(Shape{2, 4, 128}), "2x4x128");
}

TEST(DataSchema, AddsTheBytesOfItsFields) {
  const DataSchema schema{{{"x", {2, 2, 2, 4}, DType::i16}, {"y", {4}, DType::f32}}};
  EXPECT_EQ(schema.sample_bytes(), 64U + 16U);
}

TEST(SliceOf, TilesTheWholeInOrderWithSizesThatDifferByAtMostOne) {
  for (const std::int64_t total : {0, 1, 7, 64, 1000}) {
    for (const std::int64_t parts : {1, 2, 3, 64}) {
      std::int64_t at = 0;
      for (std::int64_t index = 0; index < parts; ++index) {
        const Range range = slice_of(total, parts, index);
        EXPECT_EQ(range.begin, at);
        EXPECT_GE(range.size(), total / parts);
        EXPECT_LE(range.size(), total / parts + 1);
        at = range.end;
      }
      EXPECT_EQ(at, total);
    }
  }
}

TEST(SliceOf, GivesTheFirstPartsOneMore) {
  EXPECT_EQ(slice_of(8, 3, 0), (Range{0, 3}));
  EXPECT_EQ(slice_of(8, 3, 1), (Range{3, 6}));
  EXPECT_EQ(slice_of(8, 3, 2), (Range{6, 8}));
}

TEST(Median, IsTheMiddleOfWhateverOrder) {
  EXPECT_EQ(median_of({}), 0.0);
  EXPECT_EQ(median_of({7.0}), 7.0);
  EXPECT_EQ(median_of({9.0, 1.0, 4.0}), 4.0);
  EXPECT_EQ(median_of({10.0, 1.0, 4.0, 3.0}), 3.5) << "of an even number the mean of the two there";
}

TEST(Words, LeadToTheirValuesAndBack) {
  EXPECT_EQ(word(LogLevel::warn), "warn");
  EXPECT_EQ(from_word<LogLevel>("off"), LogLevel::off);
  EXPECT_EQ(from_word<LogLevel>("trace"), LogLevel::trace);
  EXPECT_EQ(from_word<LogLevel>("Off"), std::nullopt);
}

struct CountedTraits {
  using type = int;
  static int released;
  static type null() noexcept { return 0; }
  static void release(type raw) noexcept { released += raw; }
};
int CountedTraits::released = 0;

TEST(Handle, ReleasesWhatItOwnsOnceWhereverItMoved) {
  CountedTraits::released = 0;
  {
    Handle<CountedTraits> first(3);
    Handle<CountedTraits> second(std::move(first));
    EXPECT_FALSE(first);
    EXPECT_EQ(second.get(), 3);
    second = Handle<CountedTraits>(40);
    EXPECT_EQ(CountedTraits::released, 3);
  }
  EXPECT_EQ(CountedTraits::released, 43);
}

TEST(Clock, NeverGoesBack) {
  const Clock clock;
  std::int64_t last_ms = clock.unix_ms();
  double last = clock.seconds();
  for (int at = 0; at < 1000; ++at) {
    EXPECT_GE(clock.unix_ms(), last_ms);
    EXPECT_GE(clock.seconds(), last);
    last_ms = clock.unix_ms();
    last = clock.seconds();
  }
  EXPECT_GT(last_ms, 1'600'000'000'000) << "milliseconds since 1970";
}

}  // namespace
}  // namespace trainmark
