// Logs in miniature and folders that vanish, for the report's tests.
#pragma once

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>

#include "trainmark/report.hpp"

namespace trainmark::report_test {

inline std::filesystem::path golden(const std::string& name) {
  return std::filesystem::path(TRAINMARK_SOURCE_DIR) / "tests/golden/logs" / name;
}

/// Of a log of one run.
inline RunReport report_run(const std::filesystem::path& log) {
  std::vector<RunReport> runs = report_runs(log);
  EXPECT_EQ(runs.size(), 1U) << log;
  return std::move(runs.at(0));
}

class Folder {
 public:
  Folder() {
    static int count = 0;
    path_ = std::filesystem::temp_directory_path() / fmt::format("trainmark-report-{}-{}", getpid(), count++);
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] std::filesystem::path write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary) << text;
    return path_ / name;
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// A record; `value` and `metadata` are JSON.
inline std::string record(int time_ms, const std::string& key, const std::string& value = "null",
                          const std::string& metadata = "{}") {
  return fmt::format(
      ":::MLLOG {{\"namespace\": \"\", \"time_ms\": {}, \"event_type\": \"POINT_IN_TIME\", \"key\": \"{}\", "
      "\"value\": {}, \"metadata\": {}}}\n",
      time_ms, key, value, metadata);
}

/// CosmoFlow with 100 samples: staging 1 s outside; run_start at 2 s; epochs of the given milliseconds, each with 500
/// ms of evaluation; 250 ms of rest before run_stop. The target is met in the last epoch, if `meets`.
inline std::string small_log(std::initializer_list<int> epochs, bool meets = true, const std::string& header = {}) {
  std::string text = record(0, "submission_benchmark", "\"cosmoflow\"") + record(0, "train_samples", "100") +
                     record(0, "number_of_ranks", "4") + header + record(0, "staging_start") +
                     record(1000, "staging_stop") + record(2000, "run_start");
  int now = 2000;
  std::size_t number = 0;
  for (const int milliseconds : epochs) {
    ++number;
    const std::string metadata = fmt::format("{{\"epoch_num\": {}}}", number);
    text += record(now, "epoch_start", "null", metadata);
    now += milliseconds;
    text += record(now, "eval_start", "null", metadata);
    now += 500;
    text += record(now, "eval_error", meets && number == epochs.size() ? "0.1" : "0.5", metadata);
    text += record(now, "eval_stop", "null", metadata) + record(now, "epoch_stop", "null", metadata);
  }
  return text +
         record(now + 250, "run_stop", "null", meets ? "{\"status\": \"success\"}" : "{\"status\": \"aborted\"}");
}

/// The same log with each of its times moved.
inline std::string later(std::string log, std::int64_t milliseconds) {
  const std::string field = "\"time_ms\": ";
  for (std::size_t at = 0; (at = log.find(field, at)) != std::string::npos;) {
    at += field.size();
    const std::size_t end = log.find(',', at);
    log.replace(at, end - at, std::to_string(std::stoll(log.substr(at, end - at)) + milliseconds));
  }
  return log;
}

inline bool notes_say(const RunReport& run, const std::string& words) {
  return std::ranges::any_of(run.notes, [&](const auto& note) { return note.find(words) != std::string::npos; });
}

inline double value_of(const RunReport& run, const std::string& name) {
  const Figure* figure = run.find(name);
  if (figure == nullptr) throw std::runtime_error("no figure " + name);
  return figure->value;
}

/// The message of a refusal of what was asked for; "none" where there is none.
inline std::string refusal(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    return error.what();
  }
  return "none";
}

}  // namespace trainmark::report_test
