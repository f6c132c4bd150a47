// Which files of a folder are its samples: each once, and none lost without a word.
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "unit/load/make_hdf5.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;

using testing::AsNobody;
using testing::counting;
using testing::expect_data_error;
using testing::File;
using testing::Scratch;
using testing::write_file;

const DataSchema small = testing::schema({2, 2, 2, 4});

void put_block(const fs::path& path) {
  File file(path);
  file.put("x", {2, 2, 2, 4}, counting(32));
  file.put("y", {4}, std::vector<float>(4));
}

std::vector<std::string> names_in(const fs::path& root) {
  std::vector<std::string> names;
  for (const ManifestEntry& entry : scan_dataset(root, {}, small).entries)
    names.push_back(entry.name);
  return names;
}

void expect_refused(const fs::path& root, const std::vector<std::string>& parts) {
  expect_data_error([&] { (void)scan_dataset(root, {}, small); }, parts);
  expect_data_error([&] { (void)verify_dataset(root, {}, small, false); }, parts);
}

using Names = std::vector<std::string>;

TEST(Walk, TakesTheFilesOfALinkedFolderOnceUnderTheirOwnName) {
  const Scratch folder;
  put_block(folder.path() / "set" / "v1" / "a.h5");
  put_block(folder.path() / "set" / "v1" / "deep" / "b.h5");
  fs::create_directory_symlink("v1", folder.path() / "set" / "current");                // before v1 in the alphabet
  fs::create_directory_symlink("v1/deep", folder.path() / "set" / "z");                 // a part of it
  fs::create_directory_symlink(".", folder.path() / "set" / "all");                     // the root
  fs::create_directory_symlink("../..", folder.path() / "set" / "v1" / "deep" / "up");  // far above
  fs::create_directory_symlink("../..", folder.path() / "set" / "v1" / "up");  // above the root: all of it again
  EXPECT_EQ(names_in(folder.path() / "set"), (Names{"v1/a.h5", "v1/deep/b.h5"}));
}

TEST(Walk, FollowsLinksThatLeadOutOfTheFolderOnce) {
  const Scratch folder;
  put_block(folder.path() / "elsewhere" / "sub" / "a.h5");
  put_block(folder.path() / "elsewhere" / "b.h5");
  put_block(folder.path() / "one.h5");
  fs::create_directories(folder.path() / "set");
  fs::create_directory_symlink("../elsewhere/sub", folder.path() / "set" / "a");
  fs::create_directory_symlink("../elsewhere", folder.path() / "set" / "m");
  fs::create_directory_symlink(folder.path() / "elsewhere", folder.path() / "set" / "z");
  fs::create_symlink("../one.h5", folder.path() / "set" / "one.h5");
  EXPECT_EQ(names_in(folder.path() / "set"), (Names{"a/a.h5", "m/b.h5", "one.h5"}));
  fs::create_directory_symlink(folder.path() / "set", folder.path() / "link");
  EXPECT_EQ(names_in(folder.path() / "link"), (Names{"a/a.h5", "m/b.h5", "one.h5"}));
}

TEST(Walk, RefusesTwoNamesOfOneFile) {
  const Scratch folder;
  put_block(folder.path() / "hard" / "b.h5");
  put_block(folder.path() / "hard" / "other.h5");
  fs::create_hard_link(folder.path() / "hard" / "b.h5", folder.path() / "hard" / "c.h5");
  fs::create_directories(folder.path() / "hard" / "sub");
  fs::create_hard_link(folder.path() / "hard" / "b.h5", folder.path() / "hard" / "sub" / "a.h5");
  expect_refused(folder.path() / "hard", {"2 names cannot be used", "'c.h5' is the file 'b.h5' again",
                                          "'sub/a.h5' is the file 'c.h5' again", "hard"});
  put_block(folder.path() / "soft" / "f1.h5");
  fs::create_symlink("f1.h5", folder.path() / "soft" / "latest.h5");
  expect_refused(folder.path() / "soft", {"1 name cannot be used", "'latest.h5' is the file 'f1.h5' again"});
  put_block(folder.path() / "far.h5");
  fs::create_directories(folder.path() / "twice");
  fs::create_symlink("../far.h5", folder.path() / "twice" / "a.h5");
  fs::create_symlink("../far.h5", folder.path() / "twice" / "b.h5");
  expect_refused(folder.path() / "twice", {"'b.h5' is the file 'a.h5' again"});
  // A name that is left out is no second name.
  fs::create_hard_link(folder.path() / "far.h5", folder.path() / "soft" / ".hidden.h5");
  fs::remove(folder.path() / "soft" / "latest.h5");
  EXPECT_EQ(names_in(folder.path() / "soft"), Names{"f1.h5"});
}

