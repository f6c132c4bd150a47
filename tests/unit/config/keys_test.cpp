// Every key: which option it fills, what is allowed there and what is not, and whether variables are expanded.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "config/nearest.hpp"
#include "support.hpp"

namespace trainmark {
namespace {

using Json = nlohmann::ordered_json;

/// A right document as a tree, with every key at a value of its own.
Json distinct() {
  return Json::parse(R"({"name": "n", "workload": "cosmoflow", "seed": 9007199254740993, "clear_cache": true,
    "data": {"train": "a", "validation": "b", "train_samples": 630, "validation_samples": 31, "stats": "s", "manifest": "ignore",
             "format": {"layout": "packed", "input": "c", "target": "d"}},
    "stage": {"strategy": "shard", "mode": "overlap", "form": "files", "inflate": false, "group": 2, "deal_seed": 3, "transport": "copy", "inflight_mib": 9, "target": "e", "reuse": false, "verify": "readback", "reserve_percent": 7.5, "wait_seconds": 7.25},
    "load": {"threads": 3, "prefetch": 9, "memory_mib": 11},
    "model": {"extent": 64, "width": 0.75, "kernel": 2, "dropout": 0.25, "l2": 0.125, "log_transform": false},
    "optimizer": {"name": "sgd", "momentum": 0.8, "momentum_correction": true, "weight_decay": 0.0625},
    "schedule": {"by": "epoch", "base_batch": 7, "batch_scaling": "root", "base_rate": 0.011, "peak_rate": 0.012, "warmup_epochs": 5, "decay": [{"epoch": 6, "factor": 0.6}, {"epoch": 8, "factor": 0.3}]},
    "train": {"global_batch": 21, "gradient_accumulation_steps": 7, "until": "steps", "epochs": 13, "steps": 14, "seconds": 15.5,
              "target": 0.16, "precision": "bf16", "loss_scaling": "on", "on_divergence": "continue", "eval_every": 1, "eval_first": 1, "eval_statistics": "local", "buckets": "listed",
              "norms_last": true, "wire": "bf16", "bucket_mib": 17.5, "bucket_ends": [{"tensors": 24}]},
    "backend": {"device": "cpu", "threads": 18, "overlap": "off", "deterministic": true, "autotune": true, "plan_cache": "f", "capture": false, "accept_known_faults": true, "nccl_alone": true, "emulated": {"like": "", "train_ms": 0.0, "eval_ms": 0.0}},
    "submission": {"division": "open", "org": "g", "platform": "h", "status": "cloud", "ruleset": "2.0.0", "generated_data": true},
    "results": {"folder": "i", "progress_seconds": 19},
    "watchdog": {"init_seconds": 20.5, "stage_seconds": 21.5, "step_seconds": 22.5}})");
}

TEST(ConfigKeys, EachFillsItsOwnOption) {
  const RunOptions o = parse(distinct().dump());
  EXPECT_EQ(std::tie(o.name, o.seed, o.clear_cache), std::make_tuple("n", 9007199254740993, true));
  EXPECT_EQ(std::tie(o.data.train, o.data.validation, o.data.train_samples, o.data.validation_samples),
            std::make_tuple("a", "b", 630, 31));
  EXPECT_EQ(o.data.stats, "s");
  EXPECT_EQ(o.data.manifest, ManifestBeside::ignored);
  EXPECT_EQ(std::tie(o.data.format.layout, o.data.format.input, o.data.format.target),
            std::make_tuple(DatasetLayout::packed, "c", "d"));
  EXPECT_EQ(std::tie(o.stage.strategy, o.stage.target, o.stage.reuse, o.stage.verify, o.stage.reserve_percent),
            std::make_tuple(Strategy::shard, "e", false, Verify::readback, 7.5));
  EXPECT_EQ(std::tie(o.stage.group, o.stage.deal_seed, o.stage.transport, o.stage.inflight_mib),
            std::make_tuple(2, 3, Transport::copy, 9));
  EXPECT_EQ(std::tie(o.load.threads, o.load.prefetch, o.load.memory_mib), std::make_tuple(3, 9, 11));
  const auto& model = std::get<CosmoflowOptions>(o.recipe.model);
  EXPECT_EQ(std::tie(model.extent, model.width, model.kernel, model.dropout, model.l2, model.log_transform),
            std::make_tuple(64, 0.75, 2, 0.25, 0.125, false));
  EXPECT_EQ(o.recipe.rule, Rule(SgdMomentum{.momentum = 0.8F, .weight_decay = 0.0625F, .momentum_correction = true}));
  const auto& schedule = std::get<PiecewiseSchedule>(o.recipe.schedule);
  EXPECT_EQ(std::tie(schedule.base_rate, schedule.peak_rate, schedule.warmup_epochs), std::make_tuple(0.011, 0.012, 5));
  EXPECT_EQ(schedule.decay, (std::vector<PiecewiseSchedule::Decay>{{6, 0.6}, {8, 0.3}}));
  EXPECT_EQ(o.recipe.scaling, (BatchScaling{BatchLaw::root, 7}));
  EXPECT_EQ(
      std::tie(o.train.global_batch, o.train.gradient_accumulation_steps, o.train.until, o.train.epochs, o.train.steps),
      std::make_tuple(21, 7, Until::steps, 13, 14));
  EXPECT_EQ(std::tie(o.train.seconds, o.train.target, o.train.precision, o.train.loss_scaling, o.train.on_divergence,
                     o.train.bucket_mib),
            std::make_tuple(15.5, 0.16, Precision::bf16, ScaleLoss::always, OnDivergence::proceed, 17.5));
  EXPECT_EQ(
      std::tie(o.backend.device, o.backend.threads, o.backend.overlap, o.backend.deterministic, o.backend.autotune,
               o.backend.plan_cache, o.backend.capture, o.backend.accept_known_faults, o.backend.nccl_alone),
      std::make_tuple(DeviceChoice::cpu, 18, Overlap::off, true, true, "f", false, true, true));
  EXPECT_EQ(std::tie(o.submission.division, o.submission.org, o.submission.platform, o.submission.status,
                     o.submission.ruleset, o.submission.generated_data),
            std::make_tuple(Division::open, "g", "h", Availability::cloud, Ruleset::v2_0_0, true));
  EXPECT_EQ(std::tie(o.results.folder, o.results.progress_seconds), std::make_tuple("i", 19));
  EXPECT_EQ(std::tie(o.watchdog.init_seconds, o.watchdog.stage_seconds, o.watchdog.step_seconds),
            std::make_tuple(20.5, 21.5, 22.5));
}

TEST(ConfigKeys, MayHoldAWordInsteadOfANumber) {
  const RunOptions o = parse("{" + data_section + R"(, "load": {"threads": "auto", "memory_mib": "auto"}})");
  EXPECT_EQ(o.load.threads, 0);
  EXPECT_EQ(o.load.memory_mib, LoadOptions::memory_auto);
  EXPECT_EQ(Json::parse(to_json(o)).at("load").at("threads"), "auto");
  EXPECT_EQ(Json::parse(to_json(o)).at("load").at("memory_mib"), "auto");
  EXPECT_EQ(parse(to_json(o)).load, o.load);
}

TEST(ConfigKeys, MayHoldABooleanForAWord) {
  for (const auto& [text, verify] : {std::pair{"false", Verify::none},
                                     {"true", Verify::copy},
                                     {"\"none\"", Verify::none},
                                     {"\"copy\"", Verify::copy},
                                     {"\"readback\"", Verify::readback}}) {
    const RunOptions o = parse("{" + data_section + R"(, "stage": {"verify": )" + text + "}}");
    EXPECT_EQ(o.stage.verify, verify) << text;
    EXPECT_EQ(Json::parse(to_json(o)).at("stage").at("verify"), word(verify));
  }
}

TEST(ConfigKeys, MayHoldOneStringOrSeveral) {
  const auto targets = [](const std::string& text) {
    const RunOptions o = parse("{" + data_section + R"(, "stage": {"target": )" + text + "}}");
    EXPECT_EQ(parse(to_json(o)).stage, o.stage);
    return std::pair(std::pair(o.stage.target, o.stage.other_targets),
                     Json::parse(to_json(o)).at("stage").at("target"));
  };
  using Others = std::vector<std::string>;
  EXPECT_EQ(targets(R"("a")"), std::pair(std::pair(std::string("a"), Others{}), Json("a")));
  EXPECT_EQ(targets(R"("")"), std::pair(std::pair(std::string(), Others{}), Json("")));
  EXPECT_EQ(targets(R"(["a"])"), std::pair(std::pair(std::string("a"), Others{}), Json("a")));
  EXPECT_EQ(targets(R"(["a", "b", "c"])"),
            std::pair(std::pair(std::string("a"), Others{"b", "c"}), Json({"a", "b", "c"})));
}

TEST(ConfigKeys, OfBucketsFillTheirOwnOptions) {
  const TrainOptions train = parse(distinct().dump()).train;
  EXPECT_EQ(train.buckets, Buckets::listed);
  EXPECT_TRUE(train.norms_last);
  EXPECT_EQ(train.wire, Wire::bf16);
  EXPECT_EQ(train.eval_statistics, EvaluationStatistics::local);
  EXPECT_EQ(train.bucket_ends, (std::vector<TrainOptions::BucketEnd>{{24}}));
}

TEST(ConfigKeys, OfLarsAndAPolynomialFillTheirOwnOptions) {
  const RunOptions o = parse("{" + data_section + R"(,
    "optimizer": {"name": "lars", "momentum": 0.75, "momentum_correction": true, "weight_decay": 0.5, "eta": 0.25,
                  "epsilon": 0.125, "form": "premultiplied"},
    "schedule": {"by": "polynomial", "rate": 13, "warmup_steps": 540, "decay_steps": 780, "power": 2.2,
                 "end_rate": 0.0325}})");
  EXPECT_EQ(o.recipe.rule, Rule(Lars{.momentum = 0.75F,
                                     .weight_decay = 0.5F,
                                     .momentum_correction = true,
                                     .eta = 0.25F,
                                     .epsilon = 0.125F,
                                     .form = LarsForm::premultiplied}));
  EXPECT_EQ(o.recipe.schedule,
            Schedule(PolynomialSchedule{
                .rate = 13.0, .warmup_steps = 540, .decay_steps = 780, .power = 2.2, .end_rate = 0.0325}));
  EXPECT_EQ(parse(to_json(o)).recipe.rule, o.recipe.rule);
  EXPECT_EQ(parse(to_json(o)).recipe.schedule, o.recipe.schedule);
}

