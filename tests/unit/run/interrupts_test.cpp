// A signal runs the closers, newest first, and ends the process with 128 + its number.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <thread>

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
    std::signal(SIGHUP, SIG_DFL);  // as the program's start has it, whatever MPI's libraries made of it
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

/// One closer that writes the code that it is given, then waits to be ended.
void wait_to_be_ended(int ready) {
  Interrupts interrupts;
  interrupts.watch_faults();
  const auto guard = interrupts.on_signal([ready](int code) {
    const std::string text = std::to_string(code);
    if (write(ready, text.data(), text.size()) < 0) _exit(97);
  });
  say(ready, "R");
  sleep(20);
}

TEST(Interrupts, TakesEverySignalThatWouldEndTheProcess) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGXCPU, SIGALRM, SIGVTALRM, SIGPROF,
                           SIGPWR, SIGSTKFLT, SIGPOLL, SIGRTMIN, SIGRTMAX}) {
    const auto [text, code] = interrupt(signal, wait_to_be_ended);
    EXPECT_EQ(text, "R" + std::to_string(128 + signal)) << strsignal(signal);
    EXPECT_EQ(code, 128 + signal) << strsignal(signal);
  }
}

TEST(Interrupts, LeavesThoseAloneThatEndNoProcess) {
  const auto [text, code] = interrupt(SIGTERM, [](int ready) {
    Interrupts interrupts;
    const auto guard = interrupts.on_signal([ready](int) { say(ready, "c"); });
    for (const int signal : {SIGWINCH, SIGCHLD, SIGURG, SIGCONT}) {  // a terminal of another size, to begin with
      kill(getpid(), signal);
      usleep(50'000);
    }
    say(ready, "R");
    sleep(20);
  });
  EXPECT_EQ(text, "Rc");
  EXPECT_EQ(code, 128 + SIGTERM);
}

TEST(Interrupts, LeavesThoseAloneThatAreIgnoredOrHandled) {
  const auto [text, code] = interrupt(SIGTERM, [](int ready) {
    static int told = 0;
    told = ready;
    std::signal(SIGHUP, SIG_IGN);
    std::signal(SIGUSR1, [](int) { say(told, "u"); });
    Interrupts interrupts;
    std::signal(SIGPROF, [](int) { say(told, "p"); });  // a profiler that comes later
    const auto guard = interrupts.on_signal([](int) { say(told, "c"); });
    kill(getpid(), SIGHUP);
    kill(getpid(), SIGUSR1);
    for (int times = 0; times < 2; ++times) {
      kill(getpid(), SIGPROF);
      usleep(200'000);
    }
    say(ready, "R");
    sleep(20);
  });
  EXPECT_EQ(text, "uppRc");
  EXPECT_EQ(code, 128 + SIGTERM);
}

TEST(Interrupts, TakesWhatBatchSystemsSendWhateverALibraryMakesOfItLater) {
  for (const int signal : {SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGXCPU}) {
    const auto [text, code] = interrupt(signal, [](int ready) {
      Interrupts interrupts;
      for (const int each : {SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGXCPU})
        std::signal(each, [](int) {});
      const auto guard = interrupts.on_signal([ready](int) { say(ready, "c"); });
      say(ready, "R");
      sleep(20);
    });
    EXPECT_EQ(text, "Rc") << strsignal(signal);
    EXPECT_EQ(code, 128 + signal) << strsignal(signal);
  }
}

TEST(Interrupts, ClosesBeforeAFaultEndsTheProcessAsItWouldHave) {
  for (const int signal : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL}) {
    const auto [text, code] = interrupt(signal, wait_to_be_ended);
    EXPECT_EQ(text, "R" + std::to_string(128 + signal)) << strsignal(signal);
#ifdef __SANITIZE_ADDRESS__
    if (signal != SIGABRT && signal != SIGILL) continue;  // the sanitizer makes a report of it and ends the process
#endif
    EXPECT_EQ(code, -1) << "it was to die of the signal";
  }
}

TEST(Interrupts, ClosesBeforeAnExceptionThatNobodyCatchesEndsTheProcess) {
  const auto [text, code] = interrupt(0, [](int ready) {
    Interrupts interrupts;
    interrupts.watch_faults();
    const auto guard = interrupts.on_signal([ready](int) { say(ready, "c"); });
    std::thread([] { throw std::runtime_error("of a thread"); }).join();
  });
  EXPECT_EQ(text, "c");
  EXPECT_EQ(code, -1);
}

TEST(Interrupts, TakesTheExitOfALibraryForAFailure) {
  for (void (*leave)(int) : {static_cast<void (*)(int)>(std::exit), static_cast<void (*)(int)>(std::quick_exit)}) {
    static void (*how)(int);
    how = leave;
    const auto [text, code] = interrupt(0, [](int ready) {
      Interrupts interrupts;
      const auto guard = interrupts.on_signal([ready](int given) { say(ready, given == 4 ? "c" : "?"); });
      std::thread([] { how(0); }).join();
    });
    EXPECT_EQ(text, "c");
    EXPECT_EQ(code, 4);
  }
}

TEST(Interrupts, LeavesAnExitAloneThatComesAfterIt) {
  const auto [text, code] = interrupt(0, [](int) {
    { Interrupts interrupts; }
    std::exit(7);
  });
  EXPECT_EQ(code, 7);
}

TEST(Interrupts, GivesSignalsTheirMeaningBack) {
  const auto [text, code] = interrupt(SIGTERM, [](int ready) {
    { Interrupts interrupts; }
    say(ready, "R");
    sleep(20);
  });
  EXPECT_EQ(code, -1) << "it was to die of the signal";
}

TEST(Interrupts, EndsItsThreadWhenThereWasNoSignal) {
  Interrupts interrupts;
  const auto guard = interrupts.on_signal([](int) {});
}

}  // namespace
}  // namespace trainmark
