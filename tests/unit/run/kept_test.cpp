// How much memory ranks may keep samples in: no more than is of use, and no more than there is.
#include "run/launch/kept.hpp"

#include <gtest/gtest.h>

#include "trainmark/process.hpp"

namespace trainmark {
namespace {

constexpr std::int64_t mebibyte = 1 << 20;

/// Of samples of 256 KiB and 16 bytes: so many to train with, and two to evaluate.
Dataset dataset_of(const RunOptions& options, std::int64_t train_samples, int nodes = 1) {
  Dataset dataset;
  dataset.schema = schema_of(options.recipe.model);
  for (const auto& [split, samples] : {std::pair(&dataset.train, train_samples), {&dataset.validation, 2}}) {
    split->name = split == &dataset.train ? "train" : "validation";
    split->samples = samples;
    for (const char* name : {"a", "b"}) {
      ManifestEntry& file = split->manifest.entries.emplace_back();
      file.name = name;
      file.bytes = samples;
      file.samples = samples / 2;
    }
    split->plan = plan_staging(split->manifest, options.stage, nodes);
  }
  return dataset;
}

class KeptMemoryTest : public ::testing::Test {
 protected:
  KeptMemoryTest() {
    options_.recipe.model = CosmoflowOptions{.extent = 32};
    options_.train.global_batch = 4;
  }
  [[nodiscard]] KeptMemory kept(std::int64_t mib, std::int64_t train_samples, const World& world) {
    options_.load.memory_mib = mib;
    return kept_memory(world, options_, dataset_of(options_, train_samples, world.nodes()));
  }
  RunOptions options_;
};

TEST_F(KeptMemoryTest, IsWhatTheConfigSaysWhereThereIsUseForIt) {
  EXPECT_EQ(kept(0, 1000, pretended_world(1)).mib, 0);
  const KeptMemory some = kept(3, 1000, pretended_world(1));
  EXPECT_EQ(some.mib, 3);
  EXPECT_EQ(some.why, "");
}

TEST_F(KeptMemoryTest, IsNoMoreThanAllThatTheRankComesBy) {
  // (1000 + 2) samples of 262,160 bytes and as many places of 4: 250.52 MiB.
  EXPECT_EQ(kept(4096, 1000, pretended_world(1)).mib, 251);
  EXPECT_EQ(kept(4096, 1000, pretended_world(1)).why, "all samples that the rank comes by");
  EXPECT_EQ(kept(4096, 1000, pretended_world(2)).mib, 251) << "epoch after epoch either rank comes by all";
  options_.stage.strategy = Strategy::shard;
  EXPECT_EQ(kept(4096, 1000, pretended_world(2, 2)).mib, 126) << "of its node's half";
}

TEST_F(KeptMemoryTest, LeavesHalfOfWhatThereIsWhereTheLaunchDecides) {
  EXPECT_EQ(kept(LoadOptions::memory_auto, 1000, pretended_world(1)).mib, 251);
  constexpr std::int64_t more_than_any_machine_has = std::int64_t{1} << 32;
  for (const int ranks : {1, 4}) {
    const double before = memory_room().bytes;
    const KeptMemory half = kept(LoadOptions::memory_auto, more_than_any_machine_has, pretended_world(ranks));
    const double after = memory_room().bytes;
    const double most = std::max(before, after) / 2 / ranks / mebibyte;
    EXPECT_LE(static_cast<double>(half.mib), 1.2 * most);
    EXPECT_GE(static_cast<double>(half.mib), 0.8 * std::min(before, after) / 2 / ranks / mebibyte);
    EXPECT_EQ(half.why.find("half of what "), 0U) << half.why;
  }
}

TEST_F(KeptMemoryTest, IsRefusedWhereItWouldEndTheJobOnceItIsFull) {
  constexpr std::int64_t many = std::int64_t{1} << 32;
  try {
    (void)kept(std::int64_t{1} << 24, many, pretended_world(2));
    FAIL() << "16 TiB a rank";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::environment);
    const std::string text = error.what();
    EXPECT_NE(text.find("/load/memory_mib: 16777216 MiB on each of 2 ranks of "), std::string::npos) << text;
    EXPECT_NE(text.find("set it to \"auto\""), std::string::npos) << text;
  }
  options_.recipe.model = Resnet50Options{.extent = 32, .classes = 10};
  EXPECT_THROW((void)kept(std::int64_t{1} << 24, 2, pretended_world(2)), Error)
      << "how large images are nobody knows beforehand";
}

}  // namespace
}  // namespace trainmark
