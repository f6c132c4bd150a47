// The plan cache on its own: what is stored comes back, and nothing else does.
#include "backend/cuda/cudnn/plan_cache.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace trainmark::cuda {
namespace {

const StoredPlan plan{"eng7_k24=21", 4096, {1, 2, 3, 0, 255}};
const std::string context = "NVIDIA H200 sm_90 cuDNN 9.19.0";
const std::string key = "conv.forward bf16 src=1x8x4x4x4";

class PlanCacheTest : public testing::Test {
 protected:
  PlanCacheTest() : folder_(testing::TempDir() + "plan_cache_" + std::to_string(getpid())) {
    std::filesystem::remove_all(folder_);
  }
  ~PlanCacheTest() override { std::filesystem::remove_all(folder_); }

  PlanCache cache(const std::string& its_context = context) {
    return {folder_, its_context, [this](const std::string& text) { notes_.push_back(text); }};
  }
  [[nodiscard]] std::string note() const { return notes_.size() == 1 ? notes_[0] : std::to_string(notes_.size()); }
  static std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  static void write(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }

  std::string folder_;
  std::vector<std::string> notes_;
};

TEST_F(PlanCacheTest, GivesBackWhatWasStored) {
  cache().store(key, plan);
  const std::optional<StoredPlan> found = cache().load(key);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->engine, plan.engine);
  EXPECT_EQ(found->workspace_bytes, plan.workspace_bytes);
  EXPECT_EQ(found->plan, plan.plan);
  EXPECT_TRUE(notes_.empty());
}

TEST_F(PlanCacheTest, SaysNothingOfAGraphThatItHasNot) {
  cache().store(key, plan);
  EXPECT_FALSE(cache().load("conv.forward bf16 src=2x8x4x4x4"));
  EXPECT_TRUE(notes_.empty());
}

TEST_F(PlanCacheTest, KeepsPlansOfTwoDevicesSideBySide) {
  PlanCache other = cache("NVIDIA A100-SXM4-80GB sm_80 cuDNN 9.19.0");
  cache().store(key, plan);
  other.store(key, {"eng1", 0, {9}});
  EXPECT_EQ(cache().load(key)->engine, plan.engine);
  EXPECT_EQ(other.load(key)->engine, "eng1");
}

TEST_F(PlanCacheTest, LeavesNoTemporaryFile) {
  cache().store(key, plan);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

TEST_F(PlanCacheTest, RefusesAPlanOfAnotherDevice) {
  PlanCache other = cache("NVIDIA A100-SXM4-80GB sm_80 cuDNN 9.19.0");
  other.store(key, plan);
  std::filesystem::copy(other.path_of(key), cache().path_of(key));
  EXPECT_FALSE(cache().load(key));
  EXPECT_NE(note().find("it was made for \"NVIDIA A100-SXM4-80GB"), std::string::npos) << note();
}

TEST_F(PlanCacheTest, RefusesAPlanOfAnotherLibraryVersion) {
  PlanCache other = cache("NVIDIA H200 sm_90 cuDNN 9.1.0");
  other.store(key, plan);
  std::filesystem::copy(other.path_of(key), cache().path_of(key));
  EXPECT_FALSE(cache().load(key));
  EXPECT_NE(note().find("cuDNN 9.1.0"), std::string::npos) << note();
}

TEST_F(PlanCacheTest, RefusesAnotherGraphUnderThisName) {
  const std::string other = "conv.forward bf16 src=2x8x4x4x4";
  cache().store(other, plan);
  std::filesystem::copy(cache().path_of(other), cache().path_of(key));
  EXPECT_FALSE(cache().load(key));
  EXPECT_NE(note().find("another graph"), std::string::npos) << note();
}

TEST_F(PlanCacheTest, RefusesEveryDamagedByte) {
  cache().store(key, plan);
  const std::string path = cache().path_of(key);
  const std::string whole = read(path);
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x40);
    write(path, damaged);
    notes_.clear();
    EXPECT_FALSE(cache().load(key)) << "byte " << i;
    EXPECT_EQ(notes_.size(), 1U) << "byte " << i;
  }
}

TEST_F(PlanCacheTest, RefusesEveryShortenedFile) {
  cache().store(key, plan);
  const std::string path = cache().path_of(key);
  const std::string whole = read(path);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    write(path, whole.substr(0, size));
    EXPECT_FALSE(cache().load(key)) << size << " bytes";
  }
  write(path, whole + "x");
  EXPECT_FALSE(cache().load(key));
}

TEST_F(PlanCacheTest, ReplacesWhatItRefused) {
  cache().store(key, plan);
  write(cache().path_of(key), "rubbish");
  EXPECT_FALSE(cache().load(key));
  cache().store(key, plan);
  EXPECT_TRUE(cache().load(key));
  EXPECT_NE(note().find("made anew"), std::string::npos) << note();
}

TEST_F(PlanCacheTest, LetsColleaguesReadWhateverTheUmask) {
  const mode_t before = umask(0077);
  cache().store(key, plan);
  umask(before);
  struct stat info {};
  ASSERT_EQ(stat(cache().path_of(key).c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0644U);
}

TEST_F(PlanCacheTest, NotesOnceThatAFolderCannotBeWritten) {
  // A file where the folder should be stops every user, root too.
  write(folder_, "in the way");
  PlanCache blocked = cache();
  blocked.store(key, plan);
  blocked.store(key + " again", plan);
  EXPECT_FALSE(blocked.load(key));
  EXPECT_NE(note().find("plans cannot be kept: "), std::string::npos) << note();
}

}  // namespace
}  // namespace trainmark::cuda