TEST(ConfigKeys, OfATangentFillTheirOwnOptions) {
  const RunOptions o = parse("{" + data_section + R"(,
    "schedule": {"by": "tanh", "rate": 13, "warmup_steps": 540, "decay_steps": 780, "lower": -4, "upper": 2.5,
                 "end_rate": 0.0325}})");
  EXPECT_EQ(
      o.recipe.schedule,
      Schedule(TanhSchedule{
          .rate = 13.0, .warmup_steps = 540, .decay_steps = 780, .lower = -4.0, .upper = 2.5, .end_rate = 0.0325}));
  EXPECT_EQ(parse(to_json(o)).recipe.schedule, o.recipe.schedule);
}

TEST(ConfigKeys, OfAnEmulatedDeviceFillTheirOwnOptions) {
  const RunOptions o = parse("{" + data_section + R"(, "train": {"until": "steps"},
    "backend": {"device": "emulated", "emulated": {"train_ms": 3.5, "eval_ms": 1.25}}})");
  EXPECT_EQ(o.backend.emulated, (EmulatedDevice{.like = "", .train_ms = 3.5, .eval_ms = 1.25}));
  EXPECT_EQ(parse(to_json(o)).backend.emulated, o.backend.emulated);
  const RunOptions like = parse("{" + data_section + R"(, "train": {"until": "steps"},
    "backend": {"device": "emulated", "emulated": {"like": "h100"}}})");
  EXPECT_EQ(like.backend.emulated, (EmulatedDevice{.like = "h100"}));
}

