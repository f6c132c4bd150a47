// What the system's error numbers mean to somebody whose files cannot be read: one table for all modules, so that the
// same trouble is told in the same words wherever it is met. And the limit of open files, which is part of one of them.
#include <fmt/core.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstring>

#include "trainmark/core.hpp"

namespace trainmark {
namespace {

struct Meaning {
  std::string why, remedy;
};

Meaning too_many_open_files() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  return {fmt::format("this process may have {} files open, and has", static_cast<std::uint64_t>(limit.rlim_cur)),
          "raise the limit before the start (ulimit -n 1024; batch systems and services have a setting of their own)"};
}

/// Empty where the number's own words say all there is to say.
Meaning meaning_of(int error_number) {
  switch (error_number) {
    case EMFILE:
      return too_many_open_files();
    case ENFILE:
      return {"the whole node has no open file left to give",
              "end what else runs there, or have its administrator raise fs.file-max"};
    case ENOMEM:
      return {"the node is out of memory", "start fewer ranks or reader threads on a node (load.threads)"};
    case EIO:
      return {"the disk or the file server did not deliver",
              "look into the node's kernel log (dmesg), and copy the data from another place"};
    case ESTALE:
      return {"the file server no longer knows this file: it was replaced there, or the file system was mounted anew",
              "run again; if it repeats, have the file system mounted again"};
    case ETIMEDOUT:
    case EHOSTDOWN:
    case ENOTCONN:
    case EREMOTEIO:
      return {"the file server does not answer", "run again when it does, or stage the data to the node"};
    case ENAMETOOLONG:
      return {"a name may have 255 bytes and a path 4,095", "shorten the names of the file or of the folders above it"};
    case EACCES:
    case EPERM:
      return {"this user may not do that, or may not enter a folder above it",
              "have the rights changed (namei -l shows those of the whole path), or name another folder"};
    case ELOOP:
      return {"symbolic links lead in a circle", "remove or correct the links (namei shows them)"};
    case ENOTDIR:
      return {"a part of the path is a file, not a folder", "correct the path"};
    default:
      return {};
  }
}

}  // namespace

Complaint system_complaint(std::string where, std::string_view what, int error_number, std::string_view remedy) {
  Meaning meaning = meaning_of(error_number);
  if (meaning.remedy.empty()) meaning.remedy = remedy;
  return {std::move(where), fmt::format("{}: {}", what, std::strerror(error_number)), std::move(meaning.why),
          std::move(meaning.remedy)};
}

std::uint64_t open_file_limit() noexcept {
  rlimit limit{};
  return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 256;  // POSIX promises 20, every system has more
}

void raise_open_file_limit() noexcept {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);  // what cannot be raised stays: then the caches of open files are small
}

}  // namespace trainmark
