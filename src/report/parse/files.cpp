// Reads a run's files. Only the log is required: logs of other programs have nothing of ours beside them, and a broken
// side file costs its figures, not the report.
#include "report/parse/files.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/reading.hpp"
#include "trainmark/report.hpp"

namespace trainmark::report {
namespace {

using Json = nlohmann::json;

/// A file beside the log; what keeps it from being read is noted.
std::optional<std::string> text_in(const std::filesystem::path& path, std::vector<std::string>& notes) {
  try {
    return read_if_there(path);
  } catch (const Error& error) {
    notes.push_back(fmt::format("{} {}, and was left out", path.filename().string(), error.complaint().what));
    return std::nullopt;
  }
}

Error refused(const std::filesystem::path& path, std::string what, std::string remedy) {
  return {ExitCode::usage, Complaint{path.string(), std::move(what), {}, std::move(remedy)}};
}

std::optional<Json> json_beside(const std::filesystem::path& path, std::vector<std::string>& notes) {
  const std::optional<std::string> text = text_in(path, notes);
  if (!text) return std::nullopt;
  Json document = Json::parse(*text, nullptr, false);
  if (document.is_object()) return document;
  notes.push_back(fmt::format("{} is not a JSON object and was left out", path.filename().string()));
  return std::nullopt;
}

void read_outcome(const Json& document, Companions& run) {
  const auto figures = document.find("figures");
  if (figures != document.end() && figures->is_object()) {
    for (const auto& [name, value] : figures->items()) {
      if (!value.is_number()) continue;
      const double figure = value.get<double>();
      // Counts, times and bytes; what is learned may be below 0.
      const bool may_be_negative = name.find("loss") != std::string::npos || name.find("metric") != std::string::npos;
      if (figure >= 0.0 || may_be_negative)
        run.figures[name] = figure;
      else
        run.notes.push_back(fmt::format("run.json says {} = {}, which cannot be: it is left out", name, figure));
    }
  }
  const auto texts = document.find("texts");
  if (texts != document.end() && texts->is_object()) {
    for (const auto& [name, value] : texts->items())
      if (value.is_string()) run.texts[name] = value.get<std::string>();
  }
  for (const auto& [key, text] : {std::pair{"status", &run.status}, {"message", &run.message}}) {
    const auto found = document.find(key);
    if (found != document.end() && found->is_string()) *text = found->get<std::string>();
  }
}

double number_in(const Json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() && found->is_number() ? found->get<double>() : 0.0;
}

void read_staging(const Json& document, Companions& run) {
  const auto mode = document.find("mode");
  run.staged_beside = mode != document.end() && mode->is_string() && *mode == "overlap";
  for (const auto& [key, samples] :
       {std::pair{"read_from_source", &run.from_source}, {"read_from_target", &run.from_target}}) {
    const auto place = document.find(key);
    if (place != document.end()) *samples = number_in(*place, "samples");
  }
  const auto splits = document.find("splits");
  if (splits == document.end() || !splits->is_object()) return;
  run.staged_bytes = run.staging_s = 0.0;
  for (const Json& split : *splits) {
    *run.staging_s += number_in(split, "total_s");
    const auto nodes = split.is_object() ? split.find("nodes") : split.end();
    if (nodes == split.end() || !nodes->is_array()) continue;
    for (const Json& node : *nodes) {
      *run.staged_bytes += number_in(node, "copied_bytes");
      run.reused_bytes += number_in(node, "reused_bytes");
    }
  }
}

/// Of the ranks of env.json, with a control group's quota where that is less. None where ranks are bound to CPUs of
/// their own and nothing tells how many there are beside them.
std::optional<double> cpus_of_nodes(const Json& ranks) {
  struct Node {
    Json own;  ///< CPUs of its first rank
    double cpus = 0.0, quota = 0.0;
    bool limited = true;
  };
  std::map<std::string, Node> nodes;
  for (const Json& rank : ranks) {
    const auto host = rank.is_object() ? rank.find("host") : rank.end();
    const auto own = rank.is_object() ? rank.find("cpus") : rank.end();
    if (host == rank.end() || !host->is_string() || own == rank.end() || !own->is_array()) return std::nullopt;
    const auto [node, fresh] = nodes.try_emplace(host->get<std::string>());
    if (fresh) node->second.own = *own;
    const double told = number_in(rank, "node_cpus"), quota = number_in(rank, "cpu_quota");
    if (told <= 0.0 && node->second.own != *own) return std::nullopt;
    node->second.cpus = told > 0.0 ? told : static_cast<double>(own->size());
    node->second.quota += quota;
    node->second.limited = node->second.limited && quota > 0.0;
  }
  std::optional<double> fewest;
  for (const auto& [host, node] : nodes) {
    const double usable = node.limited ? std::min(node.cpus, node.quota) : node.cpus;
    if (usable <= 0.0) return std::nullopt;
    fewest = std::min(fewest.value_or(usable), usable);
  }
  return fewest;
}

/// Of the node of rank 0; "24684084 kB" as /proc/meminfo has it.
void read_environment(const Json& document, Companions& run) {
  const auto backend = document.find("backend");
  if (backend != document.end() && backend->is_string()) run.backend = backend->get<std::string>();
  if (const auto ranks = document.find("ranks"); ranks != document.end() && ranks->is_array())
    run.node_cpus = cpus_of_nodes(*ranks);
  const auto machine = document.find("machine");
  if (machine == document.end() || !machine->is_object()) return;
  const auto memory = machine->find("memory");
  if (memory == machine->end() || !memory->is_string()) return;
  const auto& text = memory->get_ref<const std::string&>();
  double kilobytes = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), kilobytes);
  if (error == std::errc{} && std::string_view(end) == " kB" && kilobytes > 0.0) run.memory_bytes = kilobytes * 1024.0;
}

