#include "run/record/results.hpp"

#include <fmt/chrono.h>
#include <fmt/core.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "core/reading.hpp"
#include "mllog/utf8.hpp"
#include "run/record/staging_told.hpp"
#include "run/record/steps_told.hpp"

namespace trainmark {
namespace {

constexpr std::chrono::milliseconds patience_with_rank_0{3000};

using Json = nlohmann::ordered_json;

/// Only what is known.
Json to_json(const JobFacts& facts) {
  Json document = Json::object();
  for (const auto& [key, text] : {std::pair("launcher", &facts.launcher), std::pair("system", &facts.system),
                                  std::pair("id", &facts.id), std::pair("array", &facts.array)})
    if (!text->empty()) document[key] = *text;
  if (facts.task) document["task"] = *facts.task;
  if (!facts.id.empty()) document["restarts"] = facts.restarts;
  if (!facts.nodes.empty()) document["nodes"] = facts.nodes;
  if (facts.ends_at)
    document["ends_at"] = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(*facts.ends_at)));
  return document;
}

std::filesystem::path create_folder(const RunOptions& options, const RunContext& context) {
  const std::filesystem::path parent = std::filesystem::path(options.results.folder) / options.name;
  const std::string base = context.job_id.empty() ? utc_stamp() : context.job_id;
  std::error_code error;
  std::filesystem::create_directories(parent, error);
  for (int attempt = 1; !error && attempt < 1000; ++attempt) {
    const std::filesystem::path folder = parent / (attempt == 1 ? base : fmt::format("{}-{}", base, attempt));
    // False without an error: it exists, and belongs to another run.
    if (std::filesystem::create_directory(folder, error)) return folder;
  }
  throw Error(ExitCode::environment,
              Complaint{parent.string(), fmt::format("cannot create a results folder: {}", error.message()),
                        "a run without results is lost work", "set /results/folder to a place you may write to"});
}

}  // namespace

std::string utc_stamp() {
  return fmt::format("{:%Y-%m-%dT%H-%M-%SZ}",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now())));
}

std::string to_json_text(const Placement& placement) {
  return json_text(Json{{"rank", placement.rank},
                        {"host", placement.host},
                        {"rank_on_node", placement.node_rank},
                        {"cpus", placement.cores},
                        {"node_cpus", placement.node_cpus > 0 ? Json(placement.node_cpus) : Json()},
                        {"cpu_quota", placement.share.quota_source.empty() ? Json() : Json(placement.share.quota)},
                        {"cpu_quota_of", placement.share.quota_source},
                        {"numa_nodes", placement.numa_nodes}});
}

Results::Results(const World& world, const RunOptions& options, const RunContext& context)
    : world_(world),
      name_(options.name),
      workload_(benchmark_of(options.recipe.model)),
      job_(context.job_id),
      command_line_(context.command_line),
      launch_(context.job),
      writes_(world.all().rank() == 0) {
  agree_on(world.all(), [&] {
    if (!writes_) return;
    folder_ = create_folder(options, context);
    write_result(folder_ / "config.resolved.json", context.resolved_config + "\n");
    epochs_ = CsvFile(folder_ / "epochs.csv",
                      "epoch,rate,train_loss,eval_metric,train_s,eval_s,wait_for_input_s,samples_per_s,parameter_hash,"
                      "eval_wait_for_input_s,asked_mib,from_storage_mib,from_memory_mib");
    steps_ =
        CsvFile(folder_ / "steps.csv", fmt::format("step,epoch,loss,step_s,wait_for_input_s,{}", term_columns("_s")));
  });
  folder_ = world.all().broadcast(folder_.string());
}

std::filesystem::path Results::log() const { return writes_ ? folder_ / "mlperf.log" : std::filesystem::path(); }

void Results::environment(const std::string& json, const std::vector<std::string>& placements,
                          const std::string& backend) {
  if (!writes_) return;
  Json document = json.empty() ? Json::object() : Json::parse(json, nullptr, false);
  if (document.is_discarded()) document = Json::object();
  document["backend"] = backend;
  document["ranks"] = Json::array();
  for (const std::string& placement : placements)
    document["ranks"].push_back(Json::parse(placement));
  write_result(folder_ / "env.json", json_text(document, 2) + "\n");
}

void Results::staging(const StagedDataset& dataset, const StageOptions& options, bool inside_clock) {
  if (writes_) write_result(folder_ / "staging.json", staging_json(dataset, options, inside_clock));
}

