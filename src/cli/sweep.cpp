// trainmark sweep: every combination of a spec's values as a config, and an array job for each number of nodes that
// runs them. Nothing is submitted; trainmark report reads the results back.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
#include <memory>

#include "cli/batch_options.hpp"
#include "cli/environment.hpp"
#include "cli/new_folder.hpp"
#include "cli/numbers.hpp"
#include "cli/sweep_spec.hpp"
#include "mllog/utf8.hpp"
#include "trainmark/config.hpp"

namespace trainmark::cli {
namespace {

using Json = nlohmann::ordered_json;
constexpr std::size_t most_runs = 10'000;
constexpr Unwritten unwritten{"a sweep without all of its configs would run a part of it",
                              "free space or name another folder with --into"};

struct Flags {
  std::string spec, folder;
  BatchOptions batch;
  bool skips_unfit = false;
};

/// A combination of an axis' values, by index.
using Choice = std::vector<std::size_t>;

/// One config of the sweep.
struct Planned {
  Choice choice;
  int repeat = 0;
  std::string results, config;
};
struct Job {
  BatchRequest request;
  std::vector<Planned> runs;
};

std::string name_of(const Job& job) { return fmt::format("nodes-{}", job.request.nodes); }

bool next(Choice& choice, const std::vector<SweepAxis>& axes) {
  for (std::size_t at = axes.size(); at-- > 0;) {
    if (++choice[at] < axes[at].values.size()) return true;
    choice[at] = 0;
  }
  return false;
}

/// A value as a part of a folder's name; empty where it has no short form.
std::string word_of(const Json& value) {
  const std::string text = value.is_string() ? value.get<std::string>() : json_text(value);
  const bool plain = !text.empty() && text.size() <= 24 && std::ranges::all_of(text, [](unsigned char c) {
    return c < 128 && (std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-');
  });
  return plain ? text : std::string();
}

class Sweep {
 public:
  explicit Sweep(const Flags& flags)
      : flags_(flags), spec_text_(read_file(flags.spec, "spec")), spec_(parse_sweep(spec_text_, flags.spec)) {
    base_text_ = read_file(spec_.base, "config");
    static_cast<void>(parse_config(base_text_, spec_.base, {}, environment_variable));  // its mistakes are its own
    base_json_ = Json::parse(base_text_, nullptr, true, true);
  }

  [[nodiscard]] std::vector<Job> jobs() {
    std::size_t runs = spec_.nodes.size() * static_cast<std::size_t>(spec_.repeats);
    for (const SweepAxis& axis : spec_.axes)
      runs = std::min(runs * axis.values.size(), most_runs + 1);
    if (runs > most_runs)
      throw Error(ExitCode::usage, Complaint{flags_.spec, fmt::format("asks for more than {} runs", most_runs), "",
                                             "vary fewer keys at a time"});
    std::vector<Job> jobs;
    for (const int nodes : spec_.nodes)
      if (Job each = job(nodes); !each.runs.empty()) jobs.push_back(std::move(each));
    if (jobs.empty())
      throw Error(ExitCode::usage, Complaint{flags_.spec, "no combination fits its launch", "", skipped_.front()});
    return jobs;
  }
  [[nodiscard]] const std::vector<std::string>& skipped() const noexcept { return skipped_; }
  [[nodiscard]] const SweepSpec& spec() const noexcept { return spec_; }
  [[nodiscard]] const std::string& spec_text() const noexcept { return spec_text_; }

 private:
  [[nodiscard]] Job job(int nodes) {
    Job job;
    int cpus_per_rank = 0;
    Choice choice(spec_.axes.size(), 0);
    do {
      const RunOptions options = options_of(choice);
      BatchOptions batch = flags_.batch;
      batch.request.nodes = nodes;
      try {
        job.request = fitted(batch, options);
      } catch (const Error& error) {
        if (!flags_.skips_unfit)
          throw Error(error.code(), fmt::format("{}: {}{}: {}\n(--skip-unfit leaves such combinations out)",
                                                flags_.spec, named(nodes), named(choice), error.what()));
        skipped_.push_back(fmt::format("{}{}: {}", named(nodes), named(choice), error.what()));
        continue;
      }
      cpus_per_rank = std::max(cpus_per_rank, job.request.cpus_per_rank);
      for (int repeat = 0; repeat < spec_.repeats; ++repeat)
        job.runs.push_back(planned(nodes, job.runs.size(), choice, repeat));
    } while (next(choice, spec_.axes));
    job.request.nodes = nodes;
    job.request.cpus_per_rank = cpus_per_rank;
    return job;
  }

  /// "nodes 2, train.precision bf16"
  [[nodiscard]] static std::string named(int nodes) { return fmt::format("nodes {}", nodes); }
  [[nodiscard]] std::string named(const Choice& choice) const {
    std::string text;
    for (std::size_t at = 0; at < choice.size(); ++at)
      text += fmt::format(", {} {}", spec_.axes[at].key, json_text(spec_.axes[at].values[choice[at]]));
    return text;
  }

  /// As run will read them. What is wrong is told by where it stands in the spec.
  [[nodiscard]] RunOptions options_of(const Choice& choice) const {
    std::vector<std::string> overrides;
    for (std::size_t at = 0; at < choice.size(); ++at)
      overrides.push_back(
          fmt::format("{}={}", spec_.axes[at].pointer().to_string(), json_text(spec_.axes[at].values[choice[at]])));
    try {
      return parse_config(base_text_, spec_.base, overrides, environment_variable);
    } catch (const Error& error) {
      std::string message = error.what();
      for (std::size_t at = 0; at < choice.size(); ++at) {
        const std::string theirs = "--set " + overrides[at];
        for (std::size_t found = message.find(theirs); found != std::string::npos; found = message.find(theirs, found))
          message.replace(found, theirs.size(), fmt::format("{}: {}", flags_.spec, spec_.axes[at].place(choice[at])));
      }
      throw Error(error.code(), message);
    }
  }

  [[nodiscard]] Planned planned(int nodes, std::size_t task, const Choice& choice, int repeat) const {
    Planned run{choice, repeat, {}, {}};
    std::string label = std::to_string(task);
    for (std::size_t at = 0; at < choice.size(); ++at)
      if (const std::string word = word_of(spec_.axes[at].values[choice[at]]); !word.empty()) label += "-" + word;
    run.results = fmt::format("{}/results/nodes-{}/{}", flags_.folder, nodes, label);
    Json config = base_json_;
    for (std::size_t at = 0; at < choice.size(); ++at)
      config[Json::json_pointer(spec_.axes[at].pointer().to_string())] = spec_.axes[at].values[choice[at]];
    config["results"]["folder"] = run.results;
    if (const std::int64_t seed = options_of(choice).seed; seed != 0) {
      if (seed > std::numeric_limits<std::int64_t>::max() - repeat)
        throw Error(ExitCode::usage, Complaint{spec_.base + ": /seed",
                                               fmt::format("{} leaves no seed above it for repeat {}", seed, repeat),
                                               "", "take a smaller one"});
      config["seed"] = seed + repeat;
    }
    run.config = json_text(config, 2) + "\n";
    static_cast<void>(parse_config(run.config, run.results, {}, environment_variable));  // what is written is what runs
    return run;
  }

  const Flags& flags_;
  std::string spec_text_;  // once: a pipe can be read no second time
  SweepSpec spec_;
  std::string base_text_;
  Json base_json_;
  std::vector<std::string> skipped_;
};

std::string cell(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text)
    quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

std::string value_text(const Json& value) { return value.is_string() ? value.get<std::string>() : json_text(value); }

/// A row for each run; without a folder nothing is said of files.
std::string table_of(const std::vector<Job>& jobs, const SweepSpec& spec, const std::string& folder) {
  std::string table = "job,task,nodes,ranks,repeat";
  for (const SweepAxis& axis : spec.axes)
    table += "," + cell(axis.key);
  table += folder.empty() ? "\n" : ",config,results\n";
  for (const Job& job : jobs) {
    const BatchRequest& request = job.request;
    for (std::size_t task = 0; task < job.runs.size(); ++task) {
      const Planned& run = job.runs[task];
      table += fmt::format("{}.sh,{},{},{},{}", name_of(job), task, request.nodes,
                           ranks_on(request.nodes, request.ranks_per_node), run.repeat);
      for (std::size_t at = 0; at < spec.axes.size(); ++at)
        table += "," + cell(value_text(spec.axes[at].values[run.choice[at]]));
      table += folder.empty() ? "\n"
                              : fmt::format(",{},{}\n", cell(fmt::format("{}/{}/{}.json", folder, name_of(job), task)),
                                            cell(run.results));
    }
  }
  return table;
}

/// A script that runs all of a job's configs.
std::string script_of(const Job& job, const Flags& flags, const std::string& made_by_line) {
  BatchRequest request = job.request;
  const std::string configs = fmt::format("{}/{}", flags.folder, name_of(job));
  request.command = {program_of(flags.batch), "run"};
  request.made_by = made_by_line;
  if (job.runs.size() == 1) {  // PBS has no array of one
    request.command.push_back(configs + "/0.json");
  } else {
    request.array = fmt::format("0-{}", job.runs.size() - 1);
    request.task_configs = configs;
  }
  return batch_script(request);
}

int sweep(const Process& process, Flags flags) {
  while (flags.folder.size() > 1 && flags.folder.ends_with('/'))
    flags.folder.pop_back();
  if (flags.batch.request.launcher == BatchLauncher::flux)
    throw Error(ExitCode::usage, Complaint{"--launcher", "Flux has no arrays of jobs", "",
                                           "submit a script of trainmark sbatch for each config"});
  Sweep sweep(flags);
  const std::vector<Job> jobs = sweep.jobs();
  const std::string table = table_of(jobs, sweep.spec(), flags.folder);
  for (const std::string& each : sweep.skipped())
    print_message(fmt::format("trainmark: left out: {}\n", each));
  if (flags.folder.empty()) {
    write_output(table);
    return 0;
  }
  NewFolder folder(flags.folder, unwritten);
  std::string lines;
  for (const Job& job : jobs) {
    folder.write(name_of(job) + ".sh", script_of(job, flags, made_by(process)));
    for (std::size_t task = 0; task < job.runs.size(); ++task)
      folder.write(fmt::format("{}/{}.json", name_of(job), task), job.runs[task].config);
    lines += fmt::format("{} {}\n", job.request.launcher == BatchLauncher::pals ? "qsub" : "sbatch",
                         shell_quoted(fmt::format("{}/{}.sh", flags.folder, name_of(job))));
  }
  folder.write("runs.csv", table);
  folder.write("spec.json", sweep.spec_text());
  folder.finish();
  write_output(fmt::format("# runs are listed in {0}/runs.csv; when they have ended: trainmark report {0}/results\n{1}",
                           flags.folder, lines));
  return 0;
}

}  // namespace

void add_sweep(CLI::App& app, Action& action) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand("sweep", "Print array jobs for every combination of a spec's values");
  command
      ->add_option("spec", flags->spec, "JSON: base config, nodes, repeats, and axes: keys of the config with values")
      ->required()
      ->type_name("SPEC");
  command
      ->add_option("--into", flags->folder,
                   "New folder for configs, scripts and results; without it the runs are only listed")
      ->type_name("FOLDER");
  command->add_flag("--skip-unfit", flags->skips_unfit, "Leave out combinations that do not fit their launch, by name");
  add_batch_options(*command, flags->batch);
  command->footer(
      "Nothing is submitted: what is printed are the lines that submit, for a shell. Configs are written whole or not "
      "at all.\n"
      "  {\"base\": \"my.json\", \"nodes\": [1, 2, 4], \"repeats\": 3,\n"
      "   \"axes\": {\"train.global_batch\": [64, 128], \"train.precision\": [\"fp32\", \"bf16\"]}}\n"
      "is 36 runs in three array jobs, one for each number of nodes. A value may be an object that replaces a whole "
      "section.\n"
      "Repeats have seeds of their own: the base's and those above it, or drawn ones where it has none.\n\n"
      "Examples:\n"
      "  trainmark sweep spec.json\n"
      "  trainmark sweep spec.json --into sweeps/batch --gpus-per-node 4 --account abc\n"
      "  trainmark sweep spec.json --into sweeps/batch | sh\n"
      "  trainmark report sweeps/batch/results --html sweep.html\n\n"
      "Exit codes: 0; 2 spec, config, a launch that does not fit, or a folder that exists; 4 it cannot be written");
  command->callback([flags, &action] { action = [flags](Process& process) { return sweep(process, *flags); }; });
}

}  // namespace trainmark::cli
