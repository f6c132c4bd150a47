// What a program tells its backend: refusals, layouts, addresses, lanes, events; and what it lets be read.
#include <gtest/gtest.h>

#include "support/spy_backend.hpp"
#include "trainmark/exec.hpp"
#include "trainmark/models.hpp"

namespace trainmark {
namespace {

using testing::SpyBackend;

constexpr CosmoflowOptions small = {.extent = 32, .width = 0.1};
constexpr GraphOptions two_samples = {.local_batch = 2, .global_batch = 2};

Graph training_step() {
  return reduce_and_update(differentiate(training_graph(small, two_samples)), {.bytes = 1 << 16}, SgdMomentum{}, {});
}

class Programs : public ::testing::Test {
 protected:
  SpyBackend spy;
  Graph step = training_step();
  ModelState state{spy, step, 1};
  std::unique_ptr<Collective> collective = spy.make_collective(Group(nullptr));
  std::shared_ptr<InputSlots> slots = make_input_slots(spy);
  std::vector<std::vector<std::byte>> batch = {std::vector<std::byte>(2 * 4 * 32 * 32 * 32 * 2),
                                               std::vector<std::byte>(2 * 4 * 4),
                                               std::vector<std::byte>(step_state_bytes(2))};

  Program program(Program::Options options = {}) { return {spy, step, state, *collective, slots, options}; }
  std::vector<std::span<const std::byte>> inputs() const { return {batch.begin(), batch.end()}; }
  const Launch& launch(std::size_t recording, const std::string& name) const {
    const auto found = std::ranges::find(spy.recordings.at(recording), name, &Launch::name);
    EXPECT_NE(found, spy.recordings.at(recording).end()) << name;
    return *found;
  }
};

TEST_F(Programs, ListEverythingThatABackendRefusesAtOnce) {
  spy.refuse = [](const Op& op) {
    return std::holds_alternative<Pool>(op)   ? "no pools here"
           : std::holds_alternative<Loss>(op) ? "no losses here"
                                              : "";
  };
  try {
    (void)program();
    FAIL() << "accepted";
  } catch (const Error& error) {
    const std::string text = error.what();
    EXPECT_EQ(error.code(), ExitCode::environment);
    EXPECT_NE(text.find("backend spy"), std::string::npos) << text;
    EXPECT_NE(text.find("conv1.pool (Pool): no pools here"), std::string::npos) << text;
    EXPECT_NE(text.find("conv5.pool (Pool): no pools here"), std::string::npos) << text;
    EXPECT_NE(text.find("loss (Loss): no losses here"), std::string::npos) << text;
  }
  EXPECT_TRUE(spy.planned.empty()) << "refusals come before any planning";
}

TEST_F(Programs, TellBeforehandWhatTheyWillAskFor) {
  spy.foresees = true;
  spy.layout = 7;
  (void)program();
  const auto same = [](const TensorDesc& told, const TensorDesc& asked) {
    return told.shape == asked.shape && told.dtype == asked.dtype && told.layout == asked.layout;
  };
  ASSERT_EQ(spy.foreseen.size(), spy.planned.size());
  for (std::size_t at = 0; at < spy.planned.size(); ++at) {
    const auto& [operation, operands] = spy.foreseen[at];
    EXPECT_EQ(operation, spy.planned[at].first);
    EXPECT_TRUE(std::ranges::equal(operands.inputs, spy.planned[at].second.inputs, same)) << operation;
    EXPECT_TRUE(std::ranges::equal(operands.outputs, spy.planned[at].second.outputs, same)) << operation;
  }
}

TEST_F(Programs, CarryLayoutsFromProducersToConsumersAndKeepGradientsLogical) {
  spy.layout = 7;
  (void)program();
  for (const auto& [operation, operands] : spy.planned) {
    if (operation == "Pool" || operation == "Activation" || operation == "PoolBackward") {
      for (const TensorDesc& input : operands.inputs)
        EXPECT_EQ(input.layout, 7) << operation;
    }
    const auto layout_of = [&](std::size_t input) { return operands.inputs.at(input).layout; };
    EXPECT_TRUE(operation != "ConvBackwardWeights" || layout_of(0) == 7);
    EXPECT_TRUE(operation != "Conv" || layout_of(1) == logical_layout) << "parameters";
    EXPECT_TRUE(operation != "Preprocess" || layout_of(0) == logical_layout) << "inputs";
    EXPECT_TRUE(operation != "Loss" || layout_of(1) == logical_layout) << "targets";
  }
}

TEST_F(Programs, FuseOnlyWhereAsked) {
  (void)program({.fuse = false, .reuse = true});
  EXPECT_EQ(spy.fused, 0);
  (void)program({.fuse = true, .reuse = true});
  EXPECT_EQ(spy.fused, 1);
}

TEST_F(Programs, RecordOncePerSlotWhenFirstUsed) {
  Program subject = program();
  EXPECT_TRUE(spy.recordings.empty());
  subject.upload(0, inputs());
  ASSERT_EQ(spy.recordings.size(), 2U);
  subject.step(0);
  subject.upload(1, inputs());
  subject.step(1);
  EXPECT_EQ(spy.recordings.size(), 2U);
  EXPECT_NE(launch(0, "preprocess").args[0], launch(1, "preprocess").args[0]) << "each slot has an input of its own";
  EXPECT_EQ(launch(0, "preprocess").args[1], launch(1, "preprocess").args[1]) << "activations are shared";
}

TEST_F(Programs, PassOperandsInOrderThenScratch) {
  spy.wants_scratch = {"Conv", "AllReduce"};
  Program subject = program({.fuse = false, .reuse = false});
  subject.upload(0, inputs());
  const auto& conv = launch(0, "conv2").args;
  ASSERT_EQ(conv.size(), 5U);
  EXPECT_EQ(conv[0], launch(0, "conv1.pool").args[1]);
  const std::int64_t weights = step.tensors[static_cast<std::size_t>(step.find("conv2.weights"))].offset;
  EXPECT_EQ(conv[1], state.parameters() + weights);
  EXPECT_EQ(conv[3], launch(0, "conv2.leaky").args[0]);
  EXPECT_EQ(conv[4], launch(0, "conv1").args[4]) << "one scratch memory a lane";
  EXPECT_NE(conv[4], launch(0, "reduce0").args[1]) << "and another for the other lane";
  EXPECT_EQ(launch(0, "conv2.backward_weights").args.size(), 4U) << "none where none was asked for";
  EXPECT_EQ(launch(0, "conv2.backward_weights").args[2], state.gradients() + weights);
  EXPECT_EQ(launch(0, "loss").args[3], state.gradients() + state.parameter_elements());
  EXPECT_EQ(subject.scratch_bytes(), 512U);
}

TEST(ScaledPrograms, GiveChecksUpdatesAndTheLossTheScaleLast) {
  SpyBackend spy;
  GraphOptions half = two_samples;
  half.compute = DType::f16;
  const Graph step =
      reduce_and_update(differentiate(training_graph(small, half)), {.bytes = 1 << 16}, SgdMomentum{}, {});
  ModelState state(spy, step, 1);
  const std::unique_ptr<Collective> collective = spy.make_collective(Group(nullptr));
  Program subject(spy, step, state, *collective, make_input_slots(spy), {.fuse = false, .reuse = false});
  EXPECT_EQ(subject.read("conv1.dst").size(), static_cast<std::size_t>(2 * 3 * 32 * 32 * 32)) << "fp16 can be read";
  ASSERT_EQ(spy.recordings.size(), 2U);
  const auto is_loss = [](const Node& node) { return std::holds_alternative<Loss>(node.op); };
  const auto loss = static_cast<std::size_t>(std::ranges::find_if(step.nodes, is_loss) - step.nodes.begin());
  const void* const step_state = spy.recordings[0].at(loss).args.at(2);
  int checks = 0, updates = 0;
  for (std::size_t at = 0; at < step.nodes.size(); ++at) {
    const Node& node = step.nodes[at];
    const auto& args = spy.recordings[0].at(at).args;
    if (const auto* check = std::get_if<GradientCheck>(&node.op)) {
      EXPECT_EQ(args, (std::vector<void*>{state.gradients() + check->range.begin, state.scaler()}));
      ++checks;
    } else if (const auto* update = std::get_if<Update>(&node.op)) {
      ASSERT_EQ(args.size(), 5U);
      EXPECT_EQ(args[0], state.parameters() + update->range().begin);
      EXPECT_EQ(args[3], step_state);
      EXPECT_EQ(args[4], state.scaler());
      ++updates;
    } else if (std::holds_alternative<Loss>(node.op)) {
      EXPECT_EQ(args.at(3), state.scaler());
    }
  }
  EXPECT_GT(checks, 1);
  EXPECT_GT(updates, 1);
  const std::vector<Launch>& launches = spy.recordings[0];
  EXPECT_EQ(launches.at(step.nodes.size() - 1).args, std::vector<void*>{state.scaler()}) << "the scale moves last";
  ASSERT_EQ(launches.size(), step.nodes.size() + 1) << "and then the host is told";
  ASSERT_EQ(launches.back().args.size(), 4U);
  EXPECT_EQ(launches.back().args[0], state.gradients() + state.parameter_elements());
  EXPECT_EQ(launches.back().args[1], state.scaler());
  EXPECT_EQ(launches.back().lane, Lane::compute);
}

TEST_F(Programs, GiveReductionsAndUpdatesTheirRanges) {
  Program subject = program();
  subject.upload(0, inputs());
  for (const Node& node : step.nodes) {
    if (const auto* reduce = std::get_if<AllReduce>(&node.op)) {
      const Launch& launched = launch(0, node.name);
      EXPECT_EQ(launched.lane, Lane::communication);
      ASSERT_EQ(launched.args.size(), 1U);
      EXPECT_EQ(launched.args[0], state.gradients() + reduce->range.begin);
      EXPECT_FALSE(launched.waits.empty());
    } else if (const auto* update = std::get_if<Update>(&node.op)) {
      const auto& args = launch(0, node.name).args;
      ASSERT_EQ(args.size(), 4U);
      EXPECT_EQ(args[0], state.parameters() + update->range().begin);
      EXPECT_EQ(args[1], state.gradients() + update->range().begin);
      EXPECT_EQ(args[2], state.slot(0) + update->range().begin);
      EXPECT_EQ(args[3], launch(0, "loss").args[2]) << "step_state";
    }
  }
}

TEST_F(Programs, ShareOnePoolAndTheInputSlots) {
  Program training = program();
  Program evaluation(spy, evaluation_graph(small, two_samples), state, *collective, slots, {});
  training.upload(0, inputs());
  const std::int64_t allocations = spy.allocations();
  evaluation.upload(1, inputs());
  EXPECT_EQ(spy.allocations(), allocations) << "all memory is there once one program was used";
  ASSERT_EQ(spy.recordings.size(), 4U);
  EXPECT_EQ(launch(0, "preprocess").args[0], launch(2, "preprocess").args[0]);
  EXPECT_EQ(launch(2, "metric").args[3], state.metrics());
}

TEST_F(Programs, MadeTooLateMustFitIntoWhatIsThere) {
  Program evaluation(spy, evaluation_graph(small, two_samples), state, *collective, slots, {});
  evaluation.upload(0, inputs());
  EXPECT_THROW((void)program(), std::logic_error);
}

TEST_F(Programs, OrderUploadsAndStepsByEvents) {
  Program subject = program();
  subject.upload(1, inputs());
  subject.step(1);
  // Events 0 and 1 mark uploads, 2 and 3 uses of the slots, 4 where an upload begins, 5 and 6 where steps do.
  EXPECT_EQ(spy.calls,
            (std::vector<std::string>{"copy waits 3", "copy records 4", "copy", "copy", "copy", "copy records 1",
                                      "compute waits 1", "compute records 6", "launch 1", "compute records 3"}));
}

TEST_F(Programs, TellForHowLongAnUploadHadNoStepToHideBehind) {
  Program subject = program();
  const auto upload = [&](int slot, double begin, double end) {
    spy.times = {begin, end};
    const UploadTimes taken = subject.upload(slot, inputs());
    return std::pair(taken.seconds, taken.exposed_seconds);
  };
  const auto compute = [&](int slot, double end) {
    spy.times = {0, end};
    subject.step(slot);
  };
  EXPECT_EQ(upload(0, 1, 3), std::pair(2.0, 2.0)) << "nothing ran yet";
  compute(0, SpyBackend::still_running);
  EXPECT_EQ(upload(1, 4, 5), std::pair(1.0, 0.0)) << "the step outlasts it";
  compute(1, 7);
  EXPECT_EQ(upload(0, 6, 9), std::pair(3.0, 2.0)) << "the step ends in its midst";
  compute(0, 10);
  EXPECT_EQ(upload(1, 11, 12), std::pair(1.0, 1.0)) << "it begins when the step is over: the host was late";
  compute(1, 20);
  EXPECT_EQ(upload(0, 13, 14), std::pair(1.0, 0.0)) << "the step ends before anybody asks";
  spy.times.clear();
  EXPECT_EQ(subject.upload(1, inputs()).seconds, 0.0) << "a backend that does not tell";
}

TEST_F(Programs, TellWhatAStepTookOnceItHasEnded) {
  Program subject = program();
  EXPECT_FALSE(subject.times(0)) << "nothing was launched";
  subject.upload(0, inputs());
  spy.times = {2, 5};
  subject.step(0);
  ASSERT_TRUE(subject.times(0));
  EXPECT_DOUBLE_EQ(subject.times(0)->seconds, 3.0);
  EXPECT_DOUBLE_EQ(subject.times(0)->exposed_seconds, 0.0);
  subject.upload(1, inputs());
  spy.times = {5, SpyBackend::still_running};
  subject.step(1);
  EXPECT_FALSE(subject.times(1)) << "the device is still at it";
}

TEST_F(Programs, TellAStepsResultBehindTheLaunchOfTheNextOne) {
  Program subject = program();
  float loss = 0.0F;
  spy.execute = [&](const Op& op, std::span<void* const> args) {
    if (std::holds_alternative<Loss>(op)) *static_cast<float*>(args[3]) = ++loss;
  };
  for (const int slot : {0, 1}) {
    subject.upload(slot, inputs());
    subject.step(slot);
  }
  spy.calls.clear();
  EXPECT_EQ(subject.result(0).loss, 1.0F) << "though the state has the next one's";
  EXPECT_EQ(spy.calls, std::vector<std::string>{"copy waits 2"}) << "the end of the first slot's step";
  EXPECT_EQ(subject.result(1).loss, 2.0F);
  EXPECT_EQ(state.loss(), 2.0F);
  EXPECT_FALSE(subject.result(1).scale);
  const std::vector<Launch>& launches = spy.recordings.at(0);
  ASSERT_EQ(launches.back().waits.size(), 1U) << "for the sums, of which the loss is a part";
  EXPECT_EQ(launches.at(static_cast<std::size_t>(launches.back().waits[0])).lane, Lane::communication);
  Program evaluation(spy, evaluation_graph(small, two_samples), state, *collective, slots, {});
  EXPECT_THROW(static_cast<void>(evaluation.result(0)), std::logic_error);
}

TEST_F(Programs, RunLaunchesOneAfterTheOtherWithoutOverlap) {
  Program subject = program({.overlap = false});
  subject.upload(0, inputs());
  const std::vector<Launch>& launches = spy.recordings.at(0);
  bool changes = false;
  for (std::size_t at = 1; at < launches.size(); ++at) {
    const bool other_lane = launches[at].lane != launches[at - 1].lane;
    changes |= other_lane;
    if (other_lane) {
      EXPECT_EQ(launches[at].waits, std::vector<int>{static_cast<int>(at) - 1}) << launches[at].name;
    }
  }
  EXPECT_TRUE(changes) << "a step has sums";
}

TEST_F(Programs, RefuseABatchOfAnotherSize) {
  Program subject = program();
  batch[0].pop_back();
  EXPECT_THROW(subject.upload(0, inputs()), std::logic_error);
  batch.pop_back();
  EXPECT_THROW(subject.upload(0, inputs()), std::logic_error);
}

TEST_F(Programs, RefuseAGraphOfAnotherState) {
  Graph other = evaluation_graph(CosmoflowOptions{.extent = 32, .width = 0.2}, two_samples);
  EXPECT_THROW(Program(spy, std::move(other), state, *collective, slots, {}), std::logic_error);
}

TEST_F(Programs, LetOnlyWhatIsStillThereBeRead) {
  Program subject = program();
  subject.upload(0, inputs());
  subject.step(0);
  EXPECT_EQ(subject.read("diff:conv1.weights").size(), static_cast<std::size_t>(3 * 4 * 27));
  EXPECT_EQ(subject.read("loss.value").size(), 1U);
  EXPECT_THROW((void)subject.read("conv1.dst"), std::logic_error) << "later tensors lie there by now";
  EXPECT_THROW((void)subject.read("nothing"), std::logic_error);

  Program apart(spy, step, state, *collective, make_input_slots(spy), {.fuse = false, .reuse = false});
  apart.upload(0, inputs());
  apart.step(0);
  for (const Tensor& tensor : step.tensors) {
    if (tensor.role != Role::activation) continue;
    EXPECT_EQ(apart.read(tensor.name).size(), static_cast<std::size_t>(tensor.shape.elements())) << tensor.name;
  }
}

TEST_F(Programs, ProfileEachLaunchByName) {
  Program subject = program();
  subject.upload(0, inputs());
  const Profile profile = subject.profile(0);
  ASSERT_EQ(profile.size(), step.nodes.size());
  EXPECT_EQ(profile.front().first, "preprocess");
}

}  // namespace
}  // namespace trainmark