TEST(Walk, RefusesAFolderThatIsMountedTwice) {
  const Scratch folder;
  put_block(folder.path() / "v1" / "a.h5");
  fs::create_directories(folder.path() / "v2");
  const fs::path one = folder.path() / "v1", two = folder.path() / "v2";
  if (mount(one.c_str(), two.c_str(), nullptr, MS_BIND, nullptr) != 0) GTEST_SKIP() << "needs the right to mount";
  expect_refused(folder.path(), {"'v2' is the folder 'v1' again"});
  umount(two.c_str());
}

TEST(Walk, CountsTheNamesThatCannotBeUsedAndNamesThree) {
  const Scratch folder;
  put_block(folder.path() / "good.h5");
  fs::create_symlink("gone", folder.path() / "a.h5");
  fs::create_symlink("b.HDF5", folder.path() / "b.HDF5");
  fs::create_directories(folder.path() / "c.hdf5" / "within");
  ASSERT_EQ(mkfifo((folder.path() / "d.h5").c_str(), 0600), 0);
  expect_refused(folder.path(), {"4 names cannot be used", "'a.h5' is a link that leads nowhere",
                                 "'b.HDF5' is a link that leads back to itself", "'c.hdf5' is a folder", "and 1 more",
                                 "names that begin with a dot are left out"});
  for (const char* name : {"a.h5", "b.HDF5", "c.hdf5"})
    fs::remove_all(folder.path() / name);
  expect_refused(folder.path(), {"1 name cannot be used: 'd.h5' is a named pipe"});
}

