// A file system that takes every byte and gives the error when the file is closed, as NFS and quotas do; loses one
// write in the middle; never comes back from a write; or keeps another byte than it was given once it is told to keep
// it. For LD_PRELOAD: what fails is named by the environment, with the end of the file's path or, of writes that hang
// and files that are damaged, with a part of it. And a host that is slow at what teams of threads do.
#include <dlfcn.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace {

bool is_file_of(const char* variable, int descriptor, bool anywhere = false) {
  const char* wanted = std::getenv(variable);
  if (wanted == nullptr) return false;
  char link[64] = "/proc/self/fd/", path[4096];
  std::size_t length = std::strlen(link);
  char digits[12];
  std::size_t count = 0;
  for (unsigned rest = static_cast<unsigned>(descriptor); count == 0 || rest > 0; rest /= 10)
    digits[count++] = static_cast<char>('0' + rest % 10);
  while (count > 0)
    link[length++] = digits[--count];
  const ssize_t read = readlink(link, path, sizeof(path));
  if (read <= 0) return false;
  const std::string_view found(path, static_cast<std::size_t>(read));
  return anywhere ? found.find(wanted) != std::string_view::npos : found.ends_with(wanted);
}

}  // namespace

extern "C" void GOMP_parallel(void (*work)(void*), void* data, unsigned threads, unsigned flags) {
  using Parallel = void (*)(void (*)(void*), void*, unsigned, unsigned);
  static const auto real = reinterpret_cast<Parallel>(dlsym(RTLD_NEXT, "GOMP_parallel"));
  static const bool slow = [] {
    char host[256] = {};
    const char* wanted = std::getenv("SLOW_HOST");
    return wanted != nullptr && gethostname(host, sizeof(host) - 1) == 0 && std::strcmp(host, wanted) == 0;
  }();
  if (slow) usleep(20000);
  real(work, data, threads, flags);
}

extern "C" int close(int descriptor) {
  static const auto real = reinterpret_cast<int (*)(int)>(dlsym(RTLD_NEXT, "close"));
  const bool fails = is_file_of("FAIL_CLOSE_OF", descriptor);
  const int result = real(descriptor);
  if (!fails) return result;
  errno = EDQUOT;
  return -1;
}

extern "C" int fsync(int descriptor) {
  static const auto real = reinterpret_cast<int (*)(int)>(dlsym(RTLD_NEXT, "fsync"));
  const int result = real(descriptor);
  unsigned char byte = 0;
  if (!is_file_of("DAMAGE_SYNCED_IN", descriptor, true) || pread(descriptor, &byte, 1, 4096) != 1) return result;
  ++byte;               // also where it is synced once more: never back to what it was
  struct stat info {};  // a disk that damages bytes leaves the times alone
  if (fstat(descriptor, &info) != 0 || pwrite(descriptor, &byte, 1, 4096) != 1) return -1;
  const timespec times[2] = {info.st_atim, info.st_mtim};
  futimens(descriptor, times);
  return real(descriptor);
}

extern "C" ssize_t write(int descriptor, const void* bytes, std::size_t size) {
  static const auto real = reinterpret_cast<ssize_t (*)(int, const void*, std::size_t)>(dlsym(RTLD_NEXT, "write"));
  const auto holds = [&](const char* variable, bool without) {
    const char* text = std::getenv(variable);
    return text == nullptr ? without : memmem(bytes, size, text, std::strlen(text)) != nullptr;
  };
  while (holds("HANG_WRITE_WITH", true) && is_file_of("HANG_WRITE_IN", descriptor, true))
    pause();
  if (holds("FAIL_WRITE_WITH", false) && is_file_of("FAIL_WRITE_OF", descriptor)) {
    errno = EIO;
    return -1;
  }
  return real(descriptor, bytes, size);
}
