// Containers and their indices: what is listed is on the disk, what cannot be believed counts as nothing, and what is
// outdated gives its space back.
#include "stage/container.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "unit/stage/scratch.hpp"
#include "unit/stage/system_calls.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;
using testing::contents_of;
using testing::expect_data_error;
using testing::manifest_of;
using testing::Scratch;
using testing::system_calls;
using testing::write_file;

/// Files of a source, and a folder into which they are packed.
class Packing : public ::testing::Test {
 protected:
  Packing() {
    fs::create_directories(to());
    for (std::size_t i = 0; i < manifest_.entries.size(); ++i) {
      ManifestEntry& entry = manifest_.entries[i];
      write_file(folder_.path() / "from" / entry.name, text_of(i));
      entry.bytes = static_cast<std::int64_t>(text_of(i).size());
      entry.modified_ns = 0;
      entry.stamp = 7 + i;
    }
  }
  ~Packing() override { system_calls() = {}; }

  [[nodiscard]] fs::path to() const { return folder_.path() / "to"; }
  static std::string text_of(std::size_t i) {
    return std::string(5000 * i + 1, static_cast<char>('a' + i)) + "." + std::to_string(i);
  }
  ContainerWriter writer() {
    return {to(), "/source",
            [this](const ManifestEntry& entry, const std::string&) { published_.push_back(entry.name); },
            [](std::int64_t) {}};
  }
  void add(ContainerWriter& writer, std::size_t i) {
    const ManifestEntry& entry = manifest_.entries[i];
    Copied copy = copy_entry(entry, folder_.path() / "from" / entry.name, writer.next(entry.bytes), true, {});
    writer.add(std::move(copy.landing), std::move(copy.xxh3));
  }
  void pack_all() {
    ContainerWriter packs = writer();
    for (std::size_t i = 0; i < manifest_.entries.size(); ++i)
      add(packs, i);
    packs.flush();
  }
  /// Of an entry, by what its container's index says; empty: it is not listed.
  [[nodiscard]] std::string text_in_container(std::size_t i) const {
    const Containers found(to());
    const auto listed = found.find(manifest_.entries[i].name);
    if (!listed) return "";
    EXPECT_EQ(listed->entry->stamp, 7 + i);
    EXPECT_EQ(*listed->source, "/source");
    EXPECT_EQ(listed->place.offset % 4096, 0);
    EXPECT_EQ(listed->entry->xxh3, hash_range(container_path(to(), listed->place.container), listed->place.offset,
                                              listed->entry->bytes, {}));
    return contents_of(container_path(to(), listed->place.container))
        .substr(static_cast<std::size_t>(listed->place.offset), static_cast<std::size_t>(listed->entry->bytes));
  }
  [[nodiscard]] std::vector<std::string> listed() const {
    std::vector<std::string> names;
    const Containers found(to());
    for (const ManifestEntry& entry : manifest_.entries)
      if (found.find(entry.name)) names.push_back(entry.name);
    return names;
  }
  [[nodiscard]] ContainerPlace place_of(std::size_t i) const {
    return Containers(to()).find(manifest_.entries[i].name).value().place;
  }

  const Scratch folder_;
  Manifest manifest_ = manifest_of({1, 1, 1, 1, 1});
  std::vector<std::string> published_;
};

