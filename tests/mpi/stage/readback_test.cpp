// Copies that are read again from their device before they take their places.
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "stage/files.hpp"
#include "staging.hpp"
#include "trainmark/process.hpp"
#include "unit/stage/system_calls.hpp"

namespace trainmark {
namespace {

using testing::contents_of;
using testing::expect_data_error;
using testing::Staging;
using testing::system_calls;
namespace fs = std::filesystem;

class ReadingBack : public Staging {
 protected:
  ReadingBack() {
    system_calls() = {};
    options_.verify = Verify::readback;
  }
  ~ReadingBack() override { system_calls() = {}; }
  void SetUp() override {
    if (is_in_memory(root_)) GTEST_SKIP() << "the tests' folder is in memory";
  }
  static std::int64_t bytes_of_all() {
    std::int64_t bytes = 0;
    for (int i = 0; i < 7; ++i)
      bytes += std::ssize(text_of(i));
    return bytes;
  }
};

TEST_F(ReadingBack, FindsWhatTheDiskHoldsInsteadOfWhatWasWritten) {
  system_calls().files_to_damage = 1;
  expect_data_error([&] { (void)run(); }, {"holds XXH3 ", " was written (read back from node "});
  for (int i = 0; i < 7; ++i) {
    if (fs::exists(target(i))) {
      EXPECT_EQ(contents_of(target(i)), text_of(i)) << "what is damaged has no place";
    }
  }
  options_.verify = Verify::copy;
  (void)run();  // the damaged one is not among what is kept
  expect_complete();
  options_.verify = Verify::readback;
  system_calls() = {};
  const Staged kept = run();
  EXPECT_EQ(kept.nodes[0].files_copied, 0);
  EXPECT_EQ(kept.nodes[0].bytes_read_back, bytes_of_all()) << "what is reused as well";
}

TEST_F(ReadingBack, IsNotDoneWhereItIsNotAskedFor) {
  options_.verify = Verify::copy;
  system_calls().files_to_damage = 1;
  const Staged staged = run();
  EXPECT_EQ(staged.nodes[0].bytes_read_back, 0);
  EXPECT_EQ(staged.nodes[0].read_back_seconds, 0.0);
}

TEST_F(ReadingBack, CountsWhatItReadAndNoMoreFromStorageThanBlocksHold) {
  const Staged staged = run();
  expect_complete();
  const NodeStaging& node = staged.nodes.at(0);
  EXPECT_EQ(node.files_copied, 7);
  EXPECT_EQ(node.bytes_read_back, bytes_of_all());
  EXPECT_GE(node.bytes_read_back_from_storage, 0);
  EXPECT_GT(node.read_back_seconds, 0.0);
}

TEST_F(ReadingBack, ReadsTheDeviceWhereTheFileSystemTakesDirectReads) {
  on_one_rank([&] {
    const std::string content(3 << 20, 'x');
    testing::write_file(root_ / "one", content);
    {
      const FileDescriptor file = open_source(root_ / "one");
      fsync(file.get());
    }
    ContentHash hash;
    hash.add(std::as_bytes(std::span(content)));
    const ReadBack found = hash_of_device(root_ / "one", {});
    EXPECT_EQ(found.xxh3, hash.hex());
    EXPECT_EQ(found.bytes, std::ssize(content));
    struct statfs system {};
    ASSERT_EQ(statfs(root_.c_str(), &system), 0);
    const auto kind = static_cast<std::uint32_t>(system.f_type);
    if (kind != EXT4_SUPER_MAGIC && kind != XFS_SUPER_MAGIC) return;  // others may compress, or be told of to nobody
    if (!thread_bytes_from_storage()) return;
    EXPECT_GE(found.from_storage, found.bytes);
  });
}

}  // namespace
}  // namespace trainmark
