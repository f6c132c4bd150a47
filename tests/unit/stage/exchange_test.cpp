// How files are cut into blocks, and reads of the source that fail once.
#include <gtest/gtest.h>

#include <cerrno>

#include "stage/exchange.hpp"
#include "unit/stage/scratch.hpp"
#include "unit/stage/system_calls.hpp"

namespace trainmark::testing {
namespace {

Manifest files_of(const std::vector<std::int64_t>& bytes) {
  Manifest manifest;
  for (const std::int64_t each : bytes)
    manifest.entries.push_back({"f" + std::to_string(manifest.entries.size()), each, 1, 0, "", 0});
  return manifest;
}

TEST(BlockStream, HoldsEachByteOnceInOrderAndNoBlockMoreThanItsSize) {
  const Manifest manifest = files_of({5, 0, 12, 3, 25, 1, 0, 10});
  const std::vector<std::size_t> entries = {0, 1, 2, 4, 5, 6, 7};
  const BlockStream stream(manifest, entries, 10);
  EXPECT_EQ(stream.blocks(), 6) << "53 bytes";
  std::vector<std::int64_t> seen(manifest.entries.size());
  std::vector<std::size_t> order;
  for (std::int64_t block = 0; block < stream.blocks(); ++block) {
    std::int64_t bytes = 0;
    for (const Piece& piece : stream.pieces_of(block)) {
      EXPECT_EQ(piece.offset, seen[piece.entry]);
      seen[piece.entry] += piece.bytes;
      bytes += piece.bytes;
      if (piece.offset == 0) order.push_back(piece.entry);
    }
    EXPECT_EQ(bytes, block < 5 ? 10 : 3);
  }
  EXPECT_EQ(order, entries) << "empty files come, too";
  for (const std::size_t entry : entries)
    EXPECT_EQ(seen[entry], manifest.entries[entry].bytes);
  EXPECT_EQ(seen[3], 0) << "was not asked for";
}

TEST(BlockStream, BoundsThePiecesOfABlock) {
  const Manifest manifest = files_of(std::vector<std::int64_t>(5000, 1));
  std::vector<std::size_t> entries(5000);
  for (std::size_t i = 0; i < entries.size(); ++i)
    entries[i] = i;
  const BlockStream stream(manifest, entries, 1 << 20);
  EXPECT_EQ(stream.most_pieces(), 1024);
  EXPECT_EQ(stream.blocks(), 5);
}

TEST(BlockStream, OfNothingHasNoBlocks) { EXPECT_EQ(BlockStream(files_of({}), {}, 10).blocks(), 0); }

class SourceReads : public ::testing::Test {
 protected:
  SourceReads() {
    write_file(scratch_.path() / "f", "twelve bytes");
    entry_.bytes = 12;
  }
  ~SourceReads() override { system_calls() = {}; }

  static void fail_reads(int times, int reason) {
    system_calls() = {};
    system_calls().pread_failures = times;
    system_calls().pread_fails_with = reason;
  }
  std::string read() {
    SourceFile file(entry_, scratch_.path() / "f");
    std::string text(12, '\0');
    file.read(std::as_writable_bytes(std::span(text)), 0);
    retries_ = file.retries();
    return text;
  }

  Scratch scratch_;
  ManifestEntry entry_{"f", 0, 1, 0, "", 0};
  std::int64_t retries_ = 0;
};

TEST_F(SourceReads, AreTriedOnceMoreWhereTheReasonMayPass) {
  for (const int reason : {EIO, ESTALE, ETIMEDOUT}) {
    fail_reads(1, reason);
    EXPECT_EQ(read(), "twelve bytes");
    EXPECT_EQ(retries_, 1);
  }
  system_calls() = {};
  EXPECT_EQ(read(), "twelve bytes");
  EXPECT_EQ(retries_, 0);
}

TEST_F(SourceReads, AreTriedNoMoreThanOnceMore) {
  fail_reads(2, EIO);
  expect_data_error([this] { (void)read(); }, {"f: cannot be read, twice: Input/output error"});
  EXPECT_EQ(system_calls().pread_failures, 0);
}

TEST_F(SourceReads, AreNotTriedAgainWhereTheReasonStays) {
  fail_reads(1, EISDIR);
  expect_data_error([this] { (void)read(); }, {"f: cannot be read: Is a directory"});
}

TEST_F(SourceReads, OfLessThanWasPromisedAreRefused) {
  SourceFile file(entry_, scratch_.path() / "f");
  std::string text(20, '\0');
  expect_data_error([&] { file.read(std::as_writable_bytes(std::span(text)), 0); }, {"gave 12 bytes, its size is 12"});
  entry_.bytes = 20;
  expect_data_error([this] { (void)read(); }, {"changed since it was scanned: 20 bytes then, 12 now"});
}

}  // namespace
}  // namespace trainmark::testing
