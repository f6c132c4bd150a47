#include "unit/stage/system_calls.hpp"

#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

namespace trainmark::testing {

SystemCalls& system_calls() {
  static SystemCalls calls;
  return calls;
}

}  // namespace trainmark::testing

namespace {
trainmark::testing::SystemCalls& calls() { return trainmark::testing::system_calls(); }
int failure(int number) {
  errno = number;
  return -1;
}
}  // namespace

// NOLINTBEGIN(bugprone-reserved-identifier): the names that the linker looks for
extern "C" {
int __real_fsync(int descriptor);
int __real_syncfs(int descriptor);
int __real_fstatfs(int descriptor, struct statfs* to);
int __real_rename(const char* from, const char* to);
int __real_flock(int descriptor, int operation);
int __real_close(int descriptor);
int __real_statvfs(const char* path, struct statvfs* to);
ssize_t __real_pread(int descriptor, void* to, size_t bytes, off_t offset);

int __wrap_fsync(int descriptor) {
  struct stat info {};
  fstat(descriptor, &info);
  calls().made.emplace_back(S_ISDIR(info.st_mode) ? "fsync folder" : "fsync file");
  if (calls().fsync_fails_with != 0) return failure(calls().fsync_fails_with);
  const int result = __real_fsync(descriptor);
  char byte = 0;
  if (!S_ISREG(info.st_mode) || calls().files_to_damage == 0 || pread(descriptor, &byte, 1, 0) != 1) return result;
  --calls().files_to_damage;
  byte = static_cast<char>(~byte);
  if (pwrite(descriptor, &byte, 1, 0) != 1) return failure(EIO);
  return __real_fsync(descriptor);
}
int __wrap_syncfs(int descriptor) {
  calls().made.emplace_back("sync all");
  return calls().syncfs_fails_with != 0 ? failure(calls().syncfs_fails_with) : __real_syncfs(descriptor);
}
int __wrap_fstatfs(int descriptor, struct statfs* to) {
  const int result = __real_fstatfs(descriptor, to);
  if (result == 0 && calls().file_system_magic != 0) to->f_type = calls().file_system_magic;
  return result;
}
int __wrap_rename(const char* from, const char* to) {
  calls().made.emplace_back("rename");
  return __real_rename(from, to);
}
int __wrap_flock(int descriptor, int operation) {
  return calls().flock_fails_with != 0 ? failure(calls().flock_fails_with) : __real_flock(descriptor, operation);
}
int __wrap_close(int descriptor) {
  const int result = __real_close(descriptor);
  return calls().close_fails_with != 0 ? failure(calls().close_fails_with) : result;
}
ssize_t __wrap_pread(int descriptor, void* to, size_t bytes, off_t offset) {
  if (calls().pread_failures > 0) {
    --calls().pread_failures;
    return failure(calls().pread_fails_with);
  }
  return __real_pread(descriptor, to, bytes, offset);
}
int __wrap_statvfs(const char* path, struct statvfs* to) {
  const int result = __real_statvfs(path, to);
  const bool meant = std::string_view(path).find(calls().told_of) != std::string_view::npos;
  if (result == 0 && calls().file_system && meant) *to = *calls().file_system;
  return result;
}
}
// NOLINTEND(bugprone-reserved-identifier)
