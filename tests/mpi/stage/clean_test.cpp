// What is found missing without being copied, and what cleaning removes: what staging put there, and nothing else.
#include <sys/stat.h>
#include <unistd.h>

#include "mpi/stage/staging.hpp"
#include "stage/journal.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;
using testing::contents_of;
using testing::expect_data_error;
using testing::Staging;
using testing::write_file;

TEST_F(Staging, LooksAtATargetWithoutFillingIt) {
  context_.only_looks = true;
  const Staged empty = run();
  EXPECT_EQ(empty.nodes.at(0).files_missing, 7);
  EXPECT_EQ(empty.nodes[0].files_reused, 0);
  EXPECT_FALSE(fs::exists(target(3)));
  context_.only_looks = false;
  EXPECT_EQ(run().nodes.at(0).files_missing, 0);
  on_one_rank([&] {
    fs::remove(target(1));
    const auto time = fs::last_write_time(target(2));
    write_file(target(2), std::string(2001, 'x'));  // another content of the same size and time
    fs::last_write_time(target(2), time);
  });
  context_.only_looks = true;
  const Staged damaged = run();
  EXPECT_EQ(damaged.nodes.at(0).files_missing, 2);
  EXPECT_EQ(damaged.nodes[0].files_reused, 5);
  EXPECT_FALSE(fs::exists(target(1))) << "nothing was mended";
}

TEST_F(Staging, HandsOverItsManifestWhereItIsAskedFor) {
  EXPECT_TRUE(run().manifest.entries.empty());
  context_.wants_manifest = true;
  options_.reuse = false;
  const Staged staged = run();
  ASSERT_EQ(staged.manifest.entries.size(), 7U);
  for (std::size_t i = 0; i < 7; ++i)
    EXPECT_EQ(staged.manifest.entries[i].xxh3, hash_file(source_ / manifest_.entries[i].name));
}

class Cleaning : public Staging {
 protected:
  Cleaned clean() {
    const std::array<fs::path, 2> targets = {options_.target, root_ / "never staged to"};
    const std::array<fs::path, 1> sources = {source_};
    return clean_targets(test_world(), sources, targets, options_, context_);
  }
};

TEST_F(Cleaning, RemovesWhatStagingPutThereAndNothingElse) {
  (void)run();
  on_one_rank([&] {
    write_file(fs::path(options_.target) / "mine", "a user's own file");
    write_file(target(3), "replaced by a user");
    write_file(fs::path(options_.target) / "sub" / "also mine", "another one");
  });
  const Cleaned done = clean();
  EXPECT_EQ(done.files, 6);
  EXPECT_EQ(done.bytes, 21007 - 3001);
  EXPECT_EQ(done.kept, 1);
  EXPECT_EQ(contents_of(fs::path(options_.target) / "mine"), "a user's own file");
  EXPECT_EQ(contents_of(target(3)), "replaced by a user");
  EXPECT_TRUE(fs::exists(fs::path(options_.target) / "sub" / "also mine"));
  EXPECT_FALSE(fs::exists(target(0)));
  EXPECT_FALSE(fs::exists(fs::path(options_.target) / manifest_name));
  EXPECT_FALSE(fs::exists(root_ / "never staged to")) << "nothing is made to be cleaned";
  test_world().all().barrier();
  on_one_rank([&] { fs::remove(target(3)); });
  (void)run();  // as into a new target
  expect_complete();
}

TEST_F(Cleaning, RemovesNothingThatALinkLeadsTo) {
  (void)run();
  on_one_rank([&] {
    fs::remove_all(fs::path(options_.target) / "sub");
    fs::create_directory_symlink(source_ / "sub", fs::path(options_.target) / "sub");
  });
  const Cleaned done = clean();
  EXPECT_EQ(done.files, 3) << "those that lie in the target itself";
  EXPECT_EQ(done.kept, 4);
  for (int i = 0; i < 7; ++i)
    EXPECT_EQ(contents_of(source_ / name_of(i)), text_of(i)) << "originals";
  test_world().all().barrier();
}