void Results::close_tables() {
  agree_on(world_.all(), [&] {
    epochs_.close();
    steps_.close();
  });
}

void Results::ranks(const std::vector<std::string>& rows) {
  if (!writes_) return;
  std::string table = fmt::format(
      "rank,host,first_step_s,step_median_s,wait_for_input_s,read_s,read_mib,peak_memory_mib,"
      "device_power_mean_w,device_clock_min_mhz,device_throttled_by,read_from_storage_mib,read_from_memory_mib,reader_"
      "threads,"
      "eval_reader_threads,{}\n",
      step_columns());
  for (const std::string& row : rows)
    table += row;
  write_result(folder_ / "ranks.csv", table);
}

void Results::nodes(const std::string& rows) {
  if (writes_) write_result(folder_ / "nodes.csv", "node,op,seconds,share,flops,bytes\n" + rows);
}

void Results::conclude(const RunRecord& record, bool hurry) {
  if (!writes_) return;
  const std::unique_lock lock(mutex_, std::chrono::milliseconds(200));
  if (!lock || concluded_) return;
  RunRecord whole = record;
  if (whole.labels.empty()) {  // whoever ends a run from outside knows how it ended, and no more
    whole.labels = known_.labels;
    whole.texts = known_.texts;
    whole.figures = known_.figures;
  }
  Json document = {{"name", name_},
                   {"workload", workload_},
                   {"exit_code", whole.status == Ending::running ? Json() : Json(static_cast<int>(whole.code))},
                   {"status", word(whole.status)},
                   {"labels", whole.labels}};
  if (!whole.message.empty()) document["message"] = whole.message;
  if (!job_.empty()) document["job"] = job_;
  if (Json launch = to_json(launch_); !launch.empty()) document["launch"] = std::move(launch);
  document["command_line"] = command_line_;
  document["texts"] = whole.texts;
  document["figures"] = Json::object();
  for (const auto& [name, figure] : whole.figures)
    document["figures"][name] = std::visit([](auto value) { return Json(value); }, figure);
  write_result(folder_ / "run.json", json_text(document, 2) + "\n", hurry);
  concluded_ = whole.status != Ending::running;  // only now: what could not be written may be tried again
  known_ = std::move(whole);
}

std::string of_rank(const World& world, std::string_view message) {
  return fmt::format("rank {} on {}: {}", world.all().rank(), world.host(), message);
}

namespace {

constexpr std::string_view word_prefix = ".failed-rank-";

}  // namespace

void Results::leave_word(const World& world, const RunRecord& record) const {
  if (writes_ || folder_.empty()) return;
  const Json said = {{"exit_code", static_cast<int>(record.code)},
                     {"status", word(record.status)},
                     {"message", of_rank(world, record.message)}};
  write_result(folder_ / fmt::format("{}{}.json", word_prefix, world.all().rank()), json_text(said), true);
}

void Results::wait_for_rank_0() const {
  if (writes_ || folder_.empty()) return;
  const auto concluded = [this] {
    const Json run = Json::parse(read_if_possible(folder_ / "run.json").value_or(""), nullptr, false);
    return run.is_object() && run.value("status", "") != word(Ending::running);
  };
  constexpr std::chrono::milliseconds pause{100};
  for (auto waited = pause; waited <= patience_with_rank_0 && !concluded(); waited += pause)
    std::this_thread::sleep_for(pause);
}

std::optional<RunRecord> Results::word_of_a_failed_rank() const { return trainmark::word_of_a_failed_rank(folder_); }

std::optional<RunRecord> word_of_a_failed_rank(const std::filesystem::path& folder) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (!entry.path().filename().string().starts_with(word_prefix)) continue;
    const Json said = Json::parse(read_if_possible(entry.path()).value_or(""), nullptr, false);
    if (!said.is_object()) continue;
    // Any file may have that name: only what a rank of ours wrote is its word.
    const auto code = said.find("exit_code"), status = said.find("status"), message = said.find("message");
    const auto ending = status != said.end() && status->is_string() ? from_word<Ending>(status->get<std::string>())
                                                                    : std::optional<Ending>();
    const bool complete =
        code != said.end() && code->is_number_integer() && ending && message != said.end() && message->is_string();
    if (!complete) continue;
    RunRecord record;
    record.code = static_cast<ExitCode>(code->get<int>());
    record.status = *ending;
    record.message = message->get<std::string>();
    return record;
  }
  return {};
}

}  // namespace trainmark
