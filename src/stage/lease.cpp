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
  mine_ = self;
  write({self});
  return true;
}

bool NamedLock::try_shared(const Holder& self) {
  if (!attempt(LOCK_SH)) return false;
  mine_ = self;
  std::vector<Holder> all = holders_but(self);
  all.push_back(self);
  write(all);
  return true;
}

void NamedLock::release() noexcept {
  try {
    if (file_ && mine_) write(holders_but(*mine_));
  } catch (const std::exception&) {  // out of memory: the name stays, and the next holder finds its process gone
  }
  mine_.reset();
  file_.reset();
}

void NamedLock::open_file() {
  constexpr int flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  for (;;) {
    // Without O_CREAT first: in a folder that all may write to, kernels refuse it for another user's file.
    file_ = FileDescriptor(open(path_.c_str(), O_RDWR | flags));
    writable_ = static_cast<bool>(file_);
    if (!file_ && errno == ENOENT) {
      file_ = FileDescriptor(open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | flags, 0600));
      writable_ = static_cast<bool>(file_);
      if (!file_ && errno == EEXIST) continue;  // another one was faster
    } else if (!file_ && (errno == EACCES || errno == EROFS)) {
      file_ = FileDescriptor(open(path_.c_str(), O_RDONLY | flags));  // it can be locked all the same
    }
    break;
  }
  const int reason = errno;
  struct stat info {};
  if (file_ && (fstat(file_.get(), &info) != 0 || !S_ISREG(info.st_mode)))
    throw Error(ExitCode::data,
                Complaint{path_.string(), "is not a regular file", "it is locked while the folder is used",
                          "remove it, or choose another stage.target"});
  if (file_) return let_all_use_it_who_use_the_folder();
  if (reason != EACCES || lstat(path_.c_str(), &info) != 0)
    file_error(path_, "cannot be opened to lock the folder", reason);
  throw Error(ExitCode::data,
              Complaint{path_.string(), "belongs to another user and may not be opened by this one",
                        "it keeps runs apart that use this folder",
                        "have its owner let those use it who use the folder (chmod a+rw), remove it when no run is "
                        "there, or name another folder"});
}

/// Whatever the umask of the one who made it.
void NamedLock::let_all_use_it_who_use_the_folder() const noexcept {
  struct stat folder {
  }, info{};
  const std::string parent = path_.parent_path().string();
  if (stat(parent.c_str(), &folder) != 0 || fstat(file_.get(), &info) != 0 || info.st_uid != geteuid()) return;
  // Those of the group can use it if it can be given to that group, which not everybody may do.
  if (info.st_gid != folder.st_gid) (void)!fchown(file_.get(), static_cast<uid_t>(-1), folder.st_gid);
  const mode_t mode = (folder.st_mode & 0666) | 0600;
  if ((info.st_mode & 0777) != mode) fchmod(file_.get(), mode);
}

bool NamedLock::attempt(int operation) {
  if (!file_) open_file();
  int status = 0;
  do {
    status = flock(file_.get(), operation | LOCK_NB);
  } while (status != 0 && errno == EINTR);
  if (status == 0) return true;
  works_ = errno == EWOULDBLOCK;
  if (works_) file_.reset();
  return !works_;
}

std::string NamedLock::why_nameless() const {
  if (writable_) return "";
  return fmt::format(
      "{} belongs to another user and may not be written by this one, so that a node of this very run would not be "
      "known: have its owner make it writable (chmod a+rw), or remove it when no run is there",
      path_.string());
}

std::vector<Holder> NamedLock::holders_but(const Holder& self) const {
  std::vector<Holder> all = holders();
  std::erase_if(all, [&](const Holder& each) { return each.pid == self.pid && each.host == self.host; });
  return all;
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
  for (const Holder& each : holders)
    if (each.token != self_.token) text += (text.empty() ? "" : ", ") + describe(each);
  if (text.empty() && !holders.empty()) return "";  // this run alone
  if (text.empty()) text = "a process that did not leave its name";
  const std::string nameless = lock.why_nameless();
  return nameless.empty() ? text : fmt::format("{} ({})", text, nameless);
}

}  // namespace trainmark
