// A run without its expensive parts: the real loop, log, results and loaders around a backend that computes nothing and
// is told what its losses and metrics are. What a step was given is noted.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "run/end/ending.hpp"
#include "run/launch/input.hpp"
#include "run/record/recorder.hpp"
#include "run/train/trainer.hpp"
#include "support/mpi_main.hpp"
#include "support/spy_backend.hpp"

namespace trainmark::testing {

/// What one launch of a program was given by the host.
struct Seen {
  std::string program;  ///< "train", "part" (of a step, before its last), "evaluate"
  StepState state;
  std::vector<std::int64_t> ids;  ///< of the batch's valid samples
};

class SensedBackend final : public SpyBackend {
 public:
  std::optional<DeviceReading> reading;
  int compute_threads = 1;
  bool profiles = false;
  std::vector<std::string> ranges;
  int brackets = 0;
  std::weak_ptr<void> bracket;

  SensedBackend() { clocked = true; }
  [[nodiscard]] std::optional<DeviceReading> sensors() const override { return reading; }
  [[nodiscard]] int threads() const override { return compute_threads; }
  [[nodiscard]] std::shared_ptr<void> range(const std::string& name) override {
    ranges.push_back(name);
    return nullptr;
  }
  [[nodiscard]] std::shared_ptr<void> profiling() override {
    if (!profiles) return nullptr;
    ++brackets;
    auto opened = std::make_shared<int>();
    bracket = opened;
    return opened;
  }
};

/// A sample is its own index: x twice, y once. So the batch in device memory tells which samples it holds.
class IndexSource final : public SampleSource {
 public:
  IndexSource(std::int64_t samples, std::chrono::milliseconds delay) : samples_(samples), delay_(delay) {}
  [[nodiscard]] std::int64_t size() const override { return samples_; }
  ReadFrom read(const Visit& visit, const SampleView& to) override {
    std::this_thread::sleep_for(delay_);
    const auto value = static_cast<float>(visit.sample);
    for (const std::span<std::byte>& field : to)
      for (std::size_t at = 0; at < field.size(); at += sizeof value)
        std::memcpy(&field[at], &value, sizeof value);
    return ReadFrom::files;
  }

 private:
  std::int64_t samples_;
  std::chrono::milliseconds delay_;
};

using Row = std::map<std::string, std::string>;

class Rig {
 public:
  // --- set before build() --------------------------------------------------------------------------------------------
  RunOptions options;
  RunContext context;
  std::int64_t train_samples = 8, validation_samples = 3;
  std::chrono::milliseconds reading{0};  ///< a sample takes
  bool aloud = false;                    ///< tells of its progress, on rank 0
  bool scaled = false;                   ///< the graph keeps a loss scale
  std::optional<StepRange> profile_steps;
  std::vector<EvaluationFigure> more_figures;  ///< besides the one that is judged
  // --- what the backend is told to come to; called once a launch
  // ------------------------------------------------------
  std::function<float(const Seen&)> loss = [](const Seen&) { return 0.5F; };
  std::function<double(const Seen&)> metric = [](const Seen&) { return 0.25; };  ///< mean over this rank's samples
  std::function<void(float* parameters)> update = [](float*) {};
  std::function<void(LossScale&)> adjust = [](LossScale&) {};
  std::atomic<double> now = 0.0;   ///< the watchdog's clock
  std::atomic<int> looks = 0;      ///< how often the watchdog's own thread has looked at it
  std::vector<std::string> barks;  ///< of the watchdog; to be read once it has ended
  std::atomic<bool> barked = false;

  // --- what came of it
  // ------------------------------------------------------------------------------------------------
  const World& world = test_world();
  SensedBackend backend;
  std::vector<Seen> seen;
  Compiled compiled;
  std::shared_ptr<InputSlots> slots;
  Input input;
  std::unique_ptr<Results> results;
  Trace trace;  ///< may be set before build()
  std::unique_ptr<Timeline> timeline;
  std::unique_ptr<Watchdog> watchdog;
  std::unique_ptr<Progress> progress;
  std::unique_ptr<Recorder> recorder;

  Rig() {
    static int number = 0;
    options.name = "rig" + std::to_string(++number);
    options.results.folder = world.all().broadcast(::testing::TempDir() + "trainmark-rig-" + std::to_string(getpid()));
    options.seed = 7;
    options.submission.generated_data = true;
    options.train.global_batch = 4;
    options.train.until = Until::epochs;
    options.train.epochs = 2;
    options.recipe.schedule = PiecewiseSchedule{.base_rate = 0.5, .peak_rate = 0.5, .warmup_epochs = 0, .decay = {}};
    options.load.prefetch = 2;
  }
  ~Rig() {
    watchdog.reset();
    input.train.reset();  // before what they read from
    input.validation.reset();
    world.all().barrier();
    if (results && results->writes()) std::filesystem::remove_all(options.results.folder);
  }
  Rig(const Rig&) = delete;
  Rig& operator=(const Rig&) = delete;

