// Layout, names and counts as mlperf_logging's package_checker, repo_checker and system_desc_checker look at them.
#include "cli/package_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "cli/package_system.hpp"
#include "core/reading.hpp"
#include "report/analyse/references.hpp"
#include "trainmark/mllog.hpp"

namespace trainmark::cli {
namespace {

namespace fs = std::filesystem;
constexpr std::uintmax_t most_bytes = std::uintmax_t{50} << 20U;

std::vector<fs::path> entries(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    found.push_back(entry.path());
  std::ranges::sort(found);
  return found;
}

class Check {
 public:
  explicit Check(const fs::path& folder) : folder_(folder) {}

  std::vector<std::string> run() {
    names();
    bool any = false;
    for (const fs::path& system : entries(folder_ / "results")) {
      if (!fs::is_directory(system)) continue;
      any = true;
      description(system.filename().string());
      for (const fs::path& level : entries(system)) {
        if (!fs::is_directory(level)) continue;
        const std::string name = level.filename().string();
        if (name == "strong" || name == "weak") {
          for (const fs::path& benchmark : entries(level))
            if (fs::is_directory(benchmark)) results(benchmark, name);
        } else {
          results(level, "");
        }
      }
    }
    if (!any) say(folder_ / "results", "holds no system's results");
    return found_;
  }

 private:
  void say(const fs::path& where, const std::string& what) {
    found_.push_back(fmt::format("{}: {}", where.lexically_relative(folder_).string(), what));
  }

  void names() {
    std::error_code error;
    for (const auto& entry : fs::recursive_directory_iterator(folder_, error)) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with('.') || name.find(' ') != std::string::npos)
        say(entry.path(), "has a name with a blank or a leading dot");
      if (entry.is_symlink() && !fs::exists(entry.path(), error)) say(entry.path(), "is a link to nothing");
      if (entry.is_regular_file() && entry.file_size() > most_bytes) say(entry.path(), "is larger than 50 MiB");
    }
  }

  void description(const std::string& system) {
    const fs::path file = folder_ / "systems" / (system + ".json");
    const Json document = Json::parse(read_if_possible(file).value_or(""), nullptr, false);
    if (!document.is_object()) return say(file, "is missing or no JSON object");
    for (const std::string& fault : faults_of_system(document))
      say(file, fault);
    if (const auto division = document.find("division"); division != document.end() && division->is_string())
      divisions_[system] = division->get<std::string>();
  }

  void results(const fs::path& folder, const std::string& level) {
    const std::string benchmark = folder.filename().string();
    const std::string system =
        (level.empty() ? folder.parent_path() : folder.parent_path().parent_path()).filename().string();
    if (has_scaling_level(benchmark) == level.empty())
      say(folder, level.empty() ? "must lie in strong/ or weak/ (it would not be looked at)"
                                : "must lie directly below the system (Training has no strong/ and weak/)");
    std::vector<fs::path> logs;
    for (const fs::path& file : entries(folder))
      if (file.filename().string().starts_with("result_") && file.extension() == ".txt") logs.push_back(file);
    const auto wanted = static_cast<std::size_t>(report::runs_of_a_score(benchmark));
    const bool enough = level == "weak" ? logs.size() >= wanted : logs.size() == wanted;
    if (!enough)
      say(folder, fmt::format("has {} result_*.txt, a score takes {}{}", logs.size(), wanted,
                              level == "weak" ? " or more" : ""));
    for (std::size_t at = 0; level != "weak" && at < logs.size(); ++at)
      if (!fs::exists(folder / fmt::format("result_{}.txt", at)))
        say(folder, fmt::format("has no result_{}.txt: they are numbered from 0", at));
    judge(folder, logs, benchmark, system);
  }

  void judge(const fs::path& folder, const std::vector<fs::path>& logs, const std::string& benchmark,
             const std::string& system) {
    std::size_t failed = 0;
    std::set<std::string> seeds;
    std::map<std::string_view, std::int64_t> counts;
    for (const fs::path& log : logs) {
      const std::string text = read_log_file(log, "package");
      const Verdict verdict = judge_log(text);
      if (!verdict.compliant()) {
        ++failed;
        const Finding& first = verdict.official.front();
        if (failed > 1)
          say(log, fmt::format("is the second that is not compliant (one may be): line {}: {}: {}", first.line,
                               first.rule, first.message));
      }
      if (verdict.benchmark != benchmark)
        say(log, fmt::format("is of \"{}\", and lies with {}", verdict.benchmark, benchmark));
      const std::string& division = divisions_[system];
      if (!division.empty() && verdict.division != division)
        say(log, fmt::format("is of the {} division, the system's description says {}", verdict.division, division));
      const std::vector<LogRecord> records = read_log(text).records;
      for (const char* key : {"global_batch_size", "number_of_ranks"}) {
        const auto record = std::ranges::find(records, key, &LogRecord::key);
        const auto* number = record == records.end() ? nullptr : std::get_if<std::int64_t>(&record->value);
        if (number == nullptr) continue;
        const std::int64_t first = counts.try_emplace(key, *number).first->second;
        if (first != *number)
          say(log, fmt::format("has {} {}, other runs of {} have {}", key, *number, folder.filename().string(), first));
      }
      if (division != "closed") continue;
      for (const LogRecord& record : records) {
        if (record.key != "seed") continue;
        const auto* number = std::get_if<std::int64_t>(&record.value);
        const std::string seed = number != nullptr ? std::to_string(*number) : std::string();
        if (!seed.empty() && !seeds.insert(seed).second)
          say(log, fmt::format("has the seed {} of another run of {}", seed, folder.filename().string()));
        break;
      }
    }
  }

  fs::path folder_;
  std::vector<std::string> found_;
  std::map<std::string, std::string> divisions_;
};

}  // namespace

bool has_scaling_level(const std::string& benchmark) { return rules_of(benchmark).usage == Usage::hpc; }

std::vector<std::string> check_package(const fs::path& folder) {
  if (!fs::is_directory(folder))
    throw Error(ExitCode::usage, Complaint{folder.string(), "is no folder", "", "name a package's top folder"});
  return Check(folder).run();
}

}  // namespace trainmark::cli