TEST(ConfigKeys, AreAllHereAndWrittenBackAsTheyCame) {
  const Json document = distinct();
  EXPECT_EQ(Json::parse(to_json(parse(document.dump()))), document);
  EXPECT_EQ(Json::parse(to_json(parse("{" + data_section + "}"))).flatten().size(), document.flatten().size())
      << "a key is missing here";
}

TEST(ConfigKeys, HaveTheirLimits) {
  struct Limits {
    const char* pointer;
    std::vector<const char*> right, wrong;
  };
  const Limits cases[] = {
      {"/seed", {"0", "9223372036854775807"}, {"-1", "9223372036854775808"}},
      {"/data/train_samples", {"0", "21"}, {"-1", "0.5"}},
      {"/data/validation_samples", {"0", "1"}, {"-1"}},
      {"/stage/reserve_percent", {"0", "99.9"}, {"-0.1", "100"}},
      {"/load/threads", {"1", "1024"}, {"0", "1025"}},
      {"/load/prefetch", {"1", "4096"}, {"0", "4097"}},
      {"/load/memory_mib", {"0", "16777216"}, {"-1", "16777217"}},
      {"/model/extent", {"32", "1024"}, {"0", "16", "48", "1056", "-32"}},
      {"/model/width", {"1e-9", "16"}, {"0", "16.1", "-1"}},
      {"/model/kernel", {"2", "3"}, {"1", "4", "2.5"}},
      {"/model/dropout", {"0", "0.99"}, {"-0.01", "1"}},
      {"/model/l2", {"0", "5"}, {"-0.01"}},
      {"/optimizer/momentum", {"0", "0.999"}, {"-0.01", "1"}},
      {"/optimizer/weight_decay", {"0", "1e-4"}, {"-1e-4"}},
      {"/schedule/base_batch", {"1", "24"}, {"-1", "0.5"}},
      {"/schedule/base_rate", {"0", "1"}, {"-0.01"}},
      {"/schedule/peak_rate", {"1e-30", "1"}, {"0", "-1"}},
      {"/schedule/warmup_epochs", {"0", "2147483647"}, {"-1", "2147483648"}},
      {"/schedule/decay/0/epoch", {"0", "7"}, {"-1"}},
      {"/schedule/decay/0/factor", {"1e-9", "0.999"}, {"0", "1"}},
      {"/train/global_batch", {"7", "630"}, {"0", "-7", "1099511627777"}},
      {"/train/gradient_accumulation_steps", {"1", "21"}, {"0", "-1", "1048577"}},
      {"/train/epochs", {"1"}, {"0"}},
      {"/train/steps", {"1"}, {"0"}},
      {"/train/seconds", {"1e-9"}, {"0"}},
      {"/train/target", {"0", "1e-9"}, {"-1e-9"}},
      {"/train/bucket_mib", {"1e-9", "1048576"}, {"0", "1048577"}},
      {"/backend/threads", {"0", "4096"}, {"-1", "4097"}},
      {"/results/progress_seconds", {"1"}, {"0"}},
      {"/watchdog/init_seconds", {"1e-9"}, {"0"}},
      {"/watchdog/stage_seconds", {"1e-9"}, {"0"}},
      {"/watchdog/step_seconds", {"1e-9"}, {"0"}},
  };
  for (const Limits& limits : cases) {
    const Json::json_pointer place(limits.pointer);
    for (const char* value : limits.right) {
      Json document = distinct();
      document[place] = Json::parse(value);
      EXPECT_EQ(complaints(document.dump()), "no error") << limits.pointer << " = " << value;
    }
    for (const char* value : limits.wrong) {
      Json document = distinct();
      document[place] = Json::parse(value);
      const std::string message = complaints(document.dump());
      EXPECT_TRUE(message.starts_with("c.json:1: " + std::string(limits.pointer) + ": ")) << value << ": " << message;
    }
  }
}

