// What OpenMP reads once, when it is loaded, can be chosen only before. So the loader calls `before_libraries` (an
// entry of .preinit_array, which runs before any library's own start) in the program as it was started: it notes the
// affinity, which OpenMP narrows for the first thread if OMP_PROC_BIND or its like asks for that; and where the user
// has not said how threads wait, it starts the same program anew in this process with a bounded spin. Unbounded, a
// thread that waits at a barrier keeps a CPU that the thread it waits for may need. It also notes what a closed
// terminal does (nohup), which UCX, a part of many MPIs, makes its own when it is loaded. GOMP_SPINCOUNT or
// OMP_WAIT_POLICY, set to anything, leaves the program alone (valgrind without --trace-children=yes wants that).
#include "cli/start.hpp"

#include <alloca.h>
#include <dlfcn.h>
#include <fmt/core.h>
#include <sched.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <cctype>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string_view>
#include <vector>

#include "cli/environment.hpp"
#include "trainmark/process.hpp"

namespace {

constexpr char chosen[] = "GOMP_SPINCOUNT=10000";
constexpr std::string_view guard = "TRAINMARK_STARTED_ANEW=";  // by the process of this number; a child has another

// Bits of CPUs; room for 16,384.
unsigned long first_mask[16384 / (8 * sizeof(unsigned long))];
bool anew = false;
struct sigaction first_hangup {};  // default, or ignored: a program cannot be started with a handler

bool is(const char* entry, std::string_view name) { return std::strncmp(entry, name.data(), name.size()) == 0; }

/// "NAME=1234"; nothing of the C library that may not be ready yet.
void write_guard(char* to, long pid) {
  std::memcpy(to, guard.data(), guard.size());
  char* at = to + guard.size();
  long unit = 1;
  while (pid / unit >= 10)
    unit *= 10;
  for (; unit > 0; unit /= 10)
    *at++ = static_cast<char>('0' + pid / unit % 10);
  *at = '\0';
}

// Sanitizers are not up yet either.
__attribute__((no_sanitize("address", "thread", "undefined"))) void before_libraries(int argc, char** argv,
                                                                                     char** envp) {
  sched_getaffinity(0, sizeof(first_mask), reinterpret_cast<cpu_set_t*>(first_mask));
  sigaction(SIGHUP, nullptr, &first_hangup);
  char mark[64];
  write_guard(mark, getpid());
  bool chosen_already = false;
  std::size_t count = 0;
  for (; envp[count] != nullptr; ++count) {
    if (std::strcmp(envp[count], mark) == 0) anew = true;
    if (is(envp[count], "GOMP_SPINCOUNT=") || is(envp[count], "OMP_WAIT_POLICY=")) chosen_already = true;
  }
  // Not with more rights than the caller, nor where the program was given to the loader by hand: then /proc/self/exe is
  // the loader.
  if (anew || chosen_already || argc < 1 || getauxval(AT_SECURE) != 0 || getauxval(AT_BASE) == 0) return;
  auto** environment = static_cast<char**>(alloca((count + 3) * sizeof(char*)));
  std::size_t kept = 0;
  for (std::size_t at = 0; at < count; ++at) {
    if (!is(envp[at], guard)) environment[kept++] = envp[at];
  }
  environment[kept++] = const_cast<char*>(chosen);
  environment[kept++] = mark;
  environment[kept] = nullptr;
  // By its path: under valgrind the link itself is valgrind. Without /proc the program goes on as it is.
  char path[4096];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
  if (length <= 0) return;
  path[length] = '\0';
  execve(path, argv, environment);
}

// A library may not have one of these: this file belongs to the program.
__attribute__((section(".preinit_array"), used)) void (*const first)(int, char**, char**) = before_libraries;

/// "64M", "2 g", in units of `unit` bytes without a letter; 0 for what OpenMP passes over.
std::size_t bytes_in(std::string_view text, std::size_t unit) {
  const auto trim = [&text] {
    while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())) != 0)
      text.remove_prefix(1);
  };
  trim();
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return 0;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  trim();
  constexpr std::string_view letters = "bkmg";
  if (!text.empty()) {
    const std::size_t at = letters.find(static_cast<char>(std::tolower(static_cast<unsigned char>(text.front()))));
    if (at == letters.npos) return 0;
    unit = std::size_t{1} << (10 * at);
    text.remove_prefix(1);
    trim();
  }
  return text.empty() && number <= std::numeric_limits<std::size_t>::max() / unit ? number * unit : 0;
}

/// What OpenMP will give its threads: GNU's reads the first two variables, LLVM's and Intel's are asked.
trainmark::ThreadStack stack_of_openmp() {
  using Ask = std::size_t (*)();
  const auto ask = reinterpret_cast<Ask>(dlsym(RTLD_DEFAULT, "kmp_get_stacksize_s"));
  for (const char* name : {"KMP_STACKSIZE", "OMP_STACKSIZE", "GOMP_STACKSIZE"}) {
    const auto value = trainmark::cli::environment_variable(name);
    if (!value || (ask == nullptr && name[0] == 'K')) continue;
    const std::size_t bytes = ask != nullptr ? ask() : bytes_in(*value, 1024);
    if (bytes > 0) return {bytes, fmt::format("{}={}", name, *value)};
  }
  return {};
}

}  // namespace

namespace trainmark::cli {

void begin() {
  std::vector<int> cpus;
  constexpr std::size_t bits = 8 * sizeof(unsigned long);
  for (std::size_t cpu = 0; cpu < 8 * sizeof(first_mask); ++cpu) {
    if ((first_mask[cpu / bits] >> (cpu % bits) & 1U) != 0) cpus.push_back(static_cast<int>(cpu));
  }
  started_with(std::move(cpus));
  openmp_starts_with(stack_of_openmp());
  sigaction(SIGHUP, &first_hangup, nullptr);
  // HDF5 locks files that it only reads, which file systems without locks refuse, and opens a virtual dataset's sources
  // by this variable alone: one that it cannot open, or not in the way in which it is open already, it reads as zeros.
  setenv("HDF5_USE_FILE_LOCKING", "FALSE", 0);
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (!is(*entry, guard)) continue;
    unsetenv(std::string(guard.substr(0, guard.size() - 1)).c_str());
    break;
  }
}

std::string waiting_of_threads() {
  for (const char* name : {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}) {
    if (const auto value = environment_variable(name))
      return fmt::format("{}={} ({})", name, *value, anew ? "trainmark's choice" : "the environment's");
  }
  return "as OpenMP does by itself: the program could not be started anew to choose (no /proc, or special rights)";
}

}  // namespace trainmark::cli
