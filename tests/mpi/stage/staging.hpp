// A source with seven files and an empty target for ranks of one node, and what tests of staging look at.
#pragma once

#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "support/mpi_main.hpp"
#include "trainmark/stage.hpp"
#include "unit/stage/scratch.hpp"

namespace trainmark::testing {

namespace fs = std::filesystem;
/// Made by rank 0 and known to all.
class Staging : public ::testing::Test {
 protected:
  Staging() {
    std::string path;
    if (leads()) {
      folder_ = std::make_unique<Scratch>();
      path = folder_->path().string();
      for (int i = 0; i < 7; ++i)
        write_file(fs::path(path) / "source" / name_of(i), text_of(i));
    }
    root_ = test_world().all().broadcast(path);
    source_ = root_ / "source";
    options_.strategy = Strategy::replicate;
    options_.target = (root_ / "target").string();
    options_.reserve_percent = 0.0;
    options_.wait_seconds = 0.0;
    context_.progress = [this](std::int64_t bytes) { heard_ += bytes; };
    context_.say = [this](const std::string& line) { said_ += line + '\n'; };
    context_.job = "job-of-this-test";
    scan();
  }
  ~Staging() override { test_world().all().barrier(); }

  static bool leads() { return test_world().all().rank() == 0; }
  static std::string name_of(int i) { return (i % 2 == 0 ? "sub/f" : "f") + std::to_string(i); }
  static std::string text_of(int i) {
    return std::string(static_cast<std::size_t>(1000 * i + 1), static_cast<char>('a' + i));
  }
  /// Partial files and journals; locks stay.
  static bool is_left_over(const std::string& name) {
    return name.starts_with(".trainmark-") || name.starts_with(".trainmark.journal");
  }
  [[nodiscard]] fs::path target(int i) const { return fs::path(options_.target) / name_of(i); }

  /// Changes something on rank 0 alone, seen by all afterwards.
  template <class Change>
  void on_one_rank(Change&& change) {
    if (leads()) change();
    test_world().all().barrier();
  }

  void scan() {
    manifest_.entries.clear();
    for (int i = 0; i < 7; ++i) {
      struct stat info {};
      ASSERT_EQ(stat((source_ / name_of(i)).c_str(), &info), 0);
      manifest_.entries.push_back({name_of(i), info.st_size, 1,
                                   std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec, "",
                                   stamp_of(info)});
    }
    std::sort(manifest_.entries.begin(), manifest_.entries.end(),
              [](const ManifestEntry& a, const ManifestEntry& b) { return a.name < b.name; });
    test_world().all().barrier();
  }

  Staged run() {
    const StagingPlan plan = plan_staging(manifest_, options_, test_world().nodes());
    return run({{manifest_, plan, source_, options_.target}}).front();
  }
  std::vector<Staged> run(const std::vector<StagingSet>& sets) {
    StageOutcome outcome = stage(test_world(), sets, options_, context_);
    waited_ = outcome.wait_seconds;
    test_world().all().barrier();
    return std::move(outcome.sets);
  }

  void expect_complete() const {
    for (int i = 0; i < 7; ++i)
      EXPECT_EQ(contents_of(target(i)), text_of(i)) << i;
    for (const auto& entry : fs::recursive_directory_iterator(options_.target))
      EXPECT_FALSE(is_left_over(entry.path().filename().string())) << entry.path();
    test_world().all().barrier();
  }

  std::unique_ptr<Scratch> folder_;
  fs::path root_, source_;
  StageOptions options_;
  Manifest manifest_;
  StageContext context_;
  std::int64_t heard_ = 0;
  std::string said_;
  double waited_ = 0.0;
};

/// A test whose target is on a file system of its own, of a size that it chooses.
template <class Test>
class OnSmallTarget : public Test {
 protected:
  /// False without the right to mount one.
  bool mount_small(const char* size) {
    small_ = this->root_ / "small";
    std::string mounted;
    if (this->leads()) {
      std::filesystem::create_directories(small_);
      mounted = mount("tmpfs", small_.c_str(), "tmpfs", 0, size) == 0 ? "yes" : "";
    }
    this->options_.target = (small_ / "target").string();
    return !test_world().all().broadcast(mounted).empty();
  }
  ~OnSmallTarget() override {
    test_world().all().barrier();
    if (this->leads()) umount(small_.c_str());
  }
  std::filesystem::path small_;
};

}  // namespace trainmark::testing