/// The words that each key takes in this document.
const std::pair<const char*, std::vector<const char*>> words_of_keys[] = {
    {"/workload", {"cosmoflow"}},
    {"/data/manifest", {"require", "ignore"}},
    {"/data/format/layout", {"auto", "universe", "block", "packed"}},
    {"/stage/strategy", {"replicate", "shard", "group"}},  // none: only with mode before
    {"/stage/mode", {"before", "overlap"}},
    {"/stage/form", {"files"}},  // packed: only with mode before
    {"/optimizer/name", {"sgd"}},
    {"/schedule/batch_scaling", {"linear", "root"}},
    {"/train/until", {"target", "epochs", "steps", "seconds"}},
    {"/train/precision", {"fp32", "tf32", "bf16", "fp16"}},
    {"/train/loss_scaling", {"auto", "on"}},
    {"/train/on_divergence", {"stop", "continue"}},
    {"/train/wire", {"fp32", "bf16", "fp16"}},
    {"/backend/device", {"auto", "cpu", "cuda"}},  // emulated: only with times
    {"/backend/overlap", {"auto", "on", "off"}},
    {"/submission/division", {"open"}},  // closed: only with the reference's model
    {"/submission/status", {"onprem", "cloud", "preview", "research"}},
    {"/submission/ruleset", {"auto", "1.0.0", "2.0.0", "3.0.0"}},
};

TEST(ConfigKeys, TakeTheirWordsAndNoOthers) {
  for (const auto& [pointer, words] : words_of_keys) {
    Json document = distinct();
    for (const char* word : words) {
      document[Json::json_pointer(pointer)] = word;
      EXPECT_EQ(complaints(document.dump()), "no error") << pointer << " " << word;
    }
    for (const char* word : {"", "Auto", "something"}) {
      document[Json::json_pointer(pointer)] = word;
      EXPECT_TRUE(complaints(document.dump()).starts_with("c.json:1: " + std::string(pointer) + ": ")) << word;
    }
  }
}

