// What is found missing without being copied, and what cleaning removes: what staging put there, and nothing else.
#include "mpi/stage/staging.hpp"

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
    return clean_targets(test_world(), targets, options_, context_);
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
