// What a time line holds: that events lie within each other, carry the names of launches, add up to steps, and that a
// long run leaves no more than a bounded number of them.
#include "run/record/trace.hpp"

#include <limits>

#include "rig.hpp"

namespace trainmark::testing {
namespace {

using nlohmann::json;

constexpr double rounding = 1e-3;  // of begin + length, at microseconds of some hours

struct Event {
  std::string name, category;
  double begin = 0.0, end = 0.0;  // microseconds
  [[nodiscard]] bool holds(const Event& other) const {
    return begin <= other.begin + rounding && other.end <= end + rounding;
  }
};

class Traces : public ::testing::Test {
 protected:
  Rig rig;

  /// Trains, and reads what this rank leaves.
  json train() {
    StartUp start_up(0.25);
    rig.trace = Trace(rig.world, start_up.clock());
    rig.build();
    start_up.was(Scope::planning);
    rig.trace.started(start_up, rig.world);
    static_cast<void>(rig.train());
    const std::filesystem::path file = trace_file(rig.results->folder(), rig.world.all().rank());
    rig.trace.write(file);
    return json::parse(std::ifstream(file));
  }
  static std::vector<Event> on(const json& document, int track) {
    std::vector<Event> found;
    for (const json& event : document.at("traceEvents")) {
      if (event.at("ph") != "X" || event.at("tid") != track) continue;
      const auto begin = event.at("ts").get<double>();
      found.push_back({event.at("name"), event.at("cat"), begin, begin + event.at("dur").get<double>()});
    }
    return found;
  }
  static std::vector<Event> of(const std::vector<Event>& events, const std::string& category) {
    std::vector<Event> found;
    std::ranges::copy_if(events, std::back_inserter(found), [&](const Event& e) { return e.category == category; });
    return found;
  }
  /// Of two events of a track one holds the other, or they do not touch.
  static void expect_nested(std::vector<Event> events) {
    std::ranges::stable_sort(events, [](const Event& a, const Event& b) {
      return a.begin < b.begin || (a.begin == b.begin && a.end > b.end);
    });
    std::vector<Event> open;
    for (const Event& event : events) {
      while (!open.empty() && open.back().end <= event.begin + rounding)
        open.pop_back();
      if (!open.empty()) {
        EXPECT_LE(event.end, open.back().end + rounding) << event.name << " in " << open.back().name;
      }
      open.push_back(event);
    }
  }
};

TEST_F(Traces, HoldPhasesStepsTermsInputAndLaunches) {
  rig.loss = [](const Seen&) { return std::numeric_limits<float>::quiet_NaN(); };  // is no JSON
  rig.options.train.on_divergence = OnDivergence::proceed;
  const json document = train();
  for (int track = 1; track <= 6; ++track)
    expect_nested(on(document, track));

  std::string phases;
  for (const Event& phase : on(document, 1))
    phases += phase.name + " ";
  EXPECT_EQ(phases, "init run epoch 1 eval 1 epoch 2 eval 2 ");
  const std::vector<Event> start_up = on(document, 2);
  ASSERT_EQ(start_up.size(), 2U);
  EXPECT_EQ(start_up[0].name, "mpi");
  EXPECT_NEAR(start_up[0].end - start_up[0].begin, 0.25e6, 1.0);
  EXPECT_EQ(start_up[1].name, "planning");

  const std::vector<Event> steps = of(on(document, 3), "step"), terms = of(on(document, 3), "term");
  ASSERT_EQ(steps.size(), 4U);
  EXPECT_EQ(steps[3].name, "step 4");
  ASSERT_EQ(terms.size(), 4 * term_count);
  for (std::size_t step = 0; step < steps.size(); ++step) {
    double sum = 0.0;
    for (std::size_t term = 0; term < term_count; ++term) {
      const Event& each = terms[step * term_count + term];
      EXPECT_EQ(each.name, Words<Term>::all.at(term));
      EXPECT_TRUE(steps[step].begin <= each.begin + 1e-3 && each.end <= steps[step].end + 1e-3) << each.name;
      sum += each.end - each.begin;
    }
    EXPECT_NEAR(sum, steps[step].end - steps[step].begin, 1e-2);
  }
  const std::vector<Event> compute = on(document, 5);
  EXPECT_EQ(of(compute, "Loss").size(), 4U);
  EXPECT_EQ(of(compute, "Update").size(), of(on(document, 6), "AllReduce").size());
  ASSERT_GE(of(compute, "exposed_all_reduce").size(), 4U);
  EXPECT_TRUE(of(compute, "exposed_all_reduce").front().name.starts_with("wait for "));
  for (const Event& launch : compute)
    EXPECT_TRUE(std::ranges::any_of(steps, [&](const Event& step) { return step.holds(launch); })) << launch.name;
  for (const Event& brought : on(document, 4))
    EXPECT_TRUE(std::ranges::any_of(steps, [&](const Event& step) { return step.holds(brought); })) << brought.name;
  EXPECT_EQ(document.at("otherData").at("steps_traced"), 4);
  EXPECT_EQ(document.at("otherData").at("steps_not_traced"), 0);
  EXPECT_EQ(document.at("otherData").at("rank"), rig.world.all().rank());
}

TEST_F(Traces, PlaceBatchesOfAStepInPartsWithinIt) {
  rig.options.train.gradient_accumulation_steps = 2;
  rig.options.train.global_batch = 4;
  const json document = train();
  expect_nested(on(document, 5));
  const std::vector<Event> recordings = of(on(document, 5), "step");
  EXPECT_EQ(recordings.size(), 2U * of(on(document, 3), "step").size());
}

TEST_F(Traces, AreBoundedAndSayWhatTheyLeaveOut) {
  rig.train_samples = 40'000;
  rig.options.train.epochs = 2;
  const json document = train();
  const auto& about = document.at("otherData");
  const auto traced = about.at("steps_traced").get<std::int64_t>(),
             left_out = about.at("steps_not_traced").get<std::int64_t>();
  EXPECT_EQ(traced + left_out, 20'000);
  std::size_t spans = 0;
  for (const int track : {4, 5, 6})
    spans += on(document, track).size();
  EXPECT_LE(spans, Trace::most_spans);
  EXPECT_GT(spans, Trace::most_spans / 2);
  std::vector<Event> gaps;
  for (const Event& step : of(on(document, 3), "step"))
    if (step.name.ends_with("not traced")) gaps.push_back(step);
  ASSERT_EQ(gaps.size(), 2U) << "the end of each epoch";
  EXPECT_EQ(gaps[0].name.substr(gaps[0].name.find(" to ")), " to 10000, not traced");
  EXPECT_EQ(gaps[1].name.substr(gaps[1].name.find(" to ")), " to 20000, not traced");
  expect_nested(on(document, 3));
}

TEST_F(Traces, ThatAreOffKeepNothingAndWriteNothing) {
  rig.build();
  StartUp start_up(0.0);
  rig.trace.started(start_up, rig.world);
  static_cast<void>(rig.train());
  const std::filesystem::path file = trace_file(rig.results->folder(), rig.world.all().rank());
  rig.trace.write(file);
  EXPECT_FALSE(std::filesystem::exists(file));
  EXPECT_FALSE(rig.trace.traces_step());
}

TEST_F(Traces, ThatCannotBeWrittenAreSaidToBeMissingAndNothingElse) {
  StartUp start_up(0.0);
  rig.trace = Trace(rig.world, start_up.clock());
  rig.build();
  rig.trace.started(start_up, rig.world);
  const std::filesystem::path blocked = rig.results->folder() / "blocked";
  if (rig.world.all().rank() == 0) std::ofstream(blocked) << "a file";
  rig.world.all().barrier();
  std::string said;
  leave_trace(rig.world, rig.trace, blocked, [&](const std::string& line) { said += line; });
  EXPECT_TRUE(said.starts_with("warning: traces are missing: ")) << said;
  leave_trace(rig.world, rig.trace, rig.results->folder(), [&](const std::string& line) { said = line; });
  EXPECT_TRUE(std::filesystem::exists(trace_file(rig.results->folder(), rig.world.all().rank()))) << said;
}

}  // namespace
}  // namespace trainmark::testing