TEST(ConfigKeys, AreToldTheWordNearestToAMisspeltOne) {
  for (const auto& [pointer, words] : words_of_keys) {
    Json document = distinct();
    for (const std::string word : words) {
      document[Json::json_pointer(pointer)] = word + "x";
      const std::string message = complaints(document.dump());
      EXPECT_TRUE(message.starts_with("c.json:1: " + std::string(pointer) + ": ")) << message;
      EXPECT_NE(message.find("did you mean \"" + word + "\"?"), std::string::npos) << message;
    }
  }
}

TEST(ConfigKeys, WriteTheWordsThatTheyRead) {
  for (const auto& [pointer, words] : words_of_keys) {
    Json document = distinct();
    for (const char* word : words) {
      document[Json::json_pointer(pointer)] = word;
      EXPECT_EQ(Json::parse(to_json(parse(document.dump())))[Json::json_pointer(pointer)], word) << pointer;
    }
  }
}

TEST(ConfigKeys, ArePathsOrNot) {
  const Lookup home = [](std::string_view name) -> std::optional<std::string> {
    if (name == "h0_Me") return "/home";
    return std::nullopt;
  };
  const auto read = [&home](const char* pointer, const char* value) {
    Json document = distinct();
    document[Json::json_pointer(pointer)] = value;
    return Json::parse(to_json(parse_config(document.dump(), "c.json", {}, home)))[Json::json_pointer(pointer)]
        .get<std::string>();
  };
  for (const char* pointer :
       {"/data/train", "/data/validation", "/stage/target", "/backend/plan_cache", "/results/folder"}) {
    EXPECT_EQ(read(pointer, "x${h0_Me}${other:-}${other:-:-y}z$ {}}"), "x/home:-yz$ {}}") << pointer;
    Json document = distinct();
    document[Json::json_pointer(pointer)] = "${other}";
    EXPECT_NE(complaints(document.dump()).find(std::string(pointer) + ": the environment variable other is not set"),
              std::string::npos);
  }
  for (const char* pointer : {"/data/format/input", "/data/format/target", "/submission/org", "/submission/platform"})
    EXPECT_EQ(read(pointer, "${h0_Me}"), "${h0_Me}") << pointer;
}

TEST(ConfigKeys, ThatAreRequiredMustNotBeEmpty) {
  for (const char* pointer : {"/data/train", "/data/validation", "/data/format/input", "/data/format/target",
                              "/submission/org", "/submission/platform", "/results/folder"}) {
    Json document = distinct();
    document[Json::json_pointer(pointer)] = "";
    EXPECT_EQ(complaints(document.dump()), "c.json:1: " + std::string(pointer) + ": must not be empty");
  }
  Json document = distinct();
  document["backend"]["plan_cache"] = "";
  EXPECT_EQ(complaints(document.dump()), "no error");
}

TEST(ConfigKeys, AllowThirtyTwoLevelsOfNesting) {
  const auto nested = [](int levels) {
    const auto count = static_cast<std::size_t>(levels - 1);
    return complaints("{\"x\": " + std::string(count, '[') + std::string(count, ']') + ", " + data_section + "}");
  };
  EXPECT_NE(nested(32).find("/x: unknown key"), std::string::npos);
  EXPECT_NE(nested(33).find("more than 32 levels of nesting"), std::string::npos);
}

TEST(ConfigNearest, NamesNothingThatIsFar) {
  EXPECT_EQ(config::nearest("val", {"train", "validation"}), "validation");
  EXPECT_EQ(config::nearest("va", {"validation"}), "");
  EXPECT_EQ(config::nearest("ab", {"xy"}), "") << "all letters differ";
  EXPECT_EQ(config::nearest("abcd", {"abxy"}), "abxy") << "two mistakes are near";
  EXPECT_EQ(config::nearest("abcde", {"abxyz"}), "") << "three are not in a short word";
  EXPECT_EQ(config::nearest("abcdefghi", {"abcdefxyz"}), "abcdefxyz") << "a third of a longer one is";
  EXPECT_EQ(config::nearest("abcdefghi", {"abcdewxyz"}), "");
  EXPECT_EQ(config::nearest("sead", {"speed", "seed"}), "seed") << "the nearest, not the first";
  EXPECT_EQ(config::nearest(std::string(64, 'a'), {std::string(63, 'a')}), std::string(63, 'a'));
  EXPECT_EQ(config::nearest(std::string(65, 'a'), {std::string(64, 'a')}), "");
}

}  // namespace
}  // namespace trainmark
