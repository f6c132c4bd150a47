// Holds up whoever reads more than a few kB of a file whose path ends with $GATE_OF, for as long as $GATE_CLOSED is
// there: so that a test finds staging under way, however fast the machine is. For LD_PRELOAD.
#include <dlfcn.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <ctime>
#include <string>
#include <string_view>

namespace {

constexpr std::size_t looked_at = 4096;  // what nodes compare of a source before they exchange it

void wait_at_gate(int descriptor) {
  const char* file = std::getenv("GATE_OF");
  const char* closed = std::getenv("GATE_CLOSED");
  if (file == nullptr || closed == nullptr) return;
  std::array<char, 4096> path{};
  const ssize_t length = readlink(("/proc/self/fd/" + std::to_string(descriptor)).c_str(), path.data(), path.size());
  if (length < 0 || !std::string_view(path.data(), static_cast<std::size_t>(length)).ends_with(file)) return;
  constexpr timespec pause{0, 10'000'000};
  while (access(closed, F_OK) == 0)
    nanosleep(&pause, nullptr);
}

}  // namespace

extern "C" ssize_t pread(int descriptor, void* to, std::size_t bytes, off_t offset) {
  static const auto real = reinterpret_cast<ssize_t (*)(int, void*, std::size_t, off_t)>(dlsym(RTLD_NEXT, "pread"));
  if (bytes > looked_at) wait_at_gate(descriptor);
  return real(descriptor, to, bytes, offset);
}
