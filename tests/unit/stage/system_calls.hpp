// The system calls that a copy's durability and a lock rest on, as the linker puts them in (--wrap): counted in their
// order, and made to fail.
#pragma once

#include <sys/statvfs.h>

#include <optional>
#include <string>
#include <vector>

namespace trainmark::testing {

struct SystemCalls {
  std::vector<std::string> made;  ///< "fsync file", "fsync folder", "sync all" (a file system), "rename"
  int flock_fails_with = 0;       ///< errno; 0: it works
  int fsync_fails_with = 0;
  int syncfs_fails_with = 0;
  long file_system_magic = 0;  ///< what fstatfs tells of every folder; 0: the truth
  int close_fails_with = 0;    ///< the file is closed all the same
  int pread_failures = 0;      ///< that are still to come
  int pread_fails_with = 0;
  std::optional<struct statvfs> file_system{};  ///< what statvfs tells of every folder
  std::string told_of{};                        ///< or only of those whose path holds this
  int files_to_damage = 0;  ///< that are still to come: their first byte is another one on the disk, once fsync is done
};
SystemCalls& system_calls();

}  // namespace trainmark::testing
