// First by what names a writer (an instance in the metadata, a launcher's tag before the token), then by copies that
// several processes printed of one record, then one attempt after the other.
#include "report/parse/attempts.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "report/parse/files.hpp"

namespace trainmark::report {
namespace {

using Records = std::vector<LogRecord>;

struct Stream {
  std::string name;
  Records records;
  std::vector<std::string> notes;
};

bool starts_run(const LogRecord& record) { return record.key == "run_start"; }
bool has_run(const Records& records) { return std::ranges::any_of(records, starts_run); }

/// Settings of a run: what its copies share and other runs may not.
std::map<std::string, std::string> settings_of(const Records& records) {
  std::map<std::string, std::string> settings;
  for (const LogRecord& record : records) {
    const bool setting = record.key.starts_with("submission_") || record.key == "seed" ||
                         record.key == "global_batch_size" || record.key == "train_samples";
    if (setting) settings.emplace(record.key, shown(record.value));
  }
  return settings;
}

/// What a record says, but for its value, time and place in a source.
std::string identity_of(const LogRecord& record) {
  std::string text = record.key;
  for (const auto& [name, value] : record.metadata)
    if (name != "file" && name != "lineno") text += fmt::format("|{}={}", name, shown(value));
  return text;
}

/// Copies of one record are apart by their clocks and by their way to the file: as far as those of any other.
constexpr double most_apart_ms = 10'000.0;

/// What all processes of a run do and find out together. Where a run starts and what it stages each may log when it is
/// there.
bool is_told(const LogRecord& record) {
  return is_metric(record) || record.key == "epoch_start" || record.key == "block_start" || record.key == "run_stop";
}

/// How far apart the times of records are that should be copies of each other.
class Spread {
 public:
  void add(double apart_ms) {
    least_ = any_ ? std::min(least_, apart_ms) : apart_ms;
    most_ = any_ ? std::max(most_, apart_ms) : apart_ms;
    any_ = true;
  }
  [[nodiscard]] bool is_of_copies() const { return most_ - least_ <= most_apart_ms; }

