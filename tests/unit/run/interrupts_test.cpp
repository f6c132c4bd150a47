// A signal runs the closers, newest first, and ends the process with 128 + its number.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "trainmark/run.hpp"

namespace trainmark {
namespace {

/// Runs `child` in a process of its own, sends it `signal` once it is ready, and returns what it wrote and its exit
/// code.
std::pair<std::string, int> interrupt(int signal, void (*child)(int ready)) {
  int pipes[2];
  if (pipe(pipes) != 0) return {"no pipe", -1};
  const pid_t pid = fork();
  if (pid == 0) {
    close(pipes[0]);
    child(pipes[1]);
    _exit(99);
  }
  close(pipes[1]);
  std::string text;
  char letter = 0;
  while (read(pipes[0], &letter, 1) == 1) {
    text += letter;
    if (letter == 'R') kill(pid, signal);
  }
  close(pipes[0]);
  int status = 0;
  waitpid(pid, &status, 0);
  return {text, WIFEXITED(status) ? WEXITSTATUS(status) : -1};
}

void say(int to, const char* letter) {
  if (write(to, letter, 1) != 1) _exit(98);
}

TEST(Interrupts, RunsClosersNewestFirstAndLeavesWithTheSignalsCode) {
  const auto [text, code] = interrupt(SIGTERM, [](int ready) {
    Interrupts interrupts;
    const auto outer = interrupts.on_signal([ready](int) { say(ready, "1"); });
    const auto inner = interrupts.on_signal([ready](int) { say(ready, "2"); });
    say(ready, "R");
    sleep(20);
  });
  EXPECT_EQ(text, "R21");
  EXPECT_EQ(code, 128 + SIGTERM);
}

TEST(Interrupts, ForgetsTheClosersOfScopesThatEnded) {
  const auto [text, code] = interrupt(SIGINT, [](int ready) {
    Interrupts interrupts;
    {
      const auto gone = interrupts.on_signal([ready](int) { say(ready, "x"); });
    }
    say(ready, "R");
    sleep(20);
  });
  EXPECT_EQ(text, "R");
  EXPECT_EQ(code, 128 + SIGINT);
}

TEST(Interrupts, EndsItsThreadWhenThereWasNoSignal) {
  Interrupts interrupts;
  const auto guard = interrupts.on_signal([](int) {});
}

}  // namespace
}  // namespace trainmark
