// The diagnostics of one rank: a file in the results folder, with time, level, rank, host and phase on every line. What
// was said before there is a folder is kept in memory until there is one.
#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "trainmark/core.hpp"

namespace spdlog {
class logger;
}

namespace trainmark {

/// Any thread may write. A full disk, or a folder that cannot be written, ends the file and nothing else.
class RankLog final : public Diagnostics {
 public:
  /// Two files at most, the older one under the name rank-NNNN.1.log: so a rank leaves no more than twice `bytes`.
  static constexpr std::size_t file_bytes = std::size_t{4} << 20U;
  RankLog(LogLevel least, int rank, std::string host, std::size_t bytes = file_bytes);
  ~RankLog() override;

  [[nodiscard]] bool keeps(LogLevel level) const noexcept override;
  void write(LogLevel level, const char* phase, std::string_view text) noexcept override;
  /// From now on lines go to `folder`/diagnostics/rank-NNNN.log, those kept so far first.
  void open(const std::filesystem::path& folder) noexcept;

  /// While it lives the process's diagnostics go to a log.
  class InUse {
   public:
    explicit InUse(std::shared_ptr<RankLog> log) noexcept { diagnose_to(std::move(log)); }
    ~InUse() { diagnose_to(nullptr); }
    InUse(const InUse&) = delete;
    InUse& operator=(const InUse&) = delete;
  };

 private:
  struct Line {
    std::chrono::system_clock::time_point time;
    LogLevel level;
    std::string text;
  };
  void put(const Line& line);

  LogLevel least_;
  int rank_;
  std::string host_;
  std::size_t bytes_;
  std::atomic<bool> lost_ = false;  ///< what cannot be written is tried no more
  std::mutex mutex_;
  std::vector<Line> early_;
  std::shared_ptr<spdlog::logger> logger_;
};

}  // namespace trainmark