/// Rows that are whole and alone of their epoch: the last line of a table may be cut within a number.
std::vector<Row> rows_of(const std::string& text, std::vector<std::string>& notes) {
  std::istringstream stream(text);
  std::string line;
  std::getline(stream, line);
  const std::vector<std::string> names = cells_of(line);
  std::map<double, std::vector<Row>> by_epoch;
  int unusable = 0;
  while (std::getline(stream, line)) {
    const std::vector<std::string> cells = cells_of(line);
    Row row;
    for (std::size_t i = 0; i < std::min(names.size(), cells.size()); ++i)
      if (const auto value = number_in_cell(cells[i])) row[names[i]] = *value;
    if (cells.size() == names.size() && row.contains("epoch"))
      by_epoch[row["epoch"]].push_back(std::move(row));
    else
      ++unusable;
  }
  if (unusable > 0) notes.push_back(fmt::format("epochs.csv: {} rows are not whole and were left out", unusable));
  std::vector<Row> rows;
  for (auto& [epoch, found] : by_epoch) {
    if (found.size() == 1)
      rows.push_back(std::move(found.front()));
    else
      notes.push_back(fmt::format("epochs.csv has {} rows of epoch {}: they were left out", found.size(), epoch));
  }
  return rows;
}

}  // namespace

Companions read_companions(const std::filesystem::path& log) {
  Companions run;
  const std::filesystem::path folder = log.parent_path();
  if (log.filename() != "mlperf.log") return run;
  if (const auto document = json_beside(folder / "run.json", run.notes)) read_outcome(*document, run);
  if (const auto document = json_beside(folder / "staging.json", run.notes)) read_staging(*document, run);
  if (const auto document = json_beside(folder / "env.json", run.notes)) read_environment(*document, run);
  if (const auto table = text_in(folder / "epochs.csv", run.notes)) run.epochs = rows_of(*table, run.notes);
  run.of_ours = read_if_possible(folder / "run.json").has_value();
  if (const auto document = json_beside(folder / "probe.json", run.notes)) run.probed = probed_in(*document, run.notes);
  if (const auto table = text_in(folder / "nodes.csv", run.notes)) run.nodes = nodes_in(*table, run.notes);
  if (const auto table = text_in(folder / "ranks.csv", run.notes)) run.ranks = ranks_in(*table, run.notes);
  return run;
}

std::optional<double> number_of(const EventValue& value) {
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return static_cast<double>(*integer);
  if (const auto* real = std::get_if<double>(&value)) return *real;
  const auto* text = std::get_if<std::string>(&value);  // some programs quote their numbers
  return text == nullptr ? std::nullopt : number_in_cell(*text);
}

std::optional<double> number_of(const Metadata& metadata, std::string_view key) {
  for (const auto& [name, value] : metadata)
    if (name == key) return number_of(value);
  return std::nullopt;
}