 private:
  double least_ = 0.0, most_ = 0.0;
  bool any_ = false;
};

/// Values of a metric that processes worked out by themselves may differ in their last digits.
bool is_one_value(const EventValue& one, const EventValue& other) {
  const auto ours = number_of(one), its = number_of(other);
  return ours && its ? std::abs(*ours - *its) <= 1e-4 * std::abs(*ours) : shown(one) == shown(other);
}

using Story = std::map<std::string, std::vector<const LogRecord*>>;
Story story_of(const Records& records) {
  Story story;
  for (const LogRecord& record : records)
    if (is_told(record)) story[identity_of(record)].push_back(&record);
  return story;
}

/// Whether two processes tell the same at the same times. One may leave out what the other prints, but if both come to
/// an end they have the same epochs.
bool tell_the_same(const Records& one, const Records& other) {
  const Story ours = story_of(one), its = story_of(other);
  Spread spread;
  std::size_t only_ours = 0, only_its = its.size();
  for (const auto& [identity, records] : ours) {
    const auto found = its.find(identity);
    only_ours += found == its.end();
    if (found == its.end()) continue;
    --only_its;
    if (found->second.size() != records.size()) continue;
    for (std::size_t at = 0; at < records.size(); ++at) {
      if (is_metric(*records[at]) && !is_one_value(records[at]->value, found->second[at]->value)) return false;
      spread.add(found->second[at]->time_ms - records[at]->time_ms);
    }
  }
  return spread.is_of_copies() && (only_ours == 0 || only_its == 0);
}

/// Equal settings, clocks that run at the same time, and the same story.
bool is_copy(const Records& one, const Records& other) {
  const auto ours = settings_of(one);
  for (const auto& [key, value] : settings_of(other)) {
    const auto found = ours.find(key);
    if (found != ours.end() && found->second != value) return false;
  }
  const auto [one_first, one_last] = std::ranges::minmax(one, {}, &LogRecord::time_ms);
  const auto [other_first, other_last] = std::ranges::minmax(other, {}, &LogRecord::time_ms);
  return one_first.time_ms <= other_last.time_ms && other_first.time_ms <= one_last.time_ms &&
         tell_the_same(one, other);
}

/// Weak scaling: a record of an instance names it; what names none is of all.
std::vector<Stream> by_instance(const Records& records) {
  std::vector<std::string> names;
  for (const LogRecord& record : records) {
    const std::string name = text_in(record.metadata, "instance");
    if (!name.empty() && std::ranges::find(names, name) == names.end()) names.push_back(name);
  }
  if (names.size() < 2) return {{{}, records, {}}};
  std::vector<Stream> streams;
  for (const std::string& name : names) {
    Stream& stream = streams.emplace_back(Stream{fmt::format("instance {}", name), {}, {}});
    for (const LogRecord& record : records) {
      const std::string its = text_in(record.metadata, "instance");
      if (its.empty() || its == name) stream.records.push_back(record);
    }
    stream.notes.push_back(fmt::format(
        "{} instances write into this file: this is one of them, its ranks are not the machine's", names.size()));
  }
  return streams;
}

/// Tags are of processes where each that brings records starts a run; else they are times or the like.
std::vector<Stream> by_tag(const Records& records) {
  std::vector<std::string> tags;
  std::map<std::string, Records> groups;
  for (const LogRecord& record : records) {
    if (!groups.contains(record.tag)) tags.push_back(record.tag);
    groups[record.tag].push_back(record);
  }
  std::size_t told = 0;
  std::erase_if(tags, [&](const std::string& tag) { return !has_run(groups[tag]); });
  for (const std::string& tag : tags)
    told += groups[tag].size();
  if (tags.size() < 2 || 2 * told <= records.size()) return {{{}, records, {}}};
  std::vector<Stream> streams;
  std::vector<int> copies;
  for (const std::string& tag : tags) {
    const auto known =
        std::ranges::find_if(streams, [&](const Stream& stream) { return is_copy(stream.records, groups[tag]); });
    if (known != streams.end()) {
      ++copies[static_cast<std::size_t>(known - streams.begin())];
      continue;
    }
    streams.push_back({fmt::format("tagged \"{}\"", tag), std::move(groups[tag]), {}});
    copies.push_back(1);
  }
  for (std::size_t i = 0; i < streams.size(); ++i) {
    if (copies[i] > 1)
      streams[i].notes.push_back(
          fmt::format("{} processes print each record of this run: those {} are read", copies[i], streams[i].name));
    if (streams.size() == 1) streams[i].name.clear();
  }
  if (told < records.size()) {
    for (Stream& stream : streams)
      stream.notes.push_back(
          fmt::format("{} records of processes that start no run are left out", records.size() - told));
  }
  return streams;
}

Error mixed(const std::filesystem::path& path, const Records& records, int runs) {
  const auto first = std::ranges::find_if(records, starts_run);
  const auto second = std::find_if(first + 1, records.end(), starts_run);
  return {
      ExitCode::usage,
      Complaint{fmt::format("{}:{}", path.string(), second->line),
                fmt::format("a run starts while that of line {} goes on: records of {} runs are mixed, and nothing "
                            "tells whose is whose",
                            first->line, runs),
                "times between records of different runs mean nothing",
                "let each run write a file of its own, or launch with tagged output (mpirun --tag-output, srun -l)"}};
}

/// Whether each `runs` records of one identity are one that as many processes print: with one value, and as far apart
/// as the others are. What not all of them print has no part in it.
bool are_copies(const Records& records, std::size_t runs) {
  Spread spread;
  Story story = story_of(records);
  for (auto& [identity, alike] : story) {
    if (alike.size() % runs != 0) continue;
    std::ranges::stable_sort(alike, {}, &LogRecord::time_ms);
    for (std::size_t at = 0; at < alike.size(); at += runs) {
      const LogRecord &early = *alike[at], &late = *alike[at + runs - 1];
      spread.add(late.time_ms - early.time_ms);
      for (std::size_t copy = at + 1; copy < at + runs; ++copy)
        if (is_metric(early) && !is_one_value(early.value, alike[copy]->value)) return false;
    }
  }
  return spread.is_of_copies();
}

/// One of each record that `runs` processes print without a tag. Raises where they are not the same records.
Stream without_copies(Stream stream, const std::filesystem::path& path) {
  const int runs = runs_at_once(stream.records);
  if (runs == 1) return stream;
  std::map<std::string, std::set<std::string>> settings;
  std::map<std::string, int> seen;
  Records kept;
  for (const LogRecord& record : stream.records) {
    for (const auto& [key, value] : settings_of({record}))
      settings[key].insert(value);
    if (seen[identity_of(record)]++ % runs == 0) kept.push_back(record);
  }
  bool same = are_copies(stream.records, static_cast<std::size_t>(runs)) &&
              std::ranges::all_of(settings, [](const auto& each) { return each.second.size() == 1; });
  std::string last;
  for (const LogRecord& record : kept)
    if (record.key == "epoch_start" || record.key == "block_start") last = identity_of(record);
  for (const LogRecord& record : stream.records) {
    const bool epoch = record.key == "epoch_start" || record.key == "block_start";
    const std::string identity = identity_of(record);
    same = same && (!epoch || identity == last || seen[identity] % runs == 0);
  }
  if (!same || runs_at_once(kept) != 1) throw mixed(path, stream.records, runs);
  stream.notes.push_back(
      fmt::format("each record stands here {} times, as {} processes print it: the first of each is read", runs, runs));
  stream.records = std::move(kept);
  return stream;
}

/// Settings that only the file's first header has.
Records inherited_of(const Records& own, std::span<const LogRecord> first) {
  Records inherited;
  for (const LogRecord& record : first) {
    if (starts_run(record)) break;
    const bool point = !record.key.ends_with("_start") && !record.key.ends_with("_stop");
    const bool missing = std::ranges::none_of(own, [&](const LogRecord& each) { return each.key == record.key; });
    if (point && missing) inherited.push_back(record);
  }
  return inherited;
}

std::string told(const Records& records) {
  const auto stop = std::ranges::find_if(records, [](const LogRecord& each) { return each.key == "run_stop"; });
  const std::string lines = fmt::format("lines {} to {}", records.front().line, records.back().line);
  if (!has_run(records)) return fmt::format("{}, ended before run_start", lines);
  if (stop == records.end()) return fmt::format("{}, has no run_stop", lines);
  const std::string status = text_in(stop->metadata, "status");
  return fmt::format("{}, status {}", lines, status.empty() ? "not logged" : status);
}

/// The attempts of one stream, one after the other.
void split(const Stream& stream, std::vector<Attempt>& attempts) {
  std::vector<std::size_t> starts = attempt_starts(stream.records);
  const std::span<const LogRecord> all = stream.records;
  starts.push_back(all.size());
  std::vector<Records> parts;
  for (std::size_t i = 0; i + 1 < starts.size(); ++i)
    parts.emplace_back(all.begin() + static_cast<std::ptrdiff_t>(starts[i]),
                       all.begin() + static_cast<std::ptrdiff_t>(starts[i + 1]));
  const int count = static_cast<int>(parts.size());
  for (int i = 0; i < count; ++i) {
    Records& own = parts[static_cast<std::size_t>(i)];
    if (!has_run(own)) continue;
    Attempt attempt;
    attempt.notes = stream.notes;
    attempt.part = stream.name;
    attempt.of_many = !stream.name.empty() || !text_in(own.front().metadata, "instance").empty();
    attempt.number = i + 1;
    attempt.count = count;
    attempt.first_line = i == 0 ? 0 : own.front().line;
    attempt.next_line = i + 1 == count ? 0 : parts[static_cast<std::size_t>(i) + 1].front().line;
    if (count > 1) {
      attempt.part += fmt::format("{}attempt {} of {}", attempt.part.empty() ? "" : ", ", i + 1, count);
      for (int other = 0; other < count; ++other) {
        if (other != i)
          attempt.notes.push_back(
              fmt::format("this file also holds attempt {} ({}); no time between attempts is counted", other + 1,
                          told(parts[static_cast<std::size_t>(other)])));
      }
      if (i > 0 && text_of(own, "submission_benchmark").empty()) {
        attempt.inherited = inherited_of(own, parts.front());
        if (!attempt.inherited.empty())
          attempt.notes.push_back("this attempt has no header: settings are those of the first");
      }
    }
    attempt.records = own;
    attempts.push_back(std::move(attempt));
  }
}

}  // namespace

std::vector<Attempt> attempts_of(const LogText& log, const std::filesystem::path& path) {
  std::vector<Attempt> attempts;
  std::vector<Stream> streams;
  for (Stream& instance : by_instance(log.records)) {
    for (Stream& stream : by_tag(instance.records)) {
      const std::string between = instance.name.empty() || stream.name.empty() ? "" : ", ";
      stream.name = instance.name + between + stream.name;
      stream.notes.insert(stream.notes.begin(), instance.notes.begin(), instance.notes.end());
      streams.push_back(std::move(stream));
    }
  }
  for (const Stream& stream : streams)
    split(without_copies(stream, path), attempts);
  for (Attempt& attempt : attempts) {
    for (const LogFlaw& flaw : log.flaws) {
      const bool before_next = attempt.next_line == 0 || flaw.line < attempt.next_line;
      if (flaw.line >= attempt.first_line && before_next) attempt.flaws.push_back(flaw);
    }
  }
  if (attempts.empty())
    throw Error(ExitCode::usage, Complaint{path.string(), "has no run_start record", "without it nothing is timed",
                                           "name the log of a run that began to train"});
  return attempts;
}

}  // namespace trainmark::report
