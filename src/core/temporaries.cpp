// Names of unfinished files, and the table by which a signal thread finds them.
#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>
#include <ctime>
#include <utility>

#include "trainmark/core.hpp"

namespace trainmark {
namespace {

enum class SlotState : int { free, writing, live, taken };
struct Registered {
  std::atomic<SlotState> state{SlotState::free};
  std::array<char, PATH_MAX> path{};
};
std::array<Registered, 192> registry;  // a commit of the staging engine has up to 128 of them

std::atomic<int> creating{0};
std::atomic<bool> ending{false};

/// Nobody makes a file that remove_temporaries can no longer find: it waits for who is at it, and who comes later waits
/// for the end of the process.
class Creating {
 public:
  Creating() {
    ++creating;
    if (!ending) return;
    --creating;
    for (;;)
      pause();
  }
  ~Creating() { --creating; }
  Creating(const Creating&) = delete;
  Creating& operator=(const Creating&) = delete;
};

int register_path(const std::string& path) {
  if (path.size() >= PATH_MAX) return -1;
  for (std::size_t i = 0; i < registry.size(); ++i) {
    SlotState expected = SlotState::free;
    if (!registry[i].state.compare_exchange_strong(expected, SlotState::writing)) continue;
    std::memcpy(registry[i].path.data(), path.c_str(), path.size() + 1);
    registry[i].state.store(SlotState::live);
    return static_cast<int>(i);
  }
  return -1;  // more files at once than the table has room for: those are leftovers if a signal comes
}

std::string temporary_leaf() {
  static std::atomic<unsigned> number{0};
  static const std::array<char, 65> host = [] {
    std::array<char, 65> name{};
    if (gethostname(name.data(), name.size() - 1) != 0) name[0] = '\0';
    return name;
  }();
  return fmt::format("{}{}-{}-{}", temporary_prefix, host.data(), getpid(), number++);
}

}  // namespace

int TemporaryName::create(const std::filesystem::path& final_path, unsigned mode) {
  const std::filesystem::path folder = final_path.parent_path().empty() ? "." : final_path.parent_path();
  for (;;) {
    path_ = folder / temporary_leaf();
    const Creating now;
    slot_ = register_path(path_.string());
    const int descriptor = ::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (descriptor >= 0) return descriptor;
    const int error = errno;
    forget();
    errno = error;
    if (error != EEXIST) return -1;
  }
}

void TemporaryName::forget() noexcept {
  const int slot = std::exchange(slot_, -1);
  if (slot < 0) return;
  // A slot that remove_temporaries has taken is never used again: its path must stay whole.
  SlotState expected = SlotState::live;
  registry[static_cast<std::size_t>(slot)].state.compare_exchange_strong(expected, SlotState::free);
}

void remove_temporaries() noexcept {
  ending = true;
  constexpr timespec moment{0, 1'000'000};
  for (int i = 0; i < 500 && creating > 0; ++i)  // a file system may hang
    nanosleep(&moment, nullptr);
  for (Registered& entry : registry) {
    SlotState expected = SlotState::live;
    if (entry.state.compare_exchange_strong(expected, SlotState::taken)) ::unlink(entry.path.data());
  }
}

}  // namespace trainmark
