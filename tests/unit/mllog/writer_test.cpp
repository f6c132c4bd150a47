// Records, character by character: what readers stumble over must not be written.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <csignal>
#include <fstream>
#include <limits>
#include <thread>

#include "trainmark/mllog.hpp"

#include "unit/stage/system_calls.hpp"

namespace trainmark {
namespace {

std::string value_text(EventValue value) {
  const std::string line =
      to_line({7, EventType::point_in_time, "k", std::move(value), {}, std::source_location::current()});
  const std::size_t from = line.find("\"value\": ") + 9;
  return line.substr(from, line.find(", \"metadata\"") - from);
}

TEST(ToLine, HasTheFieldsOfTheReferenceLoggerInItsOrder) {
  const std::string line = to_line({1700000000012,
                                    EventType::interval_start,
                                    "epoch_start",
                                    {},
                                    {{"epoch_num", std::int64_t{3}}},
                                    std::source_location::current()});
  EXPECT_TRUE(line.starts_with(
      ":::MLLOG {\"namespace\": \"\", \"time_ms\": 1700000000012, \"event_type\": \"INTERVAL_START\", "
      "\"key\": \"epoch_start\", \"value\": null, \"metadata\": {\"file\": \"writer_test.cpp\", \"lineno\": "))
      << line;
  EXPECT_TRUE(line.ends_with(", \"epoch_num\": 3}}")) << line;
}

TEST(ToLine, PrintsTheShortestTextThatReadsBackEqual) {
  EXPECT_EQ(value_text(0.1), "0.1");
  EXPECT_EQ(value_text(1e-6), "1e-06");
  EXPECT_EQ(value_text(0.124), "0.124");
  EXPECT_EQ(value_text(static_cast<double>(0.124F)), "0.12399999797344208");
  EXPECT_EQ(value_text(2.0), "2.0");
  EXPECT_EQ(value_text(-0.0), "-0.0");
  EXPECT_EQ(std::stod(value_text(1.0 / 3.0)), 1.0 / 3.0);
}

TEST(ToLine, PrintsWhatIsNoNumberAsTheOfficialParserTakesIt) {
  EXPECT_EQ(value_text(std::nan("")), "NaN");
  EXPECT_EQ(value_text(std::numeric_limits<double>::infinity()), "Infinity");
  EXPECT_EQ(value_text(-std::numeric_limits<double>::infinity()), "-Infinity");
}

TEST(ToLine, PrintsListsBooleansAndBigIntegers) {
  EXPECT_EQ(value_text(std::vector<std::int64_t>{32, 64}), "[32, 64]");
  EXPECT_EQ(value_text(std::vector<double>{0.25, 1.0}), "[0.25, 1.0]");
  EXPECT_EQ(value_text(true), "true");
  EXPECT_EQ(value_text(std::int64_t{9223372036854775807}), "9223372036854775807");
}

TEST(ToLine, EscapesWhatWouldBreakTheLine) {
  EXPECT_EQ(value_text(std::string("a\"b\\c\td\ne")), "\"a\\\"b\\\\c\\u0009d\\u000ae\"");
  EXPECT_EQ(value_text(std::string("a\x7f")), "\"a\\u007f\"");
  const std::string hidden = value_text(std::string("see :::MLLOG {}"));
  EXPECT_EQ(hidden.find(":::MLLOG "), std::string::npos) << hidden;
}

TEST(LogFile, AppendsOneLineARecordAndSurvivesReopening) {
  const auto path = std::filesystem::path(::testing::TempDir()) / ("trainmark-log-" + std::to_string(getpid()));
  for (int i = 0; i < 2; ++i)
    LogFile(path).write({i, EventType::point_in_time, "seed", std::int64_t{i}, {}, std::source_location::current()});
  std::ifstream file(path);
  std::string line;
  int lines = 0;
  while (std::getline(file, line))
    lines += line.starts_with(log_token) ? 1 : 0;
  EXPECT_EQ(lines, 2);
  std::filesystem::remove(path);
}

TEST(LogFile, GoesOnWhereASignalInterruptsAWrite) {
  const auto path = std::filesystem::path(::testing::TempDir()) / ("trainmark-log-pipe-" + std::to_string(getpid()));
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  const int reader = open(path.c_str(), O_RDONLY | O_NONBLOCK);
  static std::atomic<int> signals;
  signals = 0;
  struct sigaction action {};  // without SA_RESTART
  action.sa_handler = [](int) { ++signals; };
  struct sigaction before {};
  sigaction(SIGUSR1, &action, &before);
  const std::string text(1 << 18, 'x');  // more than the pipe holds
  std::atomic<bool> written = false;
  std::thread writer([&] {
    LogFile log(path);
    log.write({7, EventType::point_in_time, "k", text, {}, std::source_location::current()});
    written = true;
  });
  int waiting = 0;
  for (int room = fcntl(reader, F_GETPIPE_SZ); waiting < room; std::this_thread::yield())
    ASSERT_EQ(ioctl(reader, FIONREAD, &waiting), 0);
  while (signals < 20) {  // the writer waits for a reader, as it will until something is read
    pthread_kill(writer.native_handle(), SIGUSR1);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_FALSE(written);
  std::string read;
  std::vector<char> buffer(1 << 16);
  while (!read.ends_with('\n')) {
    const ssize_t got = ::read(reader, buffer.data(), buffer.size());
    if (got > 0) read.append(buffer.data(), static_cast<std::size_t>(got));
    if (got == 0 && written) break;
  }
  writer.join();
  EXPECT_NE(read.find('"' + text + '"'), std::string::npos);
  close(reader);
  sigaction(SIGUSR1, &before, nullptr);
  std::filesystem::remove(path);
}

TEST(LogFile, ClosesWhatItOpened) {
  const auto path = std::filesystem::path(::testing::TempDir()) / ("trainmark-closed-log-" + std::to_string(getpid()));
  const int before = dup(0);
  close(before);
  { const LogFile file(path); }
  const int after = dup(0);  // the lowest number that is free
  close(after);
  EXPECT_EQ(after, before);
  std::filesystem::remove(path);
}

TEST(LogFile, SaysWhereItCannotWrite) {
  try {
    const LogFile log("/nonexistent/folder/mlperf.log");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::environment);
    EXPECT_NE(std::string(error.what()).find("/nonexistent/folder"), std::string::npos);
  }
}

TEST(LogFile, SaysThatTheDiskIsFull) {
  LogFile log("/dev/full");
  try {
    log.write({1, EventType::point_in_time, "seed", std::int64_t{1}, {}, std::source_location::current()});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::environment);
  }
}

TEST(LogFile, SaysThatADiskGaveItsErrorOnlyWhenTheLogWasFlushedOrClosed) {
  const auto path = std::filesystem::path(::testing::TempDir()) / ("trainmark-late-log-" + std::to_string(getpid()));
  const auto close_with = [&](int& failing, int error) -> std::string {
    LogFile log(path);
    log.write({1, EventType::point_in_time, "seed", std::int64_t{1}, {}, std::source_location::current()});
    failing = error;
    std::string told;
    try {
      log.close();
    } catch (const Error& complaint) {
      EXPECT_EQ(complaint.code(), ExitCode::environment);
      told = complaint.what();
    }
    failing = 0;
    log.close();  // once is enough
    return told;
  };
  testing::SystemCalls& calls = testing::system_calls();
  EXPECT_EQ(close_with(calls.fsync_fails_with, 0), "");
  EXPECT_TRUE(close_with(calls.fsync_fails_with, ENOSPC)
                  .starts_with(path.string() + ": cannot flush the log: No space left on device"));
  EXPECT_TRUE(close_with(calls.close_fails_with, EDQUOT)
                  .starts_with(path.string() + ": cannot close the log: Disk quota exceeded"));
  EXPECT_EQ(close_with(calls.fsync_fails_with, EINVAL), "") << "a pipe cannot be flushed";
  EXPECT_EQ(close_with(calls.close_fails_with, EINTR), "") << "an interrupted close has closed";
  std::filesystem::remove(path);
}

TEST(LogScope, EmitsBothEndsWithTheirMetadata) {
  EventMemory memory;
  const Clock clock;
  {
    LogScope run(memory, clock, "run", {{"instance", std::int64_t{0}}});
    run.add("status", std::string("success"));
  }
  ASSERT_EQ(memory.events.size(), 2U);
  EXPECT_EQ(memory.events[0].key, "run_start");
  EXPECT_EQ(memory.events[1].key, "run_stop");
  EXPECT_EQ(memory.events[1].type, EventType::interval_end);
  EXPECT_EQ(memory.events[1].metadata.back().first, "status");
}

}  // namespace
}  // namespace trainmark