TEST_F(Cleaning, RefusesASourceByWhateverName) {
  on_one_rank([&] { fs::create_directory_symlink(source_, root_ / "by another name"); });
  options_.target = (root_ / "by another name").string();
  testing::expect_error(ExitCode::usage, [this] { (void)clean(); }, {"by another name is the source itself"});
}

TEST_F(Cleaning, LeavesOriginalsWithAManifestOfTheirOwnAlone) {
  const fs::path originals = root_ / "others";
  on_one_rank([&] {
    write_file(originals / "f", "text");
    struct stat info {};
    ASSERT_EQ(stat((originals / "f").c_str(), &info), 0);
    Manifest listed;
    listed.entries = {{"f", 4, 1, std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec, "", 0}};
    write_manifest(originals, listed);
  });
  options_.target = originals.string();
  EXPECT_EQ(clean().files, 0);
  EXPECT_TRUE(fs::exists(originals / "f"));
  EXPECT_TRUE(fs::exists(originals / manifest_name));
  test_world().all().barrier();
}

TEST_F(Cleaning, ActsOnNobodyElsesManifest) {
  if (geteuid() != 0) GTEST_SKIP() << "files cannot be given to another user";
  (void)run();
  on_one_rank([&] { ASSERT_EQ(chown((fs::path(options_.target) / manifest_name).c_str(), 65534, 65534), 0); });
  expect_data_error([this] { (void)clean(); }, {"belongs to another user", "nothing was removed"});
  EXPECT_TRUE(fs::exists(target(3)));
  test_world().all().barrier();
}

TEST_F(Cleaning, FindsWhatAKilledRunHadCopied) {
  (void)run();
  on_one_rank([&] {  // as a kill before the manifest leaves it
    const Manifest published = read_manifest(options_.target).value();
    fs::remove(fs::path(options_.target) / manifest_name);
    Journal journal(options_.target, 0, published.source);
    for (std::size_t i = 0; i < 5; ++i)
      journal.note(published.entries[i]);
  });
  EXPECT_EQ(clean().files, 5);
  int left = 0;
  for (const auto& each : fs::recursive_directory_iterator(options_.target))
    left += each.is_regular_file() && !each.path().filename().string().starts_with(".") ? 1 : 0;
  EXPECT_EQ(left, 2) << "of these nothing says that staging put them there";
  test_world().all().barrier();
}

TEST_F(Staging, LooksWithoutMakingAFolder) {
  context_.only_looks = true;
  EXPECT_EQ(run().nodes.at(0).files_missing, 7);
  EXPECT_FALSE(fs::exists(options_.target));
  test_world().all().barrier();
}

TEST_F(Staging, ComparesWithTheSourceWhereNobodyKnowsAHashYet) {
  options_.verify = Verify::none;
  (void)run();
  options_.verify = Verify::copy;
  context_.only_looks = true;
  EXPECT_EQ(run().nodes.at(0).files_missing, 0);
  on_one_rank([&] {
    const auto time = fs::last_write_time(target(2));
    write_file(target(2), std::string(2001, 'x'));
    fs::last_write_time(target(2), time);
  });
  EXPECT_EQ(run().nodes.at(0).files_missing, 1);
  test_world().all().barrier();
}

TEST_F(Cleaning, TakesFoldersAwayThatItEmptied) {
  (void)run();
  const Cleaned done = clean();
  EXPECT_EQ(done.files, 7);
  EXPECT_FALSE(fs::exists(fs::path(options_.target) / "sub"));
  test_world().all().barrier();
  EXPECT_EQ(clean().files, 0) << "a second time there is nothing to do";
}

TEST_F(Cleaning, WaitsForWhoReadsThere) {
  const Staged held = run();
  expect_data_error([this] { (void)clean(); }, {"is read by", "job-of-this-test"});
  for (int i = 0; i < 7; ++i)
    EXPECT_TRUE(fs::exists(target(i)));
  test_world().all().barrier();
}

}  // namespace
}  // namespace trainmark
