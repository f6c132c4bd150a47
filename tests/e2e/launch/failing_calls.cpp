// A file system that takes every byte and gives the error when the file is closed, as NFS and quotas do; or loses one
// write in the middle. For LD_PRELOAD: what fails is named by the environment, with the end of the file's path.
#include <dlfcn.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace {

bool is_file_of(const char* variable, int descriptor) {
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
  return read > 0 && std::string_view(path, static_cast<std::size_t>(read)).ends_with(wanted);
}

}  // namespace

extern "C" int close(int descriptor) {
  static const auto real = reinterpret_cast<int (*)(int)>(dlsym(RTLD_NEXT, "close"));
  const bool fails = is_file_of("FAIL_CLOSE_OF", descriptor);
  const int result = real(descriptor);
  if (!fails) return result;
  errno = EDQUOT;
  return -1;
}

extern "C" ssize_t write(int descriptor, const void* bytes, std::size_t size) {
  static const auto real = reinterpret_cast<ssize_t (*)(int, const void*, std::size_t)>(dlsym(RTLD_NEXT, "write"));
  const char* text = std::getenv("FAIL_WRITE_WITH");
  if (text != nullptr && memmem(bytes, size, text, std::strlen(text)) != nullptr &&
      is_file_of("FAIL_WRITE_OF", descriptor)) {
    errno = EIO;
    return -1;
  }
  return real(descriptor, bytes, size);
}
