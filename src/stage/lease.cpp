// Locks are files of their own that stay in the target: removing one that another run is about to lock would split it.
#include "stage/lease.hpp"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <fstream>
#include <sstream>

namespace trainmark {
namespace {

constexpr std::string_view turn_name = ".trainmark.turn", files_name = ".trainmark.lock";

bool is_alive(const Holder& holder, const std::string& this_host) {
  if (holder.host != this_host) return true;  // not ours to tell
  return kill(static_cast<pid_t>(holder.pid), 0) == 0 || errno != ESRCH;
}

std::string this_host() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 ? name : "";
}

/// A word of a line: what separates words must not be in it.
std::string word(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) <= 32) c = '_';
  }
  return text.empty() ? "-" : text;
}

}  // namespace

std::string describe(const Holder& holder) {
  return fmt::format("{} (pid {} on {}, since {:%F %T} UTC)",
                     holder.job.empty() ? "a run without a job's number" : "job " + holder.job, holder.pid, holder.host,
                     fmt::gmtime(static_cast<std::time_t>(holder.since)));
}

bool NamedLock::try_exclusive(const Holder& self) {
  if (!attempt(LOCK_EX)) return false;
  write({self});
  return true;
}

bool NamedLock::try_shared(const Holder& self) {
  if (!attempt(LOCK_SH)) return false;
  std::vector<Holder> all = holders();
  std::erase_if(all, [&](const Holder& each) { return each.pid == self.pid && each.host == self.host; });
  all.push_back(self);
  write(all);
  return true;
}

bool NamedLock::attempt(int operation) {
  // 0644: who cannot write there may lock it all the same. It cannot leave its name, and need not.
  if (!file_) file_ = FileDescriptor(open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!file_ && (errno == EACCES || errno == EROFS))
    file_ = FileDescriptor(open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file_) file_error(path_, "cannot be opened to lock the folder", errno);
  int status = 0;
  do {
    status = flock(file_.get(), operation | LOCK_NB);
  } while (status != 0 && errno == EINTR);
  if (status == 0) return true;
  works_ = errno == EWOULDBLOCK;
  if (works_) file_.reset();
  return !works_;
}

/// Best effort: it is for people, the lock is the kernel's.
void NamedLock::write(const std::vector<Holder>& holders) const {
  std::string text;
  for (const Holder& each : holders)
    text += fmt::format("{} {} {} {} {}\n", word(each.token), word(each.job), word(each.host), each.pid, each.since);
  if (pwrite(file_.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) return;
  if (ftruncate(file_.get(), static_cast<off_t>(text.size())) != 0) return;
}

void NamedLock::beat() const noexcept {
  if (file_) futimens(file_.get(), nullptr);  // may be refused on another user's file: then nothing can be told
}

std::int64_t NamedLock::last_beat() const noexcept {
  struct stat info {};
  if (lstat(path_.c_str(), &info) != 0) return 0;
  return std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
}

std::vector<Holder> NamedLock::holders() const {
  std::ifstream file(path_);
  std::vector<Holder> found;
  const std::string host = this_host();
  for (Holder each; file >> each.token >> each.job >> each.host >> each.pid >> each.since;) {
    if (each.job == "-") each.job.clear();
    if (is_alive(each, host)) found.push_back(each);
  }
  return found;
}

bool Lease::is_kept_in(const std::filesystem::path& folder) {
  std::error_code status;
  return std::filesystem::exists(folder / files_name, status);
}

bool is_staging_target(const std::filesystem::path& folder) { return Lease::is_kept_in(folder); }

Lease::Lease(const std::filesystem::path& folder, Holder self)
    : self_(std::move(self)), turn_(folder / turn_name), files_(folder / files_name) {}

std::string Lease::others(const NamedLock& lock) const {
  const std::vector<Holder> holders = lock.holders();
  std::string text;
  for (const Holder& each : holders) {
    if (each.token == self_.token) return "";
    text += (text.empty() ? "" : ", ") + describe(each);
  }
  return text.empty() ? "a process that did not leave its name" : text;
}

}  // namespace trainmark