  /// Everything that run() makes before its first step.
  void build() {
    const std::int64_t local = options.train.batch() / world.all().size();
    const Graph forward = network(local, true);
    Graph step = training_step();
    compiled.collectives.all = backend.make_collective(world.all());
    compiled.state = std::make_unique<ModelState>(backend, step, 1);
    slots = make_input_slots(backend);
    const auto program = [&](Graph graph) {
      return std::make_unique<Program>(backend, std::move(graph), *compiled.state, compiled.collectives.get(), slots,
                                       Program::Options{.timed = trace.is_on()});
    };
    compiled.train = program(std::move(step));
    if (options.train.gradient_accumulation_steps > 1)
      compiled.accumulate = program(accumulate(differentiate(forward)));
    compiled.evaluate = program(network(local, false));
    backend.execute = [this](const Op& op, std::span<void* const> args) { execute(op, args); };

    input.train_source = std::make_unique<IndexSource>(train_samples, reading);
    input.validation_source = std::make_unique<IndexSource>(validation_samples, reading);
    input.train_sampling = sampling("train", train_samples);
    input.validation_sampling = sampling("validation", validation_samples);
    const auto loader = [&](SampleSource& source, const Sampling& sampling) {
      return std::make_unique<Loader>(source, schema(), sampling, backend.pinned_memory(), options.load);
    };
    input.train = loader(*input.train_source, input.train_sampling);
    input.validation = loader(*input.validation_source, input.validation_sampling);

    results = std::make_unique<Results>(world, options, context);
    timeline = std::make_unique<Timeline>(results->log(), &trace);
    progress =
        std::make_unique<Progress>(Progress::Style{.speaks = aloud && world.all().rank() == 0, .interval_s = 0.0});
    watchdog = std::make_unique<Watchdog>(
        [this](const std::string& message) {
          barks.push_back(message);
          barked = true;
        },
        [this, own = std::this_thread::get_id()] {
          if (std::this_thread::get_id() != own) ++looks;
          return now.load();
        });
    recorder = std::make_unique<Recorder>(world, options, *results, *timeline, *progress);
  }

  /// What a rank launches in a step, the last or only batch of it.
  [[nodiscard]] Graph training_step() const {
    return reduce_and_update(differentiate(network(options.train.batch() / world.all().size(), true)), {.bytes = 1},
                             SgdMomentum{}, {}, {}, options.train.gradient_accumulation_steps > 1);
  }

  /// The rest of run(): a log from its header to run_stop around the loop.
  TrainOutcome train() {
    if (!results) build();
    timeline->header(options, false, "{}");
    { const LogScope init = timeline->init(); }
    timeline->hyperparameters(options, facts);
    timeline->run_start();
    Trainer::Plan plan = trainer_plan(options, world.all().size(), input.train_sampling, input.validation_sampling);
    plan.profile_steps = profile_steps;
    plan.figures.insert(plan.figures.end(), more_figures.begin(), more_figures.end());
    Trainer trainer(
        {world, backend, *compiled.state, *compiled.train, compiled.accumulate.get(), nullptr, *compiled.evaluate,
         *input.train, *input.validation, *timeline, *watchdog, *results, *progress, trace},
        std::move(plan));
    TrainOutcome outcome = trainer.run();
    timeline->run_stop(outcome.target_met);
    return outcome;
  }
  TimelineFacts facts{.ranks = world.all().size(),
                      .nodes = 1,
                      .accelerators_per_node = 0,
                      .seed = 7,
                      .data = {.train_samples = 8, .validation_samples = 3, .generated = true}};

  /// What train() raises.
  [[nodiscard]] std::string refusal(ExitCode code) {
    try {
      static_cast<void>(train());
    } catch (const AgreedError& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      return error.what();
    }
    ADD_FAILURE() << "nothing was raised";
    return {};
  }

  /// Waits until the watchdog has looked at its clock once more: whatever it has to say of now, it has said.
  void await_watchdog() const {
    for (const int before = looks; !barked && looks < before + 2;)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }

