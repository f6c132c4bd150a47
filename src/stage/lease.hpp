// Who may change a target, and who reads it. Two locks of the kernel's (flock), which end with the process that holds
// them: the turn, exclusive, of the one run that examines the target; and the files themselves, shared by all who read
// them, exclusive for who replaces them. Whoever takes the second holds the first, so that going from replacing to
// reading leaves no gap in which another run could step in.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "stage/files.hpp"

namespace trainmark {

/// Who holds a lock, as the lock's file says it.
struct Holder {
  std::string token;  ///< of the run, equal on all its nodes
  std::string job;    ///< of the batch system; empty: none
  std::string host;
  std::int64_t pid = 0;
  std::int64_t since = 0;  ///< seconds of the epoch
};
/// "job 4711 (pid 123 on node-a, since 2026-11-28 17:00:12 UTC)"
[[nodiscard]] std::string describe(const Holder& holder);

/// One file that is locked and says by whom. Where the file system has no locks every attempt succeeds.
class NamedLock {
 public:
  explicit NamedLock(std::filesystem::path path) : path_(std::move(path)) {}
  ~NamedLock() { release(); }
  NamedLock(const NamedLock&) = delete;
  NamedLock& operator=(const NamedLock&) = delete;
  /// Raises Error{data}: the file cannot be made or opened.
  [[nodiscard]] bool try_exclusive(const Holder& self);
  [[nodiscard]] bool try_shared(const Holder& self);
  void release() noexcept;     ///< takes the holder's name away, too
  void beat() const noexcept;  ///< tells those who wait that its holder goes on; nothing where it is not held
  /// When its holder took it or last said that it goes on, in ns of its file's clock; 0: unknown.
  [[nodiscard]] std::int64_t last_beat() const noexcept;
  [[nodiscard]] bool is_held() const noexcept { return mine_.has_value(); }
  [[nodiscard]] bool works() const noexcept { return works_; }  ///< false: the file system refused to lock
  /// Those who say that they hold it and, as far as this host can tell, are alive.
  [[nodiscard]] std::vector<Holder> holders() const;
  /// Why this process cannot leave its name; empty: it can.
  [[nodiscard]] std::string why_nameless() const;

 private:
  void open_file();
  void let_all_use_it_who_use_the_folder() const noexcept;
  bool attempt(int operation);
  [[nodiscard]] std::vector<Holder> holders_but(const Holder& self) const;
  void write(const std::vector<Holder>& holders) const;

  std::filesystem::path path_;
  FileDescriptor file_;
  bool works_ = true, writable_ = true;
  std::optional<Holder> mine_;  // while it is held
};

/// One node's hold on one target, on the rank that leads the node.
class Lease {
 public:
  /// `folder` must exist.
  Lease(const std::filesystem::path& folder, Holder self);
  /// Whether runs stage to that folder, or did.
  [[nodiscard]] static bool is_kept_in(const std::filesystem::path& folder);

  [[nodiscard]] bool try_turn() { return turn_.try_exclusive(self_); }
  [[nodiscard]] bool try_replace() { return files_.try_exclusive(self_); }
  [[nodiscard]] bool try_read() { return files_.try_shared(self_); }
  void end_turn() noexcept { turn_.release(); }
  [[nodiscard]] bool has_turn() const noexcept { return turn_.is_held(); }
  /// Tells who waits for the turn, or to read what is being replaced, that this run goes on.
  void beat() const noexcept {
    turn_.beat();
    files_.beat();
  }
  [[nodiscard]] std::int64_t last_beat_of_turn() const noexcept { return turn_.last_beat(); }
  [[nodiscard]] std::int64_t last_beat_of_replacing() const noexcept { return files_.last_beat(); }
  [[nodiscard]] bool works() const noexcept { return turn_.works() && files_.works(); }

  /// Who is in the way of try_turn() or try_replace(), in words; empty where it is another node of this run, which
  /// shares the target and holds it for both.
  [[nodiscard]] std::string in_the_way_of_turn() const { return others(turn_); }
  [[nodiscard]] std::string in_the_way_of_replacing() const { return others(files_); }

 private:
  [[nodiscard]] std::string others(const NamedLock& lock) const;

  Holder self_;
  NamedLock turn_, files_;
};

}  // namespace trainmark
