// Runs a target over files and over a number of inputs made from its seeds. Inputs run in a child process, many in one
// unless a library is suspected, under limits of processor time and memory; where it dies the input is made again,
// tried alone, kept and counted, and another child goes on behind it.
//   fuzz_NAME [FILE|FOLDER ...] [--runs N] [--seed S] [--seconds T] [--with FOLDER] [--keep FOLDER] [--write-seeds
//   FOLDER]
#include <fmt/core.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>

#include "fuzz/mutate.hpp"

// Of the C library an allocation that is too large gets no memory, of C++'s own it ends the process: a length taken
// from a file must not be believed.
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() {
  return "detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=1024:abort_on_error=1:disable_coredump=1";
}
extern "C" const char* __ubsan_default_options();
extern "C" const char* __ubsan_default_options() { return "halt_on_error=1:abort_on_error=1:print_stacktrace=1"; }

namespace trainmark::fuzz {
namespace {

namespace fs = std::filesystem;
constexpr std::uint64_t most_failures = 40;
constexpr int seconds_an_input = 10;  // of processor time

struct Options {
  std::vector<std::string> inputs, with;
  std::uint64_t runs = 0, seed = 1;
  double seconds = std::numeric_limits<double>::infinity();
  std::string keep, write_seeds;
};

Options options_of(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (!name.starts_with("--")) {
      options.inputs.emplace_back(name);
      continue;
    }
    const std::string value = i + 1 < argc ? argv[++i] : "";
    if (name == "--runs")
      options.runs = std::stoull(value);
    else if (name == "--seed")
      options.seed = std::stoull(value);
    else if (name == "--seconds")
      options.seconds = std::stod(value);
    else if (name == "--with")
      options.with.push_back(value);
    else if (name == "--keep")
      options.keep = value;
    else if (name == "--write-seeds")
      options.write_seeds = value;
    else
      throw std::invalid_argument(fmt::format("{} is no option", name));
  }
  if (options.runs == 0 && options.seconds < 1e9) options.runs = std::numeric_limits<std::uint64_t>::max();
  return options;
}

void set_limits() {
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
#ifndef __SANITIZE_ADDRESS__
  const rlimit memory{rlim_t{4} << 30, rlim_t{4} << 30};
  setrlimit(RLIMIT_AS, &memory);
#endif
}

/// What a child's end means; empty where it came to its end.
std::string ending_of(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  if (WIFEXITED(status)) return fmt::format("exit code {}", WEXITSTATUS(status));
  const int signal = WTERMSIG(status);
  if (signal == SIGPROF) return fmt::format("more than {} s of processor time", seconds_an_input);
  return fmt::format("{}", strsignal(signal));
}

std::string run_in_child(const std::function<void()>& work) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child != 0) return ending_of(child);
  set_limits();
  [&]() noexcept { work(); }();  // what is thrown ends this process
  _exit(0);
}

void start_timer() {
  const itimerval limit{{0, 0}, {seconds_an_input, 0}};
  setitimer(ITIMER_PROF, &limit, nullptr);
}

void run_one(const std::string& input) {
  start_timer();
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
}

class Campaign {
 public:
  using Make = std::function<std::string(std::uint64_t)>;
  Campaign(const Options& options, Make make, std::string label)
      : options_(options),
        make_(std::move(make)),
        label_(std::move(label)),
        at_(new (mmap(nullptr, sizeof(std::atomic<std::uint64_t>), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                      -1, 0)) std::atomic<std::uint64_t>(0)) {}

  /// Inputs 0 to `count`, until the time is over. True where none failed.
  bool run(std::uint64_t count) {
    const Clock clock;
    // Memory that a library damaged would be found damaged by a later input, in this project's frames, and never again.
    const std::uint64_t inputs_a_child = target().library != nullptr ? 1 : 2000;
    std::uint64_t next = 0;
    while (next < count && clock.seconds() < options_.seconds && failures_ < most_failures) {
      const std::uint64_t end = next + std::min(count - next, inputs_a_child);
      const std::string ending = run_in_child([&] {
        for (std::uint64_t i = next; i < end && clock.seconds() < options_.seconds; ++i) {
          at_->store(i);
          run_one(make_(i));
          at_->store(i + 1);
        }
      });
      next = at_->load();
      if (!ending.empty()) judge(next++, ending);
    }
    fmt::print("{}: {}: {} inputs, {} failed{} ({:.0f} s)\n", target().name, label_, next, failures_,
               library_ > 0 ? fmt::format(", {} more that the library does not survive", library_) : "",
               clock.seconds());
    return failures_ == 0;
  }

 private:
  void judge(std::uint64_t index, const std::string& ending) {
    const std::string input = make_(index);
    const std::string alone = run_in_child([&] { run_one(input); });
    if (target().library != nullptr && !alone.empty()) {
      const std::string library = run_in_child([&] {
        start_timer();
        target().library(input);
      });
      if (!library.empty()) {
        ++library_;
        return keep(input, "library-", index, library);
      }
    }
    ++failures_;
    keep(input, "", index, alone.empty() ? ending + ", but not when it runs alone" : alone);
  }

  void keep(const std::string& input, std::string_view kind, std::uint64_t index, const std::string& ending) const {
    std::string place = "not kept: no --keep";
    if (!options_.keep.empty()) {
      fs::create_directories(options_.keep);
      place = fmt::format("{}/{}{}-{:016x}", options_.keep, kind, target().name, std::hash<std::string>()(input));
      write_file(place, input);
    }
    fmt::print(stderr, "{}: {}: {}input {} ended with: {} ({})\n", target().name, label_, kind, index, ending, place);
  }

  const Options& options_;
  Make make_;
  std::string label_;
  std::atomic<std::uint64_t>* at_;
  std::uint64_t failures_ = 0, library_ = 0;
};

std::vector<std::string> files_of(const std::vector<std::string>& paths) {
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    if (!fs::is_directory(path))
      files.push_back(path);
    else
      for (const auto& entry : fs::recursive_directory_iterator(path))
        if (entry.is_regular_file()) files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

int run(const Options& options) {
  std::vector<Seed> seeds = target().seeds();
  for (const std::string& file : files_of(options.with))
    seeds.push_back({read_file(file)});
  for (std::size_t i = 0; i < seeds.size() && !options.write_seeds.empty(); ++i) {
    fs::create_directories(options.write_seeds);
    write_file(fmt::format("{}/{:03}", options.write_seeds, i), seeds[i].bytes);
  }
  bool good = true;
  const std::vector<std::string> files = files_of(options.inputs);
  if (!files.empty())
    good = Campaign(
               options, [&](std::uint64_t i) { return read_file(files[i]); }, "files")
               .run(files.size());
  if (options.runs > 0) {
    const auto make = [&](std::uint64_t i) { return input_of(seeds, target().text, options.seed, i); };
    good = Campaign(options, make, fmt::format("seed {}", options.seed)).run(options.runs) && good;
  }
  fs::remove_all(scratch());
  return good ? 0 : 1;
}

}  // namespace
}  // namespace trainmark::fuzz

int main(int argc, char** argv) {
  try {
    return trainmark::fuzz::run(trainmark::fuzz::options_of(argc, argv));
  } catch (const std::exception& error) {
    fmt::print(stderr, "fuzz: {}\n", error.what());
    return 2;
  }
}