  // --- reading what was left; on rank 0 ------------------------------------------------------------------------------
  [[nodiscard]] std::string text(const std::string& file) const {
    std::ostringstream content;
    content << std::ifstream(results->folder() / file).rdbuf();
    return content.str();
  }
  [[nodiscard]] nlohmann::json json(const std::string& file) const { return nlohmann::json::parse(text(file)); }
  [[nodiscard]] std::vector<LogRecord> log() const { return read_log(text("mlperf.log")).records; }
  [[nodiscard]] std::vector<Row> table(const std::string& file) const {
    std::istringstream lines(text(file));
    const auto cells = [](const std::string& line) {
      std::vector<std::string> all;
      std::istringstream stream(line);
      for (std::string cell; std::getline(stream, cell, ',');)
        all.push_back(cell);
      return all;
    };
    std::string line;
    std::getline(lines, line);
    const std::vector<std::string> names = cells(line);
    std::vector<Row> rows;
    while (std::getline(lines, line)) {
      const std::vector<std::string> values = cells(line);
      EXPECT_LE(values.size(), names.size()) << line;
      Row& row = rows.emplace_back();
      for (std::size_t at = 0; at < values.size(); ++at)
        row[names.at(at)] = values[at];
    }
    return rows;
  }
  [[nodiscard]] std::vector<Seen> seen_by(const std::string& program) const {
    std::vector<Seen> some;
    std::ranges::copy_if(seen, std::back_inserter(some), [&](const Seen& each) { return each.program == program; });
    return some;
  }

 private:
  static DataSchema schema() { return {{{"x", Shape{2}, DType::f32}, {"y", Shape{1}, DType::f32}}}; }

  [[nodiscard]] Graph network(std::int64_t batch, bool training) const {
    GraphBuilder builder(DType::f32);
    const TensorId x = builder.input("x", {batch, 2}, DType::f32);
    const TensorId y = builder.input("y", {batch, 1}, DType::f32);
    const TensorId state = builder.input("step_state", {step_state_extent(batch)}, DType::u8);
    std::vector<TensorId> compared = {builder.dense("dense", x, 1), y, state};
    if (!training) {
      builder.apply("metric", Metric{}, compared);
      return builder.take();
    }
    if (scaled) compared.push_back(builder.loss_scale());
    builder.apply("loss", Loss{options.train.global_batch}, compared);
    return builder.take();
  }

  [[nodiscard]] Sampling sampling(const std::string& name, std::int64_t samples) const {
    Split split;
    split.name = name;
    split.samples = samples;
    split.manifest.entries.resize(1);
    split.manifest.entries[0].samples = samples;
    split.plan = {.strategy = Strategy::none, .parts = {{0}}};
    return sampling_of(world, options, split);
  }

  static Seen seen_in(std::string program, const void* step_state) {
    Seen one;
    one.program = std::move(program);
    std::memcpy(&one.state, step_state, sizeof one.state);
    const auto* ids =
        reinterpret_cast<const std::int64_t*>(static_cast<const std::byte*>(step_state) + sizeof one.state);
    one.ids.assign(ids, ids + one.state.valid);
    return one;
  }

  void execute(const Op& op, std::span<void* const> args) {
    if (std::holds_alternative<Loss>(op)) {
      seen.push_back(seen_in("train", args[2]));
      const float value = loss(seen.back());
      std::memcpy(args[scaled ? 4 : 3], &value, sizeof value);
    } else if (const auto* sum = std::get_if<Accumulate>(&op); sum != nullptr && !sum->last) {
      seen.back().program = "part";
    } else if (std::holds_alternative<Metric>(op)) {
      seen.push_back(seen_in("evaluate", args[2]));
      const double mean = metric(seen.back());
      const auto count = static_cast<double>(seen.back().state.valid);
      auto* sums = static_cast<double*>(args[3]);
      sums[0] += mean * count;
      sums[1] += mean * mean * count;
      sums[2] += count;
    } else if (std::holds_alternative<Update>(op)) {
      update(static_cast<float*>(args[0]));
    } else if (std::holds_alternative<AdjustLossScale>(op)) {
      adjust(*static_cast<LossScale*>(args[0]));
    }
  }
};

/// The cells of a column, each with a space behind it.
inline std::string column(const std::vector<Row>& rows, const std::string& name) {
  std::string cells;
  for (const Row& row : rows)
    cells += row.at(name) + " ";
  return cells;
}

/// A value of the log: of the first record of that key, or of all of them.
inline std::vector<LogRecord> records_of(const std::vector<LogRecord>& log, const std::string& key) {
  std::vector<LogRecord> some;
  std::ranges::copy_if(log, std::back_inserter(some), [&](const LogRecord& each) { return each.key == key; });
  return some;
}
template <class T>
T value_of(const std::vector<LogRecord>& log, const std::string& key) {
  const std::vector<LogRecord> found = records_of(log, key);
  if (found.size() != 1 || !std::holds_alternative<T>(found.front().value)) {
    ADD_FAILURE() << key << ": " << found.size() << " records, or another type";
    return {};
  }
  return std::get<T>(found.front().value);
}

}  // namespace trainmark::testing
