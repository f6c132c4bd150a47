// What a person sees: whole lines, and a status that renews itself on a terminal.
#include "run/record/progress.hpp"

#include <gtest/gtest.h>

namespace trainmark {
namespace {

/// What a progress of that style writes while `talk` goes on, and when it ends.
template <class Talk>
std::string told(Progress::Style style, Talk&& talk) {
  testing::internal::CaptureStderr();
  {
    Progress progress(style);
    talk(progress);
  }
  return testing::internal::GetCapturedStderr();
}

TEST(Progress, WritesLinesAsTheyCome) {
  EXPECT_EQ(told({},
                 [](Progress& progress) {
                   progress.line("one");
                   progress.line("two");
                 }),
            "one\ntwo\n");
}

TEST(Progress, IsSilentOnOtherRanks) {
  EXPECT_EQ(told({.speaks = false, .terminal = true, .interval_s = 0},
                 [](Progress& progress) {
                   EXPECT_FALSE(progress.due());
                   progress.line("one");
                   progress.status("two");
                 }),
            "");
}

TEST(Progress, ReplacesItsStatusOnATerminalAndClearsItForALine) {
  EXPECT_EQ(told({.terminal = true, .interval_s = 1000},
                 [](Progress& progress) {
                   progress.status("step 1");
                   progress.line("epoch 1");
                   progress.line("epoch 2");
                 }),
            "\r\033[Kstep 1\r\033[Kepoch 1\nepoch 2\n");
}

TEST(Progress, LeavesATerminalClean) {
  EXPECT_EQ(told({.terminal = true}, [](Progress& progress) { progress.status("step 1"); }), "\r\033[Kstep 1\r\033[K");
}

TEST(Progress, WritesOneStatusAnIntervalElsewhere) {
  EXPECT_EQ(told({.interval_s = 1000},
                 [](Progress& progress) {
                   EXPECT_TRUE(progress.due());
                   progress.status("step 1");
                   EXPECT_FALSE(progress.due());
                   progress.status("step 2");
                 }),
            "step 1\n");
  EXPECT_EQ(told({.interval_s = 0},
                 [](Progress& progress) {
                   progress.status("step 1");
                   progress.status("step 2");
                 }),
            "step 1\nstep 2\n");
}

TEST(DurationText, ChoosesUnitsAPersonWouldChoose) {
  EXPECT_EQ(duration_text(0.04), "0.0 s");
  EXPECT_EQ(duration_text(59.94), "59.9 s");
  EXPECT_EQ(duration_text(60), "1 min 00 s");
  EXPECT_EQ(duration_text(200), "3 min 20 s");
  EXPECT_EQ(duration_text(3599), "59 min 59 s");
  EXPECT_EQ(duration_text(3720), "1 h 02 min");
  EXPECT_EQ(duration_text(36000 + 59 * 60), "10 h 59 min");
  EXPECT_EQ(duration_text(1e308), "over 1e9 h") << "a config may ask for so many seconds";
}

TEST(JobTime, IsSaidWhereItIsKnown) {
  EXPECT_EQ(job_time_text({}, 10.0), "");
  EXPECT_EQ(job_time_text(130.0, {}), ", job ends in 2 min 10 s");
  EXPECT_EQ(job_time_text(130.0, 130.0), ", job ends in 2 min 10 s");
}

TEST(JobTime, IsToldToBeTooShort) {
  EXPECT_EQ(job_time_text(130.0, 130.5), ", job ends in 2 min 10 s, too soon");
  EXPECT_EQ(job_time_text(-5.0, 1.0), ", job ends in 0.0 s, too soon");
}

}  // namespace
}  // namespace trainmark
