// What a right document becomes: values, defaults, overrides, expansion, and the way back to JSON.
#include <gtest/gtest.h>

#include "support.hpp"

namespace trainmark {
namespace {

const CosmoflowOptions& model_of(const RunOptions& options) { return std::get<CosmoflowOptions>(options.recipe.model); }
const PiecewiseSchedule& schedule_of(const RunOptions& options) {
  return std::get<PiecewiseSchedule>(options.recipe.schedule);
}

TEST(Config, TakesDefaultsFromTheStructs) {
  const RunOptions options = parse("{" + data_section + "}");
  EXPECT_EQ(options.data.train, "t");
  EXPECT_EQ(options.train, TrainOptions{});
  EXPECT_EQ(options.recipe, Recipe{});
}

TEST(Config, ReadsEveryKindOfValue) {
  const RunOptions options = parse(with(R"("name": "a.b-c_1", "seed": 9223372036854775807, "clear_cache": true,
      "model": {"width": 0.25, "extent": 64, "kernel": 2}, "train": {"global_batch": 1e3, "seconds": 5},
      "schedule": {"decay": [{"epoch": 3, "factor": 0.5}]})"));
  EXPECT_EQ(options.name, "a.b-c_1");
  EXPECT_EQ(options.seed, 9223372036854775807);
  EXPECT_TRUE(options.clear_cache);
  EXPECT_EQ(model_of(options).width, 0.25);
  EXPECT_EQ(model_of(options).extent, 64);
  EXPECT_EQ(options.train.global_batch, 1000);
  EXPECT_EQ(options.train.seconds, 5.0);
  ASSERT_EQ(schedule_of(options).decay.size(), 1U);
  EXPECT_EQ(schedule_of(options).decay[0], (PiecewiseSchedule::Decay{3, 0.5}));
}

TEST(Config, WholeNumbersKeepTheirDigits) {
  const std::pair<const char*, std::int64_t> cases[] = {
      {"9007199254740993", 9007199254740993},
      {"9007199254740993.0", 9007199254740993},
      {"9.007199254740993e15", 9007199254740993},
      {"900719925474099300e-2", 9007199254740993},
      {"9223372036854775807", 9223372036854775807},
      {"9223372036854775807.000", 9223372036854775807},
      {"9.223372036854775807e18", 9223372036854775807},
      {"1e18", 1000000000000000000},
      {"1E+3", 1000},
      {"0", 0},
      {"-0", 0},
      {"-0.0", 0},
      {"0e99999999999999999999", 0},
      {"0.000", 0},
      {"120e-1", 12},
  };
  for (const auto& [text, value] : cases) {
    EXPECT_EQ(parse(with("\"seed\": " + std::string(text))).seed, value) << text;
    const RunOptions options = parse("{" + data_section + "}", {"seed=" + std::string(text)});
    EXPECT_EQ(options.seed, value) << text;
    EXPECT_EQ(parse(to_json(options)).seed, value) << text;
    EXPECT_NE(to_json(options).find("\"seed\": " + std::to_string(value) + ","), std::string::npos) << text;
  }
  EXPECT_EQ(parse(with(R"("watchdog": {"step_seconds": 9007199254740993})")).watchdog.step_seconds, 9007199254740992.0);
}

TEST(Config, AnEmptyDecayListReplacesTheDefault) {
  EXPECT_TRUE(schedule_of(parse(with(R"("schedule": {"decay": []})"))).decay.empty());
}

TEST(Config, AllowsCommentsAndTheKeyOfEditors) {
  const RunOptions options = parse("// first\n{\"$schema\": \"x\", /* two\nlines */ " + data_section + " // last\n}");
  EXPECT_EQ(options.data.validation, "v");
}

TEST(Config, OverridesWinOverTheFile) {
  const RunOptions options =
      parse(with(R"("train": {"until": "epochs", "global_batch": 8})"),
            {"train.until=steps", "train.global_batch=32", "/model/width=0.5", "clear_cache=true"});
  EXPECT_EQ(options.train.until, Until::steps);
  EXPECT_EQ(options.train.global_batch, 32);
  EXPECT_EQ(model_of(options).width, 0.5);
  EXPECT_TRUE(options.clear_cache);
}

TEST(Config, OverridesCanSupplyWhatIsRequired) {
  EXPECT_EQ(parse("{}", {"data.train=a=b", "data.validation=v"}).data.train, "a=b");
}

TEST(Config, OverridesOfTextNeedNoQuotes) {
  EXPECT_EQ(parse(with(R"("seed": 1)"), {"name=42"}).name, "42");
  EXPECT_EQ(parse(with(R"("seed": 1)"), {"name=\"42\""}).name, "42");
  EXPECT_EQ(parse(with(R"("seed": 1)"), {"submission.org=1e3"}).submission.org, "1e3");
}

TEST(Config, OverridesReachIntoLists) {
  const RunOptions options =
      parse(with(R"("schedule": {"decay": [{"epoch": 3, "factor": 0.5}]})"), {"schedule.decay.0.epoch=7"});
  EXPECT_EQ(schedule_of(options).decay[0].epoch, 7);
  const RunOptions whole = parse("{" + data_section + "}", {R"(schedule.decay=[{"epoch": 1, "factor": 0.1}])"});
  EXPECT_EQ(schedule_of(whole).decay.size(), 1U);
}

TEST(Config, TheLastOfTwoOverridesWins) { EXPECT_EQ(parse(with(R"("seed": 1)"), {"seed=2", "seed=3"}).seed, 3); }

TEST(Config, ExpandsVariablesInPathKeysOnly) {
  const Lookup lookup = [](std::string_view name) -> std::optional<std::string> {
    if (name == "ROOT") return "/big";
    if (name == "EMPTY") return "";
    return std::nullopt;
  };
  const RunOptions options = parse_config(
      R"({"data": {"train": "${ROOT}/${SET:-x}/t", "validation": "${EMPTY:-e}$v"},
          "submission": {"platform": "${ROOT}"}, "stage": {"target": "${SCRATCH:-}"},
          "results": {"folder": "${ROOT:-ignored}"}})",
      "c.json", {}, lookup);
  EXPECT_EQ(options.data.train, "/big/x/t");
  EXPECT_EQ(options.data.validation, "e$v");
  EXPECT_EQ(options.submission.platform, "${ROOT}");
  EXPECT_EQ(options.stage.target, "");
  EXPECT_EQ(options.results.folder, "/big");
}

TEST(Config, TheResolvedFormParsesToTheSameOptions) {
  const RunOptions options = parse(with(R"("name": "round", "seed": 7, "stage": {"strategy": "shard", "target": "n"},
      "model": {"width": 0.1, "l2": 1e-7}, "schedule": {"base_rate": 0.3333333333333333, "decay": [{"epoch": 1, "factor": 0.7}]},
      "backend": {"threads": 3}, "submission": {"org": "ä \" \\ \n"}, "watchdog": {"step_seconds": 0.5})"));
  const std::string text = to_json(options);
  const RunOptions again = parse(text);
  EXPECT_EQ(to_json(again), text);
  EXPECT_EQ(again.recipe, options.recipe);
  EXPECT_EQ(again.submission, options.submission);
}

TEST(Config, TheResolvedFormNamesEveryDefault) {
  const std::string text = to_json(parse("{" + data_section + "}"));
  for (const char* key :
       {"\"layout\"", "\"reserve_percent\"", "\"bucket_mib\"", "\"warmup_epochs\"", "\"stage_seconds\""})
    EXPECT_NE(text.find(key), std::string::npos) << key;
}

}  // namespace
}  // namespace trainmark