std::string shown(const EventValue& value) {
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return fmt::format("{}", *integer);
  if (const auto* real = std::get_if<double>(&value)) return fmt::format("{}", *real);
  if (const auto* list = std::get_if<std::vector<double>>(&value)) return fmt::format("[{}]", fmt::join(*list, ", "));
  const auto* text = std::get_if<std::string>(&value);
  if (text == nullptr) return {};
  // "3.0" is a number; "007" is a name, and a seed of 20 digits must not be rounded.
  const bool fraction = text->find_first_of(".eE") != std::string::npos;
  double read = 0.0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), read);
  if (!fraction || error != std::errc{} || end != text->data() + text->size()) return *text;
  return fmt::format("{}", read);
}

std::string text_in(const Metadata& metadata, std::string_view key) {
  for (const auto& [name, value] : metadata)
    if (name == key) return shown(value);
  return {};
}

std::string text_of(const std::vector<LogRecord>& records, std::string_view key) {
  for (const LogRecord& record : records) {
    const auto* text = std::get_if<std::string>(&record.value);
    if (record.key == key && text != nullptr) return *text;
  }
  return {};
}

std::optional<double> RunFiles::number(std::string_view key) const {
  for (const auto* records : {&log.records, &log.inherited}) {
    const auto found = std::ranges::find(*records, key, &LogRecord::key);
    if (found != records->end()) return number_of(found->value);
  }
  return std::nullopt;
}

std::optional<double> RunFiles::count(std::string_view key) const {
  const std::optional<double> found = number(key);
  return found && *found >= 1.0 && std::isfinite(*found) && *found == std::floor(*found) ? found : std::nullopt;
}

std::string RunFiles::text(std::string_view key) const {
  const std::string own = text_of(log.records, key);
  return own.empty() ? text_of(log.inherited, key) : own;
}

bool is_metric(const LogRecord& record) { return record.key == "eval_error" || record.key == "eval_accuracy"; }

std::string of_another_run(const RunFiles& files, const std::vector<EpochReport>& epochs) {
  constexpr double rounding = 1e-3;  // tables have five digits or more
  for (const auto& [logged, beside] :
       {std::pair{"seed", "seed"}, {"number_of_ranks", "ranks"}, {"global_batch_size", "global_batch_samples"}}) {
    const auto own = files.number(logged);
    const auto other = files.beside.figures.find(beside);
    if (own && other != files.beside.figures.end() && *own != other->second)
      return fmt::format("run.json is of {} {}, the log of {}", beside, other->second, *own);
  }
  for (const EpochReport& epoch : epochs) {
    for (const Row& row : files.beside.epochs) {
      const auto metric = row.find("eval_metric");
      if (row.at("epoch") != epoch.number || !epoch.metric || metric == row.end()) continue;
      if (std::abs(metric->second - *epoch.metric) > rounding * std::abs(*epoch.metric))
        return fmt::format("epochs.csv has the metric {} in epoch {}, the log {}", metric->second, epoch.number,
                           *epoch.metric);
    }
  }
  return {};
}

}  // namespace trainmark::report

namespace trainmark {

std::vector<std::filesystem::path> find_logs(const std::filesystem::path& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (!fs::exists(path, error))
    throw report::refused(path, error ? fmt::format("cannot be read: {}", error.message()) : "does not exist",
                          "name a log or the results folder of a run");
  if (!fs::is_directory(path, error)) return {path};
  std::vector<fs::path> logs;
  for (fs::recursive_directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    const std::string name = it->path().filename().string();
    if (it->is_directory(ignored) && !it->is_symlink(ignored) && access(it->path().c_str(), R_OK | X_OK) != 0) {
      it.disable_recursion_pending();
      if (name != "lost+found") logs.push_back(it->path());  // reading it says why not
      continue;
    }
    const std::string_view plain(name.data(), name.ends_with(".gz") ? name.size() - 3 : name.size());
    const bool submitted = plain.starts_with("result_") && plain.ends_with(".txt");
    if (plain != "mlperf.log" && !submitted) continue;
    // Of a packed one without the other reading says what to do with it.
    const bool beside_its_own = plain.size() < name.size() && fs::exists(it->path().parent_path() / plain, ignored);
    if (it->is_regular_file(ignored) && !beside_its_own) logs.push_back(it->path());
  }
  if (error)
    throw report::refused(path, fmt::format("cannot be read to its end: {}", error.message()),
                          "check the file system, or name the folders of the runs");
  if (logs.empty())
    throw report::refused(path, "has no mlperf.log or result_*.txt, nor has a folder in it",
                          "name a log or the results folder of a run");
  std::sort(logs.begin(), logs.end());
  return logs;
}

}  // namespace trainmark