TEST(Walk, RefusesSocketsAndDevices) {
  const Scratch folder;
  put_block(folder.path() / "good.h5");
  const int descriptor = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = (folder.path() / "s.h5").string();
  ASSERT_LT(path.size(), sizeof(address.sun_path));
  std::copy(path.begin(), path.end(), std::begin(address.sun_path));
  ASSERT_EQ(bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  close(descriptor);
  fs::create_symlink("/dev/null", folder.path() / "null.h5");
  expect_refused(folder.path(), {"2 names", "'null.h5' is a device", "'s.h5' is a socket"});
}

TEST(Walk, RefusesLinksThatLeadNowhereUnderAnyName) {
  const Scratch folder;  // they may have led to a folder of samples
  put_block(folder.path() / "good.h5");
  fs::create_symlink("/nonexistent/part7", folder.path() / "part7");
  expect_refused(folder.path(), {"'part7' is a link that leads nowhere"});
  fs::remove(folder.path() / "part7");
  fs::create_symlink("/nonexistent/part7", folder.path() / ".part7");
  EXPECT_EQ(names_in(folder.path()), Names{"good.h5"});
}

TEST(Walk, KnowsTheExtensionInLettersOfAnyCase) {
  const Scratch folder;
  for (const char* name : {"a.h5", "b.H5", "c.hdf5", "d.HDF5", "e.Hdf5", "f.hdf", "g.HDF", "h.he5"})
    put_block(folder.path() / name);
  for (const char* name : {"notes.txt", "a.gz", "h5", "hdf5", "x.h4", "x.h50", ".hidden.h5"})
    write_file(folder.path() / name, "nothing");
  put_block(folder.path() / ".snapshot" / "a.h5");
  EXPECT_EQ(names_in(folder.path()), (Names{"a.h5", "b.H5", "c.hdf5", "d.HDF5", "e.Hdf5", "f.hdf", "g.HDF", "h.he5"}));
}

TEST(Walk, RefusesWhatGoesOnBehindTheExtensionButNotSumsAndNotesBesideSamples) {
  for (const char* name : {"b.hdf5.gz", "b.h5.part", "b.HDF5~", "b.hdf5.1", "b.hdf5;1", "b.h5.", "b.hdf5\u200b",
                           "b.hdf.gz", "x.h5x.h5.gz"}) {
    const Scratch folder;
    put_block(folder.path() / "a.hdf5");
    write_file(folder.path() / name, "anything");
    expect_refused(folder.path(), {name, "goes on behind its extension"});
  }
  const Scratch folder;
  put_block(folder.path() / "a.hdf5");
  for (const char* name : {"a.hdf5.md5", "a.hdf5.json", "readme.h5.txt", "a.h5.dvc", "a.h5.xmf", "a.jpeg", "a.h5x",
                           "convert.h5.py", "notes"})
    write_file(folder.path() / name, "anything");
  fs::create_directory(folder.path() / "older.h5.d");
  put_block(folder.path() / "older.h5.d" / "b.hdf5");
  EXPECT_EQ(names_in(folder.path()), (std::vector<std::string>{"a.hdf5", "older.h5.d/b.hdf5"}));
}

TEST(Walk, PassesOverLinksToFoldersAboveTheRoot) {
  const Scratch folder;
  fs::create_directories(folder.path() / "set" / "train");
  fs::create_directories(folder.path() / "set" / "validation");
  put_block(folder.path() / "set" / "train" / "a.hdf5");
  put_block(folder.path() / "set" / "validation" / "b.hdf5");
  fs::create_symlink("..", folder.path() / "set" / "train" / "up");
  fs::create_symlink(folder.path(), folder.path() / "set" / "train" / "upup");
  fs::create_symlink(folder.path() / "set" / "train", folder.path() / "entrance");
  for (const fs::path& root : {folder.path() / "set" / "train", folder.path() / "entrance"})
    EXPECT_EQ(names_in(root), std::vector<std::string>{"a.hdf5"});
}

TEST(Walk, RefusesNamesThatAManifestCannotHold) {
  for (const char* name : {"a\nb.h5", "a.h5\n", "a\tb.h5", "a.h5\x7f", "sub\n/a.h5"}) {
    const Scratch folder;
    put_block(folder.path() / name);
    put_block(folder.path() / "good.h5");
    expect_refused(folder.path(), {"1 name", "has a control character in its name", "\\x"});
  }
  // Bytes that are no UTF-8, and blanks, are names like others.
  const Scratch folder;
  put_block(folder.path() / "caf\xe9.h5");
  put_block(folder.path() / "with blank.h5");
  EXPECT_EQ(names_in(folder.path()), (Names{"caf\xe9.h5", "with blank.h5"}));
  EXPECT_TRUE(verify_dataset(folder.path(), {}, small, true).manifest_written);
  EXPECT_EQ(names_in(folder.path()), (Names{"caf\xe9.h5", "with blank.h5"}));
}

TEST(Walk, RefusesFoldersThatAreNestedTooDeep) {
  const Scratch folder;
  fs::path deep = folder.path();
  for (int i = 0; i < 64; ++i)
    deep /= "d";
  put_block(deep / "a.h5");
  EXPECT_EQ(names_in(folder.path()).size(), 1U);
  put_block(deep / "e" / "a.h5");
  expect_refused(folder.path(), {"d/e' is more than 64 folders deep"});
}

TEST(Walk, NamesAFolderOrFileThatWentAwayMeanwhile) {
  const Scratch folder;
  put_block(folder.path() / "a" / "a.h5");
  put_block(folder.path() / "b" / "b.h5");
  const auto scan = [&](const auto& meanwhile) { (void)scan_dataset(folder.path(), {}, small, meanwhile); };
  int calls = 0;
  expect_data_error(
      [&] {
        scan([&] {
          if (++calls == 3) fs::remove_all(folder.path() / "b");
        });
      },
      {"'b' went away", "the dataset is being changed"});
  put_block(folder.path() / "b" / "b.h5");
  calls = 0;
  expect_data_error(
      [&] {
        scan([&] {
          if (++calls == 5) fs::remove(folder.path() / "a" / "a.h5");
        });
      },
      {"'a/a.h5' went away", "the dataset is being changed"});
}

TEST(Walk, TellsOfItsProgressAtEveryFolderAndFile) {
  const Scratch folder;
  for (const char* name : {"a.h5", "sub/b.h5", "sub/deep/c.h5"})
    put_block(folder.path() / name);
  int calls = 0;
  EXPECT_EQ(scan_dataset(folder.path(), {}, small, [&] { ++calls; }).samples(), 3);
  EXPECT_GE(calls, 3 + 3 + 3);  // folders and files found, headers read
}

TEST(Walk, NamesWhatMayNotBeReadButPassesOverLostAndFound) {
  const Scratch folder;
  put_block(folder.path() / "a.h5");
  put_block(folder.path() / "sub" / "b.h5");
  fs::create_directories(folder.path() / "lost+found");
  fs::create_directories(folder.path() / "sub" / "lost+found");
  for (const char* name : {"lost+found", "sub/lost+found"})
    fs::permissions(folder.path() / name, fs::perms::owner_all);
  const auto as_nobody = [](const auto& look) {
    const AsNobody nobody;
    if (nobody.able()) look();
    return nobody.able();
  };
  if (!as_nobody([&] { EXPECT_EQ(names_in(folder.path()), (Names{"a.h5", "sub/b.h5"})); }))
    GTEST_SKIP() << "needs the right to become another user";
  fs::permissions(folder.path() / "a.h5", fs::perms::owner_all);
  as_nobody([&] { expect_refused(folder.path(), {"1 name", "'a.h5' may not be read by this user"}); });
  fs::permissions(folder.path() / "a.h5", fs::perms::all);
  fs::permissions(folder.path() / "sub", fs::perms::owner_all);
  as_nobody([&] { expect_refused(folder.path(), {"1 name", "'sub' cannot be read: Permission denied"}); });
  fs::permissions(folder.path(), fs::perms::owner_all);
  as_nobody([&] { expect_refused(folder.path(), {"'.' cannot be read: Permission denied"}); });
  as_nobody([&] { expect_refused(folder.path() / "sub", {"sub", "cannot be examined: Permission denied"}); });
  as_nobody([&] {
    expect_data_error([&] { (void)inspect_dataset(folder.path() / "a.h5", {}, small, 1); }, {"Permission denied"});
  });
}

}  // namespace
}  // namespace trainmark
