#include "run/record/rank_log.hpp"

#include <fmt/core.h>
#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/rotating_file_sink.h>

#include <sstream>

#include "mllog/utf8.hpp"

namespace trainmark {
namespace {

constexpr std::size_t most_early_lines = 1000;

spdlog::level::level_enum level_of(LogLevel level) {
  switch (level) {
    case LogLevel::trace:
      return spdlog::level::trace;
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warn:
      return spdlog::level::warn;
    case LogLevel::error:
      return spdlog::level::err;
    case LogLevel::off:
      break;
  }
  return spdlog::level::off;
}

}  // namespace

RankLog::RankLog(LogLevel least, int rank, std::string host, std::size_t bytes)
    : least_(least), rank_(rank), host_(to_utf8(host)), bytes_(bytes) {}
RankLog::~RankLog() = default;

bool RankLog::keeps(LogLevel level) const noexcept {
  return least_ != LogLevel::off && level >= least_ && !lost_.load(std::memory_order_relaxed);
}

void RankLog::write(LogLevel level, const char* phase, std::string_view text) noexcept {
  if (!keeps(level)) return;
  try {
    const std::scoped_lock lock(mutex_);
    const auto now = std::chrono::system_clock::now();
    std::istringstream lines{std::string(text)};
    for (std::string line; std::getline(lines, line);) {
      Line whole{now, level, fmt::format("[{}] {}", phase, to_utf8(line))};
      if (logger_ != nullptr) {
        put(whole);
      } else if (early_.size() < most_early_lines) {
        early_.push_back(std::move(whole));
      }
    }
  } catch (const std::exception&) {
    lost_ = true;
  }
}

void RankLog::open(const std::filesystem::path& folder) noexcept {
  if (least_ == LogLevel::off) return;
  try {
    const std::scoped_lock lock(mutex_);
    const std::filesystem::path file = folder / "diagnostics" / fmt::format("rank-{:04}.log", rank_);
    std::filesystem::create_directory(file.parent_path());  // not the folder itself: that is rank 0's
    constexpr std::size_t older_files = 1;
    auto sink = std::make_shared<spdlog::sinks::rotating_file_sink_st>(file.string(), bytes_, older_files);
    auto logger = std::make_shared<spdlog::logger>("rank", std::move(sink));
    logger->set_formatter(std::make_unique<spdlog::pattern_formatter>(
        fmt::format("%Y-%m-%dT%H:%M:%S.%eZ %l rank {} on {} %v", rank_, host_), spdlog::pattern_time_type::utc));
    logger->set_level(spdlog::level::trace);
    logger->flush_on(spdlog::level::debug);  // rare lines, which a process that is killed must not take along
    logger->set_error_handler([this](const std::string&) { lost_ = true; });
    logger_ = std::move(logger);
    for (const Line& line : early_)
      put(line);
    early_ = {};
  } catch (const std::exception&) {
    lost_ = true;
  }
}

void RankLog::put(const Line& line) {
  if (!lost_) logger_->log(line.time, spdlog::source_loc{}, level_of(line.level), line.text);
}

}  // namespace trainmark
