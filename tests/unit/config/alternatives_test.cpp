// The other workloads, update rules and schedules, whose keys the one document of keys_test.cpp cannot hold: which
// option each key fills, its limits, and what is said of keys that do not go together.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support.hpp"

namespace trainmark {
namespace {

using Json = nlohmann::ordered_json;

void expect_same_when_written(const RunOptions& options) {
  const RunOptions again = parse(to_json(options));
  EXPECT_EQ(again.recipe, options.recipe);
  EXPECT_EQ(again.train, options.train);
}

TEST(ConfigAlternatives, OfDeepcamFillTheirOwnOptions) {
  const RunOptions o = parse(with(R"("workload": "deepcam",
    "model": {"rows": 32, "columns": 48, "width": 0.5, "middle_blocks": 3, "norm_group": 4},
    "optimizer": {"name": "adam", "beta1": 0.5, "beta2": 0.25, "epsilon": 0.125, "weight_decay": 0.0625, "decoupled": true},
    "schedule": {"by": "step", "rate": 0.75, "warmup_steps": 3, "warmup_factor": 1.5,
                 "decay": [{"step": 5, "factor": 0.5}, {"step": 7, "factor": 0.25}]})"));
  EXPECT_EQ(o.recipe.model,
            ModelOptions(DeepcamOptions{.rows = 32, .columns = 48, .width = 0.5, .middle_blocks = 3, .norm_group = 4}));
  EXPECT_EQ(o.recipe.rule,
            Rule(Adam{.beta1 = 0.5F, .beta2 = 0.25F, .epsilon = 0.125F, .weight_decay = 0.0625F, .decoupled = true}));
  EXPECT_EQ(
      o.recipe.schedule,
      Schedule(StepSchedule{.rate = 0.75, .warmup_steps = 3, .warmup_factor = 1.5, .decay = {{5, 0.5}, {7, 0.25}}}));
  expect_same_when_written(o);
}

TEST(ConfigAlternatives, OfLambAndACosineFillTheirOwnOptions) {
  const RunOptions o = parse(with(R"("workload": "deepcam",
    "optimizer": {"name": "lamb", "beta1": 0.5, "beta2": 0.25, "epsilon": 0.125, "weight_decay": 0.0625, "largest_norm": 3},
    "schedule": {"by": "step", "rate": 0.75, "warmup_steps": 3, "cosine_steps": 9})"));
  EXPECT_EQ(
      o.recipe.rule,
      Rule(Lamb{.beta1 = 0.5F, .beta2 = 0.25F, .epsilon = 0.125F, .weight_decay = 0.0625F, .largest_norm = 3.0F}));
  EXPECT_EQ(o.recipe.schedule, Schedule(StepSchedule{.rate = 0.75, .warmup_steps = 3, .cosine_steps = 9}));
  expect_same_when_written(o);
}

TEST(ConfigAlternatives, OfResnetFillTheirOwnOptions) {
  const RunOptions o = parse(with(R"("workload": "resnet50",
    "model": {"extent": 96, "width": 0.5, "classes": 10, "least_area": 0.125, "most_area": 0.875, "least_aspect": 0.625,
              "most_aspect": 1.5, "plain_from_epoch": 85, "padding": "tensorflow", "pixels": "centred",
              "label_smoothing": 0.25, "smoothing": "other_classes", "norm_group": 2},
    "train": {"eval_every": 4, "eval_first": 3})"));
  EXPECT_EQ(o.recipe.model, ModelOptions(Resnet50Options{.extent = 96,
                                                         .width = 0.5,
                                                         .classes = 10,
                                                         .padding = PaddingStyle::tensorflow,
                                                         .pixels = PixelStyle::centred,
                                                         .label_smoothing = 0.25,
                                                         .smoothing = SmoothingStyle::other_classes,
                                                         .norm_group = 2,
                                                         .least_area = 0.125,
                                                         .most_area = 0.875,
                                                         .least_aspect = 0.625,
                                                         .most_aspect = 1.5,
                                                         .plain_from_epoch = 85}));
  EXPECT_EQ(o.train.eval_every, 4);
  EXPECT_EQ(o.train.eval_first, 3);
  expect_same_when_written(o);
}

TEST(ConfigAlternatives, HaveTheirLimits) {
  struct Limits {
    const char* choices;  // what makes the section have the key
    const char* pointer;
    std::vector<const char*> right, wrong;
  };
  const char* const deepcam = R"({"workload": "deepcam"})";
  const char* const resnet = R"({"workload": "resnet50"})";
  const char* const adam = R"({"optimizer": {"name": "adam"}})";
  const char* const lamb = R"({"optimizer": {"name": "lamb"}})";
  const char* const lars = R"({"optimizer": {"name": "lars"}})";
  const char* const step = R"({"schedule": {"by": "step"}})";
  const char* const polynomial = R"({"schedule": {"by": "polynomial"}})";
  const char* const tanh = R"({"schedule": {"by": "tanh"}})";
  const Limits cases[] = {
      {deepcam, "/model/rows", {"16", "16384"}, {"0", "8", "24", "16400"}},
      {deepcam, "/model/columns", {"16", "16384"}, {"0", "8", "24", "16400"}},
      {deepcam, "/model/width", {"1e-9", "16"}, {"0", "16.1"}},
      {deepcam, "/model/middle_blocks", {"0", "256"}, {"-1", "257"}},
      {deepcam, "/model/norm_group", {"1", "1048576"}, {"0", "1048577"}},
      {resnet, "/model/extent", {"32", "4096"}, {"31", "4097"}},
      {resnet, "/model/classes", {"2", "1048576"}, {"1", "1048577"}},
      {resnet, "/model/least_area", {"1e-9", "1"}, {"0", "1.1"}},
      {resnet, "/model/most_area", {"1e-9", "1"}, {"0", "1.1"}},
      {resnet, "/model/least_aspect", {"1e-9"}, {"0"}},
      {resnet, "/model/most_aspect", {"1e-9", "9"}, {"0"}},
      {resnet, "/model/plain_from_epoch", {"0"}, {"-1"}},
      {resnet, "/model/label_smoothing", {"0", "0.99"}, {"-0.1", "1"}},
      {resnet, "/train/eval_every", {"1", "7"}, {"0"}},
      {resnet, "/train/eval_first", {"0", "1"}, {"-1", "2"}},
      {adam, "/optimizer/beta1", {"0", "0.999"}, {"-0.1", "1"}},
      {adam, "/optimizer/beta2", {"0", "0.999"}, {"-0.1", "1"}},
      {adam, "/optimizer/epsilon", {"1e-30"}, {"0"}},
      {adam, "/optimizer/weight_decay", {"0"}, {"-1e-9"}},
      {lamb, "/optimizer/largest_norm", {"1e-30", "9"}, {"0"}},
      {lars, "/optimizer/momentum", {"0", "0.999"}, {"-0.1", "1"}},
      {lars, "/optimizer/eta", {"1e-30"}, {"0"}},
      {lars, "/optimizer/epsilon", {"0"}, {"-1e-9"}},
      {step, "/schedule/rate", {"1e-30"}, {"0"}},
      {step, "/schedule/warmup_steps", {"0", "2"}, {"-1"}},
      {step, "/schedule/warmup_factor", {"1", "8"}, {"0.9"}},
      {step, "/schedule/cosine_steps", {"0", "1"}, {"-1"}},
      {polynomial, "/schedule/rate", {"1e-30"}, {"0"}},
      {polynomial, "/schedule/warmup_steps", {"0", "1"}, {"-1"}},
      {polynomial, "/schedule/decay_steps", {"1"}, {"0"}},
      {polynomial, "/schedule/power", {"1e-30"}, {"0"}},
      {polynomial, "/schedule/end_rate", {"0"}, {"-1e-9"}},
      {tanh, "/schedule/decay_steps", {"1"}, {"0"}},
      {tanh, "/schedule/lower", {"-6", "2.9"}, {"3", "\"low\""}},
  };
  for (const Limits& limits : cases) {
    Json document = Json::parse("{" + data_section + "}");
    document.update(Json::parse(limits.choices));
    if (std::string_view(limits.pointer) == "/schedule/rate") document["schedule"]["end_rate"] = 0;
    if (limits.choices == step) document["schedule"].erase("end_rate");
    for (const char* value : limits.right) {
      document[Json::json_pointer(limits.pointer)] = Json::parse(value);
      EXPECT_EQ(complaints(document.dump()), "no error") << limits.pointer << " = " << value;
    }
    for (const char* value : limits.wrong) {
      document[Json::json_pointer(limits.pointer)] = Json::parse(value);
      const std::string message = complaints(document.dump());
      EXPECT_TRUE(message.starts_with("c.json:1: " + std::string(limits.pointer) + ": ")) << value << ": " << message;
    }
  }
}

TEST(ConfigValues, AreToldAllTheirLimits) {
  const std::pair<const char*, const char*> cases[] = {
      {R"("model": {"width": 17})", "/model/width: 17 is out of range (allowed: greater than 0, at most 16)"},
      {R"("model": {"extent": 1056})", "/model/extent: 1056 is out of range (allowed: multiples of 32, 32 to 1024)"},
      {R"("stage": {"reserve_percent": 100})",
       "/stage/reserve_percent: 100 is out of range (allowed: at least 0, less than 100)"},
      {R"("stage": {"wait_seconds": -0.5})", "/stage/wait_seconds: -0.5 is out of range (allowed: at least 0)"},
      {R"("schedule": {"decay": [{"epoch": 1, "factor": 2}]})",
       "/schedule/decay/0/factor: 2 is out of range (allowed: greater than 0, less than 1)"},
      {R"("name": "a b")",
       "/name: \"a b\" does not fit (allowed: up to 100 letters, digits, '.', '_' and '-', not starting with '.')"},
  };
  for (const auto& [keys, complaint] : cases)
    EXPECT_EQ(complaints(with(keys)), "c.json:1: " + std::string(complaint));
  EXPECT_EQ(parse(with(R"("stage": {"wait_seconds": 0})")).stage.wait_seconds, 0.0);
}

TEST(ConfigValues, ThatAreComputedWithInFp32AreStillThemselvesThere) {
  struct Case {
    const char *choices, *pointer;
    std::vector<const char*> right, wrong;
  };
  const char* const none = "{}";
  const char* const adam = R"({"optimizer": {"name": "adam"}})";
  const char* const lars = R"({"optimizer": {"name": "lars"}})";
  const char* const tanh = R"({"schedule": {"by": "tanh", "end_rate": 0}})";
  const char* const step = R"({"schedule": {"by": "step"}})";
  const char* const epoch = R"({"schedule": {"by": "epoch", "base_rate": 0}})";
  const Case cases[] = {
      {none, "/model/dropout", {"0", "0.9999999"}, {"0.99999999", "1e-46"}},
      {none, "/model/l2", {"0", "1e-45", "1e38"}, {"1e-46", "1.1e38", "1e308"}},
      {none, "/optimizer/weight_decay", {"0", "1e-45", "3.4e38"}, {"1e-46", "1e-300", "3.5e38", "1e308"}},
      {none, "/optimizer/momentum", {"0.9999999"}, {"0.99999999"}},
      {adam, "/optimizer/epsilon", {"1e-45", "3.4e38"}, {"1e-46", "3.5e38"}},
      {lars, "/optimizer/eta", {"1e-45", "3.4e38"}, {"1e-46", "3.5e38"}},
      {none, "/schedule/base_rate", {"0", "1e-45", "3.4e38"}, {"1e-46", "3.5e38"}},
      {epoch, "/schedule/peak_rate", {"1e-45", "3.4e38"}, {"1e-46", "3.5e38"}},
      {step, "/schedule/rate", {"1e-45", "3.4e38"}, {"1e-46", "3.5e38"}},
      {tanh, "/schedule/rate", {"1e-45", "3.4e38"}, {"1e-46", "3.5e38"}},
      {tanh, "/schedule/end_rate", {"0", "1e-45"}, {"1e-46"}},
      {tanh, "/schedule/upper", {"100"}, {"101", "1e308"}},
      {tanh, "/schedule/lower", {"-100"}, {"-101", "-1e308"}},
  };
  for (const Case& each : cases) {
    Json document = Json::parse("{" + data_section + "}");
    document.update(Json::parse(each.choices));
    for (const char* value : each.right) {
      document[Json::json_pointer(each.pointer)] = Json::parse(value);
      EXPECT_EQ(complaints(document.dump()), "no error") << each.pointer << " = " << value;
      const Json again = Json::parse(to_json(parse(document.dump())));
      EXPECT_TRUE(again[Json::json_pointer(each.pointer)].is_number()) << each.pointer << " = " << value;
    }
    for (const char* value : each.wrong) {
      document[Json::json_pointer(each.pointer)] = Json::parse(value);
      EXPECT_TRUE(complaints(document.dump()).starts_with("c.json:1: " + std::string(each.pointer) + ": "))
          << each.pointer << " = " << value;
    }
  }
  EXPECT_EQ(complaints(with(R"("optimizer": {"weight_decay": 1e308})")),
            "c.json:1: /optimizer/weight_decay: 1e308 is out of range in fp32 (allowed: at least 0)");
}

TEST(ConfigValues, OfRatesAreRatesInFp32AtTheBatchToo) {
  const auto of = [](const std::string& schedule, const std::string& train = R"("global_batch": 1)") {
    return complaints(with(R"("schedule": {)" + schedule + R"(}, "train": {)" + train + "}"));
  };
  EXPECT_EQ(of(R"("base_rate": 0, "peak_rate": 1e-40, "base_batch": 1000000)"),
            "c.json:1: /schedule/peak_rate: comes to 1e-46 at this batch, which is no rate in fp32 (nothing would be "
            "learnt); choose another, or another /schedule/base_batch");
  EXPECT_EQ(of(R"("base_rate": 0, "peak_rate": 1e-40, "base_batch": 1000)"), "no error");
  EXPECT_EQ(of(R"("peak_rate": 1e36, "base_batch": 1)", R"("global_batch": 1000)"),
            "c.json:1: /schedule/peak_rate: comes to 1e+39 at this batch, which is no rate in fp32 (the first update "
            "would be infinite); choose another, or another /schedule/base_batch");
  EXPECT_EQ(of(R"("peak_rate": 1e36, "base_batch": 1)", R"("global_batch": 100)"), "no error");
  expect_part(of(R"("by": "step", "rate": 1, "warmup_steps": 2, "warmup_factor": 1e40)"),
              "/schedule/rate: comes to 5e+39 at this batch");
}

TEST(ConfigValues, HoldNoNulWhichWouldCutAPathShort) {
  EXPECT_EQ(complaints(R"({"data": {"train": "t\u0000x", "validation": "v"}})"),
            "c.json:1: /data/train: holds a NUL character");
  EXPECT_EQ(complaints(with(R"("submission": {"org": "\u0000"})")), "c.json:1: /submission/org: holds a NUL character");
}

TEST(ConfigValues, OfStatisticsAreAPathToo) {
  const Lookup home = [](std::string_view name) -> std::optional<std::string> {
    return name == "HOME_OF_DATA" ? std::optional<std::string>("/big") : std::nullopt;
  };
  EXPECT_EQ(parse_config(R"({"data": {"train": "t", "validation": "v", "stats": "${HOME_OF_DATA}/stats.h5"}})",
                         "c.json", {}, home)
                .data.stats,
            "/big/stats.h5");
}

TEST(ConfigAlternatives, HaveOneHomeOfAKeyOfSeveralWorkloads) {
  EXPECT_EQ(complaints(with(R"("width": 1)")),
            "c.json:1: /width: unknown key (it would have no effect); did you mean /model/width?");
}

TEST(ConfigAlternatives, WantACosineOrBoundariesButNotBoth) {
  const auto of = [](const std::string& keys) {
    return complaints(with(R"("schedule": {"by": "step", )" + keys + "}"));
  };
  const std::string decay = R"("decay": [{"step": 5, "factor": 0.5}])";
  EXPECT_EQ(of(R"("cosine_steps": 9)"), "no error");
  EXPECT_EQ(of(decay), "no error");
  EXPECT_EQ(of(R"("cosine_steps": 9, )" + decay),
            "c.json:1: /schedule/cosine_steps: 9 steps of a cosine and 1 boundaries exclude each other; leave one of "
            "them out");
  EXPECT_EQ(of(R"("decay": [{"step": 5, "factor": 0.5}, {"step": 5, "factor": 0.25}])"),
            "c.json:1: /schedule/decay/1/step: 5 does not come after the boundary 5 before it; write boundaries in "
            "ascending order");
}

TEST(ConfigAlternatives, RefuseAWarmUpOfOneStepOnlyWhereItLeavesARateOfZero) {
  const auto of = [](const std::string& keys) {
    return complaints(with(R"("schedule": {"by": "step", )" + keys + "}"));
  };
  EXPECT_EQ(of(R"("warmup_steps": 1)"),
            "c.json:1: /schedule/warmup_steps: 1 leaves a rate of 0 (the warm-up ends one step short); use 0 for none, "
            "or 2 or more");
  EXPECT_EQ(of(R"("warmup_steps": 1, "warmup_factor": 2)"), "no error") << "it begins at the rate itself";
  EXPECT_EQ(of(R"("warmup_steps": 2)"), "no error");
  EXPECT_EQ(of(R"("warmup_steps": 0)"), "no error");
}

TEST(ConfigAlternatives, TakeARemainderOfSamplesWhereTheWorkloadDoesButNotLessThanABatch) {
  for (const char* workload : {"deepcam", "resnet50"}) {
    const auto of = [&](int samples) {
      return complaints(R"({"workload": ")" + std::string(workload) +
                        R"(", "data": {"train": "t", "validation": "v", "train_samples": )" + std::to_string(samples) +
                        R"(}, "train": {"global_batch": 64}})");
    };
    EXPECT_EQ(of(65), "no error") << workload;
    EXPECT_EQ(of(64), "no error") << workload;
    EXPECT_NE(of(63).find("/data/train_samples: 63 is not a multiple of /train/global_batch 64"), std::string::npos)
        << workload << ": an epoch would have no whole batch";
  }
}

TEST(ConfigAlternatives, RefuseTheClosedDivisionToCountsThatTheConfigNamesAndNotToThoseThatOnlyTheDatasetTells) {
  const auto of = [](int samples) {
    return complaints(R"({"data": {"train": "t", "validation": "v", "train_samples": )" + std::to_string(samples) +
                      R"(}, "submission": {"division": "closed"}})");
  };
  EXPECT_EQ(of(0), "no error");
  EXPECT_EQ(of(524288), "no error");
  EXPECT_EQ(of(1024),
            "c.json:1: /data/train_samples: 1024 is not what the closed division asks for: 524288; set "
            "/submission/division to \"open\"");
}

}  // namespace
}  // namespace trainmark
