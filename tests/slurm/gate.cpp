// Holds up whoever opens a file whose path ends with $GATE_OF, for as long as $GATE_CLOSED is there: so that a test
// finds staging under way, however fast the machine is. For LD_PRELOAD.
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdlib>
#include <ctime>
#include <string_view>

namespace {

void wait_at_gate(const char* path) {
  const char* file = std::getenv("GATE_OF");
  const char* closed = std::getenv("GATE_CLOSED");
  if (file == nullptr || closed == nullptr || !std::string_view(path).ends_with(file)) return;
  constexpr timespec pause{0, 10'000'000};
  while (access(closed, F_OK) == 0)
    nanosleep(&pause, nullptr);
}

}  // namespace

extern "C" int open(const char* path, int flags, ...) {
  static const auto real = reinterpret_cast<int (*)(const char*, int, ...)>(dlsym(RTLD_NEXT, "open"));
  mode_t mode = 0;
  if ((flags & (O_CREAT | O_TMPFILE)) != 0) {
    va_list rest;
    va_start(rest, flags);
    mode = va_arg(rest, mode_t);
    va_end(rest);
  }
  if ((flags & O_ACCMODE) == O_RDONLY) wait_at_gate(path);
  return real(path, flags, mode);
}
