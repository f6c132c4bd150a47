// File systems whose inode numbers are made up anew at each look: FUSE is what the tests call the one they run on.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "load/scan.hpp"
#include "unit/load/make_hdf5.hpp"

namespace {
std::uint32_t magic = 0;  // 0: what the system says
}  // namespace

// NOLINTBEGIN(bugprone-reserved-identifier): the names that the linker looks for
extern "C" {
int __real_statfs(const char* path, struct statfs* info);
int __wrap_statfs(const char* path, struct statfs* info) {
  const int status = __real_statfs(path, info);
  if (status == 0 && magic != 0) info->f_type = static_cast<decltype(info->f_type)>(magic);
  return status;
}
}
// NOLINTEND(bugprone-reserved-identifier)

namespace trainmark {
namespace {

using testing::counting;
using testing::expect_data_error;
using testing::File;
using testing::read_sample;
using testing::Scratch;

const DataSchema small = testing::schema({4, 2, 6, 4});

class Inodes : public ::testing::Test {
 protected:
  ~Inodes() override { magic = 0; }
  void put(const std::string& name) const {
    File file(folder.path() / name);
    file.put("x", {4, 2, 6, 4}, counting(192, 0));
    file.put("y", {4}, std::vector<float>(4));
  }
  /// The same file under another inode number.
  void renumber(const std::string& name) const {
    const std::filesystem::path path = folder.path() / name;
    const auto time = std::filesystem::last_write_time(path);
    std::filesystem::copy_file(path, folder.path() / "copy");
    std::filesystem::rename(folder.path() / "copy", path);
    std::filesystem::last_write_time(path, time);
  }
  Scratch folder;
};

TEST_F(Inodes, AreNoReasonToFailInTheMiddleOfAnEpochWhereTheyAreUnstable) {
  constexpr int files = 70;  // more than are kept open
  for (int i = 0; i < files; ++i)
    put("f" + std::to_string(100 + i) + ".h5");
  for (const std::uint32_t of : {0U, 0x65735546U}) {
    magic = of;
    const auto source = open_hdf5(folder.path(), scan_dataset(folder.path(), {}, small), {}, small);
    for (int i = 0; i < files; ++i)
      (void)read_sample(*source, small, i);
    renumber("f100.h5");
    if (of == 0) {
      expect_data_error([&] { (void)read_sample(*source, small, 0); }, {"f100.h5", "is another file now"});
    } else {
      EXPECT_EQ(read_sample(*source, small, 0).x, counting(192, 0));
    }
  }
}

TEST_F(Inodes, MayChangeAtATargetThatSeveralNodesStageTo) {
  const std::filesystem::path source = folder.path() / "source";
  std::filesystem::create_directory(source);
  constexpr int files = 70;  // more than are kept open
  for (int i = 0; i < files; ++i) {
    const std::string name = "f" + std::to_string(100 + i) + ".h5";
    put(name);
    std::filesystem::copy_file(folder.path() / name, source / name);
    std::filesystem::last_write_time(source / name, std::filesystem::last_write_time(folder.path() / name));
  }
  Manifest manifest = scan_dataset(source, {}, small);
  const auto staged = open_hdf5(folder.path(), manifest, {}, small, Values::legal, {}, source);
  for (int i = 0; i < files; ++i)
    (void)read_sample(*staged, small, i);
  renumber("f100.h5");
  EXPECT_EQ(read_sample(*staged, small, 0).x, counting(192, 0));
  EXPECT_EQ(staged->places().at_target, files + 1);
}

TEST_F(Inodes, TellNoFileFromItselfWhereTheyAreUnstable) {
  put("a.h5");
  struct stat info {};
  ASSERT_EQ(stat((folder.path() / "a.h5").c_str(), &info), 0);
  struct stat renumbered = info;
  ++renumbered.st_ino;
  for (const std::uint32_t unstable : {0x65735546U, 0xFF534D42U, 0xFE534D42U, 0x01021997U}) {
    magic = unstable;
    EXPECT_FALSE(has_stable_inodes(folder.path()));
    EXPECT_EQ(stat_entry(folder.path(), "a.h5").stamp, stamp_of(renumbered, false));
    EXPECT_EQ(data_files(folder.path()).front().stamp, stamp_of(renumbered, false));
  }
  magic = 0xEF53;  // ext4
  EXPECT_TRUE(has_stable_inodes(folder.path()));
  EXPECT_EQ(data_files(folder.path()).front().stamp, stamp_of(info));
  EXPECT_NE(data_files(folder.path()).front().stamp, stamp_of(renumbered));
}

}  // namespace
}  // namespace trainmark