TEST_F(Packing, KeepsEachFileByteForByteAndSaysWhere) {
  pack_all();
  for (std::size_t i = 0; i < 5; ++i)
    EXPECT_EQ(text_in_container(i), text_of(i)) << i;
  EXPECT_EQ(published_.size(), 5U);
  EXPECT_EQ(container_numbers(to()), std::vector<int>{0});
  struct stat info {};
  ASSERT_EQ(stat(container_path(to(), 0).c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
  EXPECT_TRUE(is_container("a/" + container_path("", 3).string()));
  EXPECT_FALSE(is_container("trainmark.container.d/f.h5"));
}

TEST_F(Packing, ListsNothingThatIsNotOnTheDiskYet) {
  ContainerWriter packs = writer();
  add(packs, 0);
  add(packs, 1);
  EXPECT_TRUE(listed().empty());
  EXPECT_TRUE(published_.empty());
  system_calls() = {};
  packs.flush();
  EXPECT_EQ(system_calls().made, (std::vector<std::string>{"fsync file", "fsync file"})) << "the container, its index";
  EXPECT_EQ(listed().size(), 2U);
  EXPECT_EQ(published_.size(), 2U);
  add(packs, 2);
  system_calls().fsync_fails_with = EIO;
  expect_data_error([&] { packs.flush(); }, {"trainmark.container.0", "cannot be flushed"});
  system_calls() = {};
  packs.keep();  // a second fsync would succeed, though the bytes are gone
  EXPECT_EQ(listed().size(), 2U);
  EXPECT_EQ(published_.size(), 2U);
}

TEST_F(Packing, KeepsWhatIsCompleteWhereTheWorkFails) {
  ContainerWriter packs(
      to(), "/source", [this](const ManifestEntry& entry, const std::string&) { published_.push_back(entry.name); },
      [](std::int64_t) { throw Pulse::Cancelled{}; });
  add(packs, 1);
  EXPECT_THROW(packs.flush(), Pulse::Cancelled);
  packs.keep();
  EXPECT_EQ(text_in_container(1), text_of(1));
}

TEST_F(Packing, RefusesASourceThatIsNotWhatWasPromised) {
  ContainerWriter packs = writer();
  manifest_.entries[2].xxh3 = std::string(32, '0');
  expect_data_error([&] { add(packs, 2); }, {"content has XXH3"});
  add(packs, 3);
  packs.flush();
  EXPECT_EQ(listed(), std::vector<std::string>{manifest_.entries[3].name});
  EXPECT_EQ(text_in_container(3), text_of(3));
}

TEST_F(Packing, TakesAnotherContainerWhereOneIsThere) {
  pack_all();
  write_file(container_path(to(), 1), "a user's own");
  ContainerWriter packs = writer();
  manifest_.entries[0].name = "another";
  write_file(folder_.path() / "from" / "another", text_of(0));
  add(packs, 0);
  packs.flush();
  EXPECT_EQ(place_of(0).container, 2);
  EXPECT_EQ(text_in_container(0), text_of(0));
  EXPECT_EQ(contents_of(container_path(to(), 1)), "a user's own");
}

TEST_F(Packing, GoesOnInTheNextContainerWhereOneIsFull) {
  ContainerWriter packs = writer();
  add(packs, 0);
  EXPECT_EQ(packs.next(container_bytes - 3 * container_block_bytes).at.container, 0);  // nothing is written there
  add(packs, 1);
  EXPECT_EQ(listed(), std::vector<std::string>{manifest_.entries[0].name})
      << "on the disk before the next one is begun";
  packs.flush();
  EXPECT_EQ(place_of(1), (ContainerPlace{1, container_block_bytes}));
  EXPECT_EQ(text_in_container(0), text_of(0));
  EXPECT_EQ(text_in_container(1), text_of(1));
}

TEST_F(Packing, BelievesNoLineOfAnIndexThatWasCutOrDamaged) {
  pack_all();
  const fs::path path = index_path(to(), 0);
  const std::string text = contents_of(path);
  std::vector<ContainerPlace> places;
  for (std::size_t i = 0; i < 5; ++i)
    places.push_back(place_of(i));
  const auto expect_truth_or_nothing = [&] {
    const Containers found(to());
    std::size_t listed = 0;
    for (std::size_t i = 0; i < 5; ++i) {
      const auto there = found.find(manifest_.entries[i].name);
      if (!there) continue;
      ++listed;
      ASSERT_EQ(there->place, places[i]);
      ASSERT_EQ(there->entry->bytes, manifest_.entries[i].bytes);
      ASSERT_EQ(there->entry->stamp, manifest_.entries[i].stamp);
      ASSERT_EQ(*there->source, "/source");
    }
    ASSERT_LT(listed, 5U);
  };
  for (std::size_t at = 0; at < text.size(); ++at) {
    SCOPED_TRACE(at);
    write_file(path, text.substr(0, at));
    expect_truth_or_nothing();
    std::string damaged = text;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    write_file(path, damaged);
    expect_truth_or_nothing();
  }
  fs::remove(path);
  EXPECT_TRUE(listed().empty());
}

TEST_F(Packing, BelievesNoIndexBesideAnotherContainer) {
  pack_all();
  const std::string index = contents_of(index_path(to(), 0)), first = contents_of(container_path(to(), 0));
  fs::remove_all(to());
  fs::create_directories(to());
  pack_all();
  ASSERT_EQ(listed().size(), 5U);
  write_file(index_path(to(), 0), index);
  EXPECT_TRUE(listed().empty());
  write_file(container_path(to(), 0), first);
  EXPECT_EQ(listed().size(), 5U);
  fs::resize_file(container_path(to(), 0), first.size() - 1);
  EXPECT_EQ(listed().size(), 4U) << "what it is too short for";
}

TEST_F(Packing, GivesBackTheSpaceOfWhatIsOutdatedAndOfWhatAKilledRunLeft) {
  pack_all();
  const auto stored = [&] {
    struct stat info {};
    return stat(container_path(to(), 0).c_str(), &info) == 0 ? std::int64_t{info.st_blocks} * 512 : 0;
  };
  {  // a run that ends without a word: its bytes lie behind the last file that is listed
    const std::string tail(100'000, '#');
    const FileDescriptor file(open(container_path(to(), 0).c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
    write_all(file.get(), std::as_bytes(std::span(tail)), "tail");
    write_file(index_path(to(), 0), contents_of(index_path(to(), 0)) + "0123456789abcdef\t40960\t");
    write_file(container_path(to(), 1), "");  // and one that was not even begun
    write_file(index_path(to(), 1), "");
  }
  const std::int64_t before = stored();
  Containers(to()).forget({place_of(1), place_of(3)});
  EXPECT_EQ(listed(), (std::vector<std::string>{manifest_.entries[0].name, manifest_.entries[2].name,
                                                manifest_.entries[4].name}));
  for (const std::size_t kept : {0, 2, 4})
    EXPECT_EQ(text_in_container(kept), text_of(kept));
  EXPECT_LE(stored(), before - 100'000 / 4096 * 4096 - 8192 - 16384);
  EXPECT_EQ(contents_of(container_path(to(), 0)).find('#'), std::string::npos);
  EXPECT_EQ(container_numbers(to()), std::vector<int>{0});
  Containers(to()).forget({place_of(0), place_of(2), place_of(4)});
  EXPECT_TRUE(fs::is_empty(to())) << "nothing of it is listed any more";
}

TEST_F(Packing, ChangesNothingOfAnIndexThatIsRight) {
  pack_all();
  struct stat before {
  }, after{};
  ASSERT_EQ(stat(index_path(to(), 0).c_str(), &before), 0);
  Containers(to()).forget({});
  ASSERT_EQ(stat(index_path(to(), 0).c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
}

TEST_F(Packing, KeepsOneOfTwoCopiesOfAFile) {
  pack_all();
  pack_all();
  EXPECT_EQ(place_of(2).container, 1);
  Containers(to()).forget({});
  EXPECT_EQ(container_numbers(to()), std::vector<int>{1});
  EXPECT_EQ(text_in_container(2), text_of(2));
}

TEST_F(Packing, RemovesItsOwnFilesAndNoOthers) {
  pack_all();
  write_file(container_path(to(), 8), "a user's own");
  write_file(index_path(to(), 9), "a user's own");
  fs::create_symlink(folder_.path() / "from" / manifest_.entries[0].name, container_path(to(), 10));
  const Cleaned done = Containers(to()).clear();
  EXPECT_EQ(done.files, 5);
  EXPECT_EQ(done.bytes, manifest_.bytes());
  EXPECT_EQ(container_numbers(to()), (std::vector<int>{8, 9, 10}));
  EXPECT_TRUE(fs::exists(folder_.path() / "from" / manifest_.entries[0].name));
}

TEST_F(Packing, RefusesAFolderThatCannotBeWrittenTo) {
  const testing::AsNobody nobody;
  if (!nobody.able()) GTEST_SKIP() << "rights are asked of no other user here";
  ContainerWriter packs = writer();
  expect_data_error([&] { (void)packs.next(1); }, {"trainmark.container.0", "cannot be written"});
}

}  // namespace
}  // namespace trainmark
