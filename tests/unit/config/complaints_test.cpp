// What is said of a wrong document: where it stands, what is wrong, what was probably meant, and all of it at once.
#include <gtest/gtest.h>

#include <algorithm>

#include "support.hpp"

namespace trainmark {
namespace {

/// Of a document whose section begins as `opened` says and ends with the keys that are given.
auto complaints_of(const std::string& opened) {
  return [opened](const std::string& keys) { return complaints(with(opened + keys + "}")); };
}

TEST(ConfigComplaints, SuggestTheNearestKey) {
  expect_only(complaints("{" + data_section + ",\n\"train\": {\n\"global_bach\": 4}}"),
              "c.json:3: /train/global_bach: unknown key (it would have no effect); did you mean /train/global_batch?");
  expect_part(complaints(with(R"("shcedule": {})")), "did you mean /schedule?");
}

TEST(ConfigComplaints, FindTheHomeOfAKeyInTheWrongSection) {
  expect_part(complaints(with(R"("global_batch": 4)")),
              "/global_batch: unknown key (it would have no effect); did you mean "
              "/train/global_batch?");
}

TEST(ConfigComplaints, NameAllHomesOfAKeyThatSeveralSectionsHave) {
  expect_only(complaints(with(R"("target": 4)")),
              "c.json:1: /target: unknown key (it would have no effect); did you mean /data/format/target or "
              "/stage/target or /train/target?");
}

TEST(ConfigComplaints, DoNotFollowFromOthers) {
  const auto of = [](const std::string& train) {
    return complaints(R"({"data": {"train": "t", "validation": "v", "train_samples": 100}, )" + train + "}");
  };
  expect_part(of(R"("train": {"global_batch": 64})"), "100 is not a multiple of /train/global_batch 64");
  // None of these says what the batch was to be, so nothing can be said of the samples.
  for (const char* train : {R"("train": 3)", R"("trian": {"global_batch": 50})", R"("train": {"global_bach": 50})",
                            R"("train": {"global_batch": "50"})", R"("global_batch": 50)"}) {
    const std::string message = of(train);
    EXPECT_EQ(lines(message), 1) << message;
    EXPECT_EQ(message.find("multiple"), std::string::npos) << message;
  }
  const auto closed = [](const std::string& until) {
    return complaints(with(R"("submission": {"division": "closed"}, "train": {"target": 0.5, )" + until + "}"));
  };
  expect_part(closed(R"("until": "target")"), "/train/target: 0.5 is not what the closed division asks for");
  EXPECT_EQ(lines(closed(R"("until": "epoch")")), 1);
}

TEST(ConfigComplaints, ListTheKeysWhereNoneIsNear) {
  expect_part(complaints(with(R"("load": {"qqqqqq": 4})")), "allowed here: threads, prefetch");
  expect_part(complaints(with(R"("qqqqqq": 4)")), "allowed here: name, workload, seed, clear_cache, data, stage");
}

TEST(ConfigComplaints, NameBothLinesOfADuplicateKey) {
  expect_only(complaints("{\n\"seed\": 1,\n" + data_section + ",\n\n\"seed\": 2}"),
              "c.json:5: /seed: duplicate key, first written in line 2 (one of the two would be ignored); remove one");
  expect_part(complaints("{" + data_section + R"(, "schedule": {"decay": [{"epoch": 1, "epoch": 2, "factor": 0.1}]}})"),
              "/schedule/decay/0/epoch: duplicate key");
}

TEST(ConfigComplaints, NameWrongTypesWithTheirLine) {
  expect_only(complaints("{" + data_section + ",\n\"seed\":\n\n\"7\"}"),
              "c.json:4: /seed: must be a whole number, not \"7\" (a string) (allowed: at least 0)");
  expect_part(complaints(with(R"("clear_cache": 1)")), "/clear_cache: must be true or false, not 1");
  expect_part(complaints(with(R"("name": null)")), "/name: must be a string, not null");
  expect_part(complaints(with(R"("model": {"width": "a"})")), "/model/width: must be a number, not \"a\"");
  expect_part(complaints(with(R"("model": 3)")), "/model: must be an object {...}, not 3");
  expect_part(complaints(with(R"("schedule": {"decay": {}})")),
              "/schedule/decay: must be an array [...], not an object");
  expect_part(complaints(with(R"("schedule": {"decay": [1]})")), "/schedule/decay/0: must be an object {...}, not 1");
  expect_part(complaints(with(R"("seed": 1.5)")), "/seed: must be a whole number, not 1.5");
  expect_part(complaints("[]"), "must be an object {...}, not an array");
}

TEST(ConfigComplaints, CountTheLineOfANumberAtTheEndOfItsLine) {
  expect_part(complaints("{" + data_section + ",\n\"seed\": -1\n}"), "c.json:2: /seed: -1 is out of range");
}

TEST(ConfigComplaints, NameWhatIsAllowedWhereANumberIsOutOfRange) {
  expect_only(complaints(with(R"("train": {"global_batch": -4})")),
              "c.json:1: /train/global_batch: -4 is out of range (allowed: 1 to 1099511627776)");
  expect_part(complaints(with(R"("model": {"extent": 100})")), "/model/extent: 100 is not a multiple of 32");
  expect_part(complaints(with(R"("model": {"kernel": 4})")), "/model/kernel: 4 is out of range (allowed: 2, 3)");
  expect_part(complaints(with(R"("model": {"dropout": 1})")),
              "/model/dropout: 1 is out of range (allowed: at least 0, less than 1)");
  expect_part(complaints(with(R"("load": {"threads": 99999999999})")), "/load/threads: 99999999999 is out of range");
  expect_part(complaints(with(R"("load": {"threads": "many"})")),
              R"(/load/threads: must be a whole number, not "many" (a string) (allowed: 1 to 1024, or "auto"))");
  expect_part(complaints(with(R"("load": {"threads": 0})")), R"(0 is out of range (allowed: 1 to 1024, or "auto"))");
  expect_part(complaints(with(R"("model": {"width": 1e999})")),
              "not JSON: the number 1e999 is too large (at most 1.8e308)");
}

TEST(ConfigComplaints, RepeatNumbersAsTheyWereWritten) {
  for (const char* number :
       {"9223372036854775808", "-9223372036854775809", "18446744073709551616", "1e19", "9.3e18", "1e99"})
    expect_part(complaints(with("\"seed\": " + std::string(number))),
                "/seed: " + std::string(number) + " is out of range (allowed: at least 0" +
                    (number[0] == '-' ? ")" : ", at most 9223372036854775807)"));
  expect_part(complaints(with("\"seed\": -9223372036854775808")), "/seed: -9223372036854775808 is out of range");
  for (const char* number : {"0.99999999999999999999999", "1e-99999999999999999999", "4.00000000000000000001", "1e-400",
                             "1234567890123456789.5", "-0.5"}) {
    expect_part(complaints(with("\"seed\": " + std::string(number))),
                "/seed: must be a whole number, not " + std::string(number));
    expect_part(complaints("{" + data_section + "}", {"seed=" + std::string(number)}),
                "/seed: must be a whole number, not " + std::string(number));
  }
  expect_part(complaints(with(R"("load": {"threads": 2147483648})")),
              R"(/load/threads: 2147483648 is out of range (allowed: 1 to 1024, or "auto"))");
  expect_part(complaints(with(R"("schedule": {"warmup_epochs": 2147483648})")),
              "/schedule/warmup_epochs: 2147483648 is out of range (allowed: at least 0, at most 2147483647)");
}

TEST(ConfigComplaints, SuggestTheNearestWord) {
  expect_only(complaints(with(R"("train": {"until": "epoch"})")),
              "c.json:1: /train/until: \"epoch\" is not known (allowed: target, epochs, steps, seconds; did you mean "
              "\"epochs\"?)");
  expect_part(complaints(with(R"("submission": {"ruleset": "5.0.0"})")), "allowed: auto, 1.0.0, 2.0.0, 3.0.0, 4.0.0");
  expect_part(complaints(with(R"("submission": {"ruleset": "4.0.0"})")), "4.0.0 are no rules of cosmoflow");
}

TEST(ConfigComplaints, RefuseNamesThatAreNoFolder) {
  for (const char* name : {"a/b", "", "..", ".hidden", "a b"})
    expect_part(complaints(with("\"name\": \"" + std::string(name) + "\"")), "/name: ");
}

TEST(ConfigComplaints, RefuseNamesTooLongForAFolder) {
  expect_part(complaints(with("\"name\": \"" + std::string(100000, 'a') + "\"")), "has 100000 characters");
  expect_part(complaints(with("\"name\": \"" + std::string(101, 'a') + "\"")), "has 101 characters");
  EXPECT_EQ(complaints(with("\"name\": \"" + std::string(100, 'a') + "\"")), "no error");
}

TEST(ConfigComplaints, NameWhatIsMissing) {
  const std::string message = complaints("{\n\"data\": {\n\"train_samples\": 0}}");
  expect_part(message, "c.json:2: /data/train: is missing");
  expect_part(message, "c.json:2: /data/validation: is missing");
  expect_part(complaints("{}"), "c.json:1: /data/train: is missing");
  expect_part(complaints(R"({"data": {"train": "", "validation": "v"}})"), "/data/train: must not be empty");
  expect_part(complaints(with(R"("schedule": {"decay": [{"epoch": 1}]})")), "/schedule/decay/0/factor: is missing");
  expect_part(complaints(with("\"schedule\": {\"decay\": [{\"epoch\": 1, \"factor\": 0.5},\n{\"epoch\": 2}]}")),
              "c.json:2: /schedule/decay/1/factor: is missing");
}

TEST(ConfigComplaints, TellHowToSetAVariable) {
  expect_part(
      complaints(R"({"data": {"train": "${NOT_SET}/t", "validation": "v"}})"),
      "/data/train: the environment variable NOT_SET is not set and ${NOT_SET} has no default; export NOT_SET, or "
      "write ${NOT_SET:-default}");
  expect_part(complaints(R"({"data": {"train": "${A", "validation": "v"}})"), "no closing brace");
  expect_part(complaints(R"({"data": {"train": "${1-}", "validation": "v"}})"), "does not name a variable");
  expect_part(complaints(R"({"data": {"train": "${1a}", "validation": "v"}})"), "does not name a variable");
  expect_part(complaints(R"({"data": {"train": "${X:-${NO}b", "validation": "v"}})"), "after it was expanded");
}

TEST(ConfigComplaints, SeeImpossibleCombinations) {
  expect_part(complaints(with(R"("stage": {"strategy": "shard"})")),
              "/stage/target: is missing, /stage/strategy shard needs it");
  expect_only(
      complaints(R"({"data": {"train": "train", "validation": "v"}, "stage": {"strategy": "shard"}})"),
      "c.json:1: /stage/target: is missing, /stage/strategy shard needs it; name a folder on node-local storage");
  expect_part(complaints(with(R"("stage": {"strategy": "replicate", "target": "x/../t/"})")), "is the source itself");
  expect_part(complaints(with(R"("schedule": {"decay": [{"epoch": 5, "factor": 0.5},
      {"epoch": 5, "factor": 0.25}]})")),
              "c.json:2: /schedule/decay/1/epoch: 5 does not come after the boundary 5");
  expect_part(complaints(with(R"("schedule": {"decay": [{"epoch": 5, "factor": 1}]})")), "greater than 0, less than 1");
  expect_part(
      complaints(R"({"data": {"train": "t", "validation": "v", "train_samples": 100}, "train": {"global_batch": 64}})"),
      "/data/train_samples: 100 is not a multiple of /train/global_batch 64");
}

TEST(ConfigComplaints, NameTheNumberOfSamplesThatWouldFit) {
  const auto of = [](int samples) {
    return complaints(R"({"data": {"train": "t", "validation": "v", "train_samples": )" + std::to_string(samples) +
                      R"(}, "train": {"global_batch": 64}})");
  };
  expect_part(of(100), "in whole batches); use 64");
  expect_part(of(10), "in whole batches); use 64");
  expect_part(of(200), "in whole batches); use 192");
  EXPECT_EQ(of(128), "no error");
}

TEST(ConfigComplaints, WantBoundariesInAscendingOrder) {
  const auto of = [](int first, int second) {
    return complaints(with(R"("schedule": {"decay": [{"epoch": )" + std::to_string(first) +
                           R"(, "factor": 0.5}, {"epoch": )" + std::to_string(second) + R"(, "factor": 0.25}]})"));
  };
  EXPECT_EQ(of(4, 5), "no error");
  expect_part(of(5, 4), "/schedule/decay/1/epoch: 4 does not come after the boundary 5 before it");
}

TEST(ConfigComplaints, WantListedBucketsToEndInAscendingOrderAndOthersWithoutAList) {
  const auto of = complaints_of(R"("train": {)");
  EXPECT_EQ(of(R"("buckets": "listed", "bucket_ends": [{"tensors": 3}, {"tensors": 24}])"), "no error");
  EXPECT_EQ(of(R"("buckets": "cubic", "norms_last": true)"), "no error");
  expect_part(of(R"("buckets": "listed", "bucket_ends": [{"tensors": 24}, {"tensors": 24}])"),
              "/train/bucket_ends/1/tensors: 24 does not come after the end 24 before it");
  expect_part(of(R"("buckets": "listed")"), "/train/bucket_ends: is missing, /train/buckets listed needs it");
  expect_part(of(R"("buckets": "cubic", "bucket_ends": [{"tensors": 3}])"),
              "/train/bucket_ends: has 1 ends, of which /train/buckets cubic takes no notice");
  expect_part(of(R"("buckets": "qubic")"), "cubic");
}

TEST(ConfigComplaints, WantAPolynomialToFallOverSomeStepsToARateBelow) {
  const auto of = complaints_of(R"("schedule": {"by": "polynomial", "rate": 2, )");
  EXPECT_EQ(of(R"("end_rate": 2)"), "no error");
  expect_part(of(R"("end_rate": 2.5)"), "/schedule/end_rate: 2.5 is above /schedule/rate 2 (the rate falls");
  expect_part(of(R"("decay_steps": 0)"), "/schedule/decay_steps: 0 is out of range");
  expect_part(of(R"("power": 0)"), "/schedule/power: 0 is out of range");
}

TEST(ConfigComplaints, WantABatchToScaleRatesFrom) {
  const auto of = complaints_of(R"("schedule": {"by": "polynomial", "rate": 2, )");
  EXPECT_EQ(of(R"("batch_scaling": "root", "base_batch": 256)"), "no error");
  expect_part(of(R"("batch_scaling": "root")"),
              "/schedule/batch_scaling: root has no effect without /schedule/base_batch");
  // The global batch is 64: a quarter of the base leaves a rate of 0.5.
  EXPECT_EQ(of(R"("base_batch": 256, "end_rate": 0.5)"), "no error");
  expect_part(of(R"("base_batch": 256, "end_rate": 1)"),
              "/schedule/end_rate: 1 is above /schedule/rate 0.5, as it is at this batch");
}

TEST(ConfigComplaints, WantAWarmUpToRiseAtTheRunsBatch) {
  const auto of = complaints_of(R"("schedule": {"base_batch": 256, )");
  EXPECT_EQ(of(R"("base_rate": 0.001, "peak_rate": 0.008)"), "no error");
  EXPECT_EQ(of(R"("base_rate": 0.001, "peak_rate": 0.002, "warmup_epochs": 0)"), "no error");
  expect_part(of(R"("base_rate": 0.001, "peak_rate": 0.002)"),
              "/schedule/base_rate: 0.001 is above /schedule/peak_rate 0.0005, as it is at this batch");
}

TEST(ConfigComplaints, TakeNoOtherWordForANumberAndNotTheNumberThatTheWordStandsFor) {
  expect_part(complaints(with(R"("load": {"memory_mib": "all"})")),
              R"(/load/memory_mib: must be a whole number, not "all" (a string) (allowed: 0 to 16777216, or "auto"))");
  expect_part(complaints(with(R"("load": {"memory_mib": -1})")), "/load/memory_mib: -1 is out of range");
}

TEST(ConfigComplaints, WantATangentToFall) {
  const auto of = complaints_of(R"("schedule": {"by": "tanh", "rate": 2, )");
  EXPECT_EQ(of(R"("lower": -1, "upper": 1, "end_rate": 2)"), "no error");
  expect_part(of(R"("end_rate": 2.5)"), "/schedule/end_rate: 2.5 is above /schedule/rate 2 (the rate falls");
  expect_part(of(R"("lower": 4)"), "/schedule/lower: 4 is not below /schedule/upper 3 (the rate would not fall)");
}

TEST(ConfigComplaints, WantLarsToHaveAForm) {
  const auto of = complaints_of(R"("optimizer": {"name": "lars", )");
  EXPECT_EQ(of(R"("form": "reference", "epsilon": 0)"), "no error");
  expect_part(of(R"("form": "mxnet")"), "/optimizer/form");
  expect_part(of(R"("eta": 0)"), "/optimizer/eta: 0 is out of range");
}

TEST(ConfigComplaints, RefuseTheClosedDivisionToOtherRulesOfUpdateAndTargets) {
  const auto of = [](const std::string& more) {
    return complaints(with(R"("submission": {"division": "closed"}, )" + more));
  };
  expect_only(of(R"("optimizer": {"momentum": 0.8})"),
              "c.json:1: /optimizer/momentum: 0.8 is not what the closed division asks for: 0.9; set "
              "/submission/division to \"open\"");
  expect_only(of(R"("train": {"target": 0.2})"),
              "c.json:1: /train/target: 0.2 is not what the closed division asks for: 0.124; set "
              "/submission/division to \"open\"");
  EXPECT_EQ(of(R"("train": {"target": 0.2, "until": "epochs"})"), "no error");
  EXPECT_EQ(complaints(with(R"("optimizer": {"momentum": 0.8})")), "no error");
}

TEST(ConfigComplaints, RefuseTheClosedDivisionToOtherEpochsOfEvaluation) {
  const auto of =
      [](const std::string& train) {
        return complaints(with(R"("workload": "resnet50", "optimizer": {"weight_decay": 0.0001},
      "schedule": {"by": "polynomial", "rate": 0.5, "end_rate": 0.0001}, "submission": {"division": "closed"},
      "train": {)" + train + "}"));
      };
  for (const char* first : {"0", "1", "2", "3", "4"})
    EXPECT_EQ(of(R"("eval_every": 4, "eval_first": )" + std::string(first)), "no error") << "any offset";
  expect_part(
      of(R"("eval_every": 2)"),
      "/train/eval_every: 2 is not what the closed division asks for: 4 epochs from one evaluation to the next; "
      "set /submission/division to \"open\"");
  expect_part(of(R"("epochs": 8)"), "/train/eval_every: 1 is not what the closed division asks for");
}

TEST(ConfigComplaints, NamePartsThatDoNotDivideABatch) {
  expect_part(complaints(with(R"("train": {"global_batch": 64, "gradient_accumulation_steps": 3})")),
              "/train/gradient_accumulation_steps: 3 parts do not divide /train/global_batch 64");
  EXPECT_EQ(complaints(with(R"("train": {"global_batch": 64, "gradient_accumulation_steps": 4})")), "no error");
  expect_only(complaints(with(R"("train": {"global_batch": "64", "gradient_accumulation_steps": 3})")),
              "c.json:1: /train/global_batch: must be a whole number, not \"64\" (a string) (allowed: 1 to "
              "1099511627776)");
}

TEST(ConfigComplaints, SayWhatDoesNotGoWithStagingBesideTraining) {
  const std::string beside = R"("stage": {"mode": "overlap", "target": "local", "strategy": )";
  expect_part(complaints(with(beside + R"("none"})")), "/stage/mode: \"overlap\" has no effect");
  expect_part(complaints(with(beside + R"("shard", "transport": "exchange"})")),
              "/stage/transport: \"exchange\" does not go with /stage/mode \"overlap\"");
  for (const char* transport : {"auto", "copy"})
    EXPECT_EQ(complaints(with(beside + R"("shard", "transport": ")" + transport + "\"}")), "no error");
}

TEST(ConfigComplaints, SayWhatDoesNotGoWithInflatedCopies) {
  const std::string inflated = R"("stage": {"inflate": true, "target": "local", "strategy": )";
  expect_part(complaints(with(inflated + R"("none"})")), "/stage/inflate: has no effect with /stage/strategy none");
  expect_part(complaints(with(inflated + R"("shard", "mode": "overlap"})")),
              "/stage/inflate: does not go with /stage/mode \"overlap\"");
  expect_part(complaints(with(inflated + R"("replicate", "transport": "exchange"})")),
              "/stage/transport: \"exchange\" does not go with /stage/inflate");
  for (const char* more : {R"("replicate")", R"("shard", "form": "packed")", R"("group", "transport": "copy")"})
    EXPECT_EQ(complaints(with(inflated + more + "}")), "no error");
}

TEST(ConfigComplaints, SayWhatDoesNotGoWithContainers) {
  const std::string packed = R"("stage": {"form": "packed", "target": "local", "strategy": )";
  expect_part(complaints(with(packed + R"("none"})")), "/stage/form: \"packed\" has no effect");
  expect_part(complaints(with(packed + R"("shard", "mode": "overlap"})")),
              "/stage/form: \"packed\" does not go with /stage/mode \"overlap\"");
  expect_part(complaints(with(packed + R"("shard", "verify": "readback"})")),
              "/stage/verify: \"readback\" does not go with /stage/form \"packed\"");
  for (const char* strategy : {"replicate", "shard", "group"})
    EXPECT_EQ(complaints(with(packed + '"' + strategy + "\"}")), "no error");
}

TEST(ConfigComplaints, AreAboutEachOfSeveralTargets) {
  const auto of = [](const std::string& target) {
    return complaints(with(R"("stage": {"strategy": "replicate", "target": )" + target + "}"));
  };
  EXPECT_EQ(of(R"(["/dev/shm/a", "/local/a"])"), "no error");
  expect_part(of("[]"), "/stage/target: must not be an empty list");
  expect_part(of(R"(["a", ""])"), "/stage/target: element 1: must not be empty");
  expect_part(of(R"(["a", 3])"), "/stage/target: element 1: must be a string, not 3");
  expect_part(of(R"(["a", "b", "b/../a"])"), "/stage/target: names \"b/../a\" twice");
  expect_part(of(R"(["a", "t"])"), "/stage/target: \"t\" is the source itself");
  expect_part(complaints(with(R"("stage": {"verify": "twice"})")),
              "/stage/verify: \"twice\" is not known (allowed: none, copy, readback, false, true");
}

TEST(ConfigComplaints, RefuseToStageIntoTheSource) {
  const auto staged = [](const std::string& train, const std::string& target) {
    return complaints(R"({"data": {"train": ")" + train +
                      R"(", "validation": "v"}, "stage": {"strategy": "replicate", "target": ")" + target + "\"}}");
  };
  expect_part(staged("data/train", "data"), "/stage/target: \"data/train\" is the source itself");
  expect_part(staged("data/train", "data/./train/copy"), "lies within \"data/train\"");
  expect_part(staged("data/validation", "data"), "\"data/validation\" is where the validation samples are staged to");
  expect_part(staged("data/validation/old", "data"), "\"data/validation/old\" is where the validation samples");
  expect_part(staged("data/train/new", "data"), "\"data/train/new\" is where the train samples are staged to");
  EXPECT_EQ(staged("data/train", "data/training"), "no error");
  EXPECT_EQ(staged("data/train", "/data/train"), "no error");
}

TEST(ConfigComplaints, RefuseTheClosedDivisionToWhatIsNotTheReference) {
  const std::string message = complaints(with(R"("submission": {"division": "closed", "generated_data": true},
      "model": {"extent": 64})"));
  expect_part(message, "/model/extent: 64 is not what the closed division asks for: 128");
  expect_part(message, "/submission/generated_data");
  EXPECT_EQ(complaints(with(R"("submission": {"division": "closed"})")), "no error");
}

TEST(ConfigComplaints, NameTheOverrideThatIsWrong) {
  const std::string right = "{" + data_section + "}";
  expect_only(complaints(right, {"seed=1", "train.global_batch=-1"}),
              "--set train.global_batch=-1: /train/global_batch: -1 is out of range (allowed: 1 to 1099511627776)");
  expect_part(complaints(right, {"trian.epochs=1"}), "--set trian.epochs=1: /trian: unknown key");
  expect_part(complaints(right, {"seed"}), "--set seed: is not of the form");
  expect_part(complaints(right, {"=3"}), "--set =3: is not of the form");
  expect_part(complaints(right, {"data.train.x=3"}), "/data/train: is \"t\" and has no \"x\"");
  expect_part(complaints(right, {"train={\"epochs\": 1, \"epochs\": 2}"}), "/train: must be an object");
  expect_part(complaints(with(R"("schedule": {"decay": []})"), {"schedule.decay.0.epoch=1"}), "has 0 elements");
  const std::string one = with(R"("schedule": {"decay": [{"epoch": 3, "factor": 0.5}]})");
  expect_only(complaints(one, {"schedule.decay.1.epoch=1"}),
              "--set schedule.decay.1.epoch=1: /schedule/decay: has 1 elements, \"1\" is none of them; set the whole "
              "array");
  for (const char* index : {"-1", "0x", "x", "00000000000000000000000000001"})
    expect_part(complaints(one, {"schedule.decay." + std::string(index) + ".epoch=1"}), "is none of them");
  for (const char* path : {"a..b=1", ".a=1", "a.=1", "/=1", "//a=1", "/a/=1"})
    expect_part(complaints(right, {path}), "is not of the form section.key=value, e.g. train.epochs=3");
  expect_part(complaints(right, {"data=3"}), "--set data=3: /data: must be an object {...}, not 3");
  expect_part(complaints(right, {"seed="}), "/seed: must be a whole number, not \"\" (a string)");
  expect_part(complaints(right, {"submission.org=null", "submission.platform={}"}),
              "/submission/platform: must be a string, not an object");
}

TEST(ConfigComplaints, ReportEverythingAtOnceInTheOrderOfTheFile) {
  const std::string message = complaints(
      "{\n\"watchdog\": {\"step_seconds\": 0},\n\"typo\": 1,\n\"seed\": \"x\",\n\"train\": {\"until\": \"never\"},\n"
      "\"seed\": 2\n}",
      {"name=/"});
  EXPECT_EQ(lines(message), 8) << message;  // the six below and the two missing folders
  std::size_t at = 0;
  for (const char* line : {"c.json:2: /watchdog/step_seconds", "c.json:3: /typo", "c.json:4: /seed",
                           "c.json:5: /train/until", "c.json:6: /seed: duplicate", "--set name=/: /name"}) {
    const std::size_t found = message.find(line);
    if (std::string(line).starts_with("--set")) {
      EXPECT_NE(found, std::string::npos) << message;
      continue;
    }
    ASSERT_NE(found, std::string::npos) << line << "\n" << message;
    EXPECT_GE(found, at) << message;
    at = found;
  }
}

TEST(ConfigComplaints, SurviveHostileDocuments) {
  expect_part(complaints(std::string(100000, '[')), "levels of nesting");
  expect_part(complaints("{\"\\u0000\": 1}"), "unknown key");
  expect_part(complaints(std::string("\x00\x01", 2)), "not JSON");
  expect_part(complaints("{\"a\": \"\xff\"}"), "not JSON");
  expect_part(complaints(with("\"" + std::string(5000, 'x') + "\": 1")), "unknown key");
}

TEST(ConfigComplaints, EscapeKeysAsPointersDo) {
  expect_part(complaints(with("\"a/b~c\": 1")), "c.json:1: /a~1b~0c: unknown key");
}

TEST(ConfigComplaints, ShowControlCharactersOfTheDocumentAsEscapes) {
  expect_part(complaints(with("\"a\\u001b\x7f b\": 1")), "c.json:1: /a\\u001b\\u007f b: unknown key");
}

TEST(ConfigComplaints, ShowControlCharactersOfOverridesAsEscapes) {
  const std::string complaint = complaints(with("\"seed\": 1"), {"train.epochs=\x1b[2J", "\x1b=1"});
  EXPECT_EQ(complaint.find('\x1b'), std::string::npos);
  expect_part(complaint, "\\u001b");
}

TEST(ConfigComplaints, ComeForEveryDamageOrThereIsNone) {
  const std::string text = "{ // c\n\"seed\": 12, \"schedule\": {\"decay\": [{\"epoch\": 1, \"factor\": 0.5}]}, " +
                           data_section + ", /* d */ \"model\": {\"width\": 1e-1}, \"clear_cache\": false}";
  int refused = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    for (const char replacement : {'\0', '"', '{', ']', '1', '-', '\n', '\\', '\xc3'}) {
      std::string damaged = text;
      damaged[i] = replacement;
      const std::string cut = text.substr(0, i) + (replacement == '1' ? text.substr(i + 1) : "");
      for (const std::string& each : {damaged, cut}) {
        const std::string message = complaints(each);
        EXPECT_TRUE(message == "no error" || message.starts_with("c.json:")) << each << "\n" << message;
        refused += message == "no error" ? 0 : 1;
      }
    }
  }
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace trainmark
