// Threads that are tried before they are needed.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

#include "trainmark/core.hpp"
#include "trainmark/process.hpp"

namespace trainmark {
namespace {

std::ptrdiff_t threads_of_this_process() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/task"), std::filesystem::directory_iterator());
}

/// What `work` says in a process of its own, whose address space is 96 MiB larger than it is now at most.
std::string in_little_space(const std::function<std::string()>& work) {
  int pipes[2];
  if (pipe(pipes) != 0) return "no pipe";
  const pid_t pid = fork();
  if (pid == 0) {
    long pages = 0;
    if (std::FILE* file = std::fopen("/proc/self/statm", "r")) {
      if (std::fscanf(file, "%ld", &pages) != 1) _exit(1);
      std::fclose(file);
    }
    rlimit limit{};
    getrlimit(RLIMIT_AS, &limit);
    limit.rlim_cur = static_cast<rlim_t>(pages * getpagesize()) + (96U << 20U);
    setrlimit(RLIMIT_AS, &limit);
    const std::string text = work();
    _exit(write(pipes[1], text.data(), text.size()) == static_cast<ssize_t>(text.size()) ? 0 : 1);
  }
  close(pipes[1]);
  std::string text;
  char letter = 0;
  while (read(pipes[0], &letter, 1) == 1)
    text += letter;
  close(pipes[0]);
  waitpid(pid, nullptr, 0);
  return text;
}

TEST(TrialThreads, AreThereTogetherAndGoneAfterwards) {
  const std::ptrdiff_t before = threads_of_this_process();
  {
    const TrialThreads trial(5, "");
    EXPECT_EQ(threads_of_this_process(), before + 5);
  }
  EXPECT_EQ(threads_of_this_process(), before);
}

TEST(TrialThreads, LeaveSignalsAsTheyWereAndTakeNoneThemselves) {
  const auto blocked = [] {
    sigset_t now;
    pthread_sigmask(SIG_BLOCK, nullptr, &now);
    return std::pair(sigismember(&now, SIGUSR1), sigismember(&now, SIGUSR2));
  };
  sigset_t first, before;
  sigemptyset(&first);
  sigaddset(&first, SIGUSR1);
  pthread_sigmask(SIG_SETMASK, &first, &before);
  {
    const TrialThreads trial(3, "");
    EXPECT_EQ(blocked(), std::pair(1, 0));
    constexpr unsigned long long of_the_library = 3ULL << 31U;  // 32 and 33: blocked or not, as the C library likes
    std::vector<unsigned long long> others;
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
      if (task.path().filename() == std::to_string(gettid())) continue;
      std::ifstream status(task.path() / "status");
      for (std::string line; std::getline(status, line);)
        if (line.starts_with("SigBlk:\t")) others.push_back(std::stoull(line.substr(8), nullptr, 16) | of_the_library);
    }
    const unsigned long long all_but_kill_and_stop = ~(1ULL << 8U | 1ULL << 18U);
    EXPECT_EQ(others, std::vector(3, all_but_kill_and_stop));
  }
  EXPECT_EQ(blocked(), std::pair(1, 0));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST(TrialThreads, AreHeldUntilTheyAreNoLongerWanted) {
  const std::ptrdiff_t before = threads_of_this_process();
  const TrialThreads trial(3, "");
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(threads_of_this_process(), before + 3);
}

TEST(ThreadLimits, AreThoseThatThisProcessHasWithTheirNumbers) {
  EXPECT_EQ(in_little_space([]() -> std::string {
              rlimit threads{};
              getrlimit(RLIMIT_NPROC, &threads);
              threads.rlim_cur = std::min<rlim_t>(threads.rlim_max, 4321);
              setrlimit(RLIMIT_NPROC, &threads);
              rlimit space{};
              getrlimit(RLIMIT_AS, &space);
              const std::string wanted = "ulimit -u " + std::to_string(threads.rlim_cur) + ", ulimit -v " +
                                         std::to_string(space.rlim_cur / 1024);  // as the shell has it, in KiB
              return thread_limits().starts_with(wanted) ? "both" : thread_limits();
            }),
            "both");
  EXPECT_EQ(in_little_space([]() -> std::string {
              for (const auto resource : {RLIMIT_NPROC, RLIMIT_AS}) {
                rlimit none{RLIM_INFINITY, RLIM_INFINITY};
                if (setrlimit(resource, &none) != 0) return "none";  // the user's own limit is lower
              }
              const std::string text = thread_limits();
              return text.find("ulimit") == text.npos && !text.empty() ? "none" : text;
            }),
            "none");
}

TEST(TrialThreads, OfNoneAreNone) { EXPECT_NO_THROW(TrialThreads(0, "")); }

TEST(TrialThreads, NameTheThreadTheLimitAndTheCure) {
  const std::string text = in_little_space([]() -> std::string {
    try {
      const TrialThreads trial(400, "lower /backend/threads");
      return "all of them started";
    } catch (const Error& error) {
      return std::to_string(static_cast<int>(error.code())) + " " + error.what();
    }
  });
  EXPECT_EQ(text.substr(0, 31), "4 threads: cannot start thread ") << text;
  for (const char* words : {" of 401: ", "ulimit -v ", "; lower /backend/threads"})
    EXPECT_NE(text.find(words), text.npos) << text;
}

TEST(TrialThreads, CountTheCallerAndThoseThatStarted) {
  const std::string text = in_little_space([]() -> std::string {
    pthread_attr_t large{};
    pthread_attr_init(&large);
    pthread_attr_setstacksize(&large, 64U << 20U);  // of 96 MiB there is room for one
    pthread_setattr_default_np(&large);
    try {
      const TrialThreads trial(5, "");
      return "all of them started";
    } catch (const Error& error) {
      return error.what();
    }
  });
  EXPECT_NE(text.find("cannot start thread 3 of 6: "), text.npos) << text;
}

TEST(TrialThreads, NameTheVariableThatAsksForTooLargeAStackWhereTheThreadStartsWithoutIt) {
  const auto said = [](int count, int of_openmp) {
    return in_little_space([=]() -> std::string {
      openmp_starts_with({std::size_t{1} << 40U, "OMP_STACKSIZE=1024G"});
      try {
        const TrialThreads trial(count, "lower /backend/threads", of_openmp);
        return "all of them started";
      } catch (const Error& error) {
        return error.what();
      }
    });
  };
  const std::string text = said(3, 2);
  EXPECT_NE(text.find("cannot start thread 2 of 4: "), text.npos) << text;
  EXPECT_NE(text.find("OMP_STACKSIZE=1024G asks for a stack of 1048576 MiB"), text.npos) << text;
  EXPECT_NE(text.find("lower that variable or unset it"), text.npos) << text;
  EXPECT_EQ(said(2, 0), "all of them started");
  const std::string many = said(400, 0);
  EXPECT_NE(many.find("lower /backend/threads"), many.npos) << many;
  EXPECT_EQ(many.find("STACKSIZE"), many.npos) << many;
}

TEST(TrialThreads, LeaveNoneBehindWhereTheyCannotAllBeStarted) {
  EXPECT_EQ(in_little_space([]() -> std::string {
              const std::ptrdiff_t before = threads_of_this_process();
              try {
                const TrialThreads trial(400, "");
              } catch (const Error&) {
                return threads_of_this_process() == before ? "none" : "some";
              }
              return "all of them started";
            }),
            "none");
}

}  // namespace
}  // namespace trainmark
