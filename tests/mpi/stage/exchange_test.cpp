// The exchange with each rank in the place of a node: what arrives, who reads what, and how it ends where one rank
// fails.
#include "stage/exchange.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <chrono>
#include <functional>
#include <map>
#include <thread>

#include "mpi/stage/staging.hpp"

namespace trainmark::testing {
namespace {

class Exchanging : public ::testing::Test {
 protected:
  Exchanging() {
    std::string path;
    if (leads()) {
      folder_ = std::make_unique<Scratch>();
      path = folder_->path().string();
      for (std::size_t i = 0; i < sizes.size(); ++i)
        write_file(fs::path(path) / "source" / name_of(i), text_of(i));
    }
    root_ = test_world().all().broadcast(path);
    source_ = root_ / "source";
    target_ = root_ / ("node-" + std::to_string(rank()));
    fs::create_directories(target_);
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      struct stat info {};
      EXPECT_EQ(stat((source_ / name_of(i)).c_str(), &info), 0);
      manifest_.entries.push_back({name_of(i), info.st_size, 1,
                                   std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec, "", 0});
      all_.push_back(i);
      bytes_ += info.st_size;
    }
    test_world().all().barrier();  // all ranks have seen the same files
  }
  ~Exchanging() override { test_world().all().barrier(); }

  static int rank() { return test_world().all().rank(); }
  static int ranks() { return test_world().all().size(); }
  static bool leads() { return rank() == 0; }
  static std::string name_of(std::size_t i) { return "f" + std::to_string(i); }
  static std::string text_of(std::size_t i) {
    std::string text(sizes.at(i), '\0');
    for (std::size_t at = 0; at < text.size(); at += 511)
      text[at] = static_cast<char>(at / 511 + i);
    return text;
  }

  /// Small ones that share a block, an empty one, large ones that end within a block and at its end.
  static constexpr std::array<std::size_t, 8> sizes = {10, 0, 5'000'000, 3000, 8U << 20U, 1, 13'000'001, 70'000};

  ExchangeStats exchange(std::int64_t memory = 8 << 20) {
    const BlockStream stream(manifest_, all_, exchange_block_bytes);
    const ExchangeJob job = {manifest_,
                             stream,
                             source_,
                             true,
                             wanted_,
                             [this](std::size_t entry) { return LandingPlace(target_ / name_of(entry)); },
                             [this](std::unique_ptr<Landing> finished, std::string xxh3) {
                               const auto entry = &finished->entry() - manifest_.entries.data();
                               finished->file().publish();
                               landed_[static_cast<std::size_t>(entry)] = std::move(xxh3);
                             },
                             [this](std::int64_t bytes) {
                               heard_ += bytes;
                               std::this_thread::sleep_for(lingers_);
                               if (cancels_) throw Pulse::Cancelled{};
                             }};
    Exchange exchange(test_world().all(), job, memory);
    return exchange.run();
  }
  /// "cancelled", or the message of what was raised; empty: nothing was.
  std::string failure_of_exchange(std::int64_t memory = 8 << 20) {
    try {
      (void)exchange(memory);
    } catch (const Pulse::Cancelled&) {
      return "cancelled";
    } catch (const std::exception& error) {
      return error.what();
    }
    return "";
  }
  void expect_no_leftovers() const {
    for (const auto& entry : fs::directory_iterator(target_))
      EXPECT_FALSE(entry.path().filename().string().starts_with(".trainmark-")) << entry.path();
  }

  std::unique_ptr<Scratch> folder_;
  fs::path root_, source_, target_;
  Manifest manifest_;
  std::vector<std::size_t> all_;
  std::int64_t bytes_ = 0, heard_ = 0;
  bool cancels_ = false;
  std::chrono::milliseconds lingers_{0};  ///< with each block that arrives here
  std::function<bool(std::size_t)> wanted_ = [](std::size_t) { return true; };
  std::map<std::size_t, std::string> landed_;
};

TEST_F(Exchanging, IsOfOneSourceThatAllRanksSee) {
  const auto differs = [this](const fs::path& source) {
    return seen_differently(test_world(), test_world().all(), manifest_, all_, source);
  };
  EXPECT_FALSE(differs(source_).has_value());
  const fs::path own = root_ / ("own-" + std::to_string(rank()));
  for (std::size_t i = 0; i < sizes.size(); ++i)
    write_file(own / name_of(i), text_of(i));
  EXPECT_FALSE(differs(own).has_value()) << "folders of their own that hold the same";
  std::string other = text_of(4);
  other[other.size() / 2 + 100] = 'x';
  if (rank() == ranks() - 1) write_file(own / name_of(4), other);
  EXPECT_EQ(differs(own), ranks() > 1 ? std::optional<std::size_t>(4) : std::nullopt) << "of equal size";
  if (leads()) fs::remove(own / name_of(6));
  std::string message;
  try {
    (void)differs(own);
  } catch (const Error& error) {
    message = error.what();
  }
  EXPECT_NE(message.find(name_of(6)), std::string::npos) << "said on all ranks: " << message;
}

TEST_F(Exchanging, CountsTheWaitForTheSlowestWhereItIsSpent) {
  if (ranks() == 1) GTEST_SKIP() << "one rank waits for nobody";
  if (leads()) lingers_ = std::chrono::milliseconds(100);
  const std::int64_t blocks = BlockStream(manifest_, all_, exchange_block_bytes).blocks();
  const double lingered = 0.1 * static_cast<double>(blocks);
  const Clock clock;
  const ExchangeStats stats = exchange();
  const double elapsed = clock.seconds();
  EXPECT_GE(elapsed, lingered) << "none ends before the slowest";
  EXPECT_LE(stats.wait_seconds, elapsed);
  if (leads()) {
    EXPECT_LE(stats.wait_seconds, elapsed - lingered) << "its own work is no waiting";
  } else {
    EXPECT_GE(stats.wait_seconds, 0.25 * lingered) << "most of it: writing takes a small part of that";
  }
}

TEST_F(Exchanging, BringsEachByteToAllAndReadsItOnce) {
  for (const std::int64_t memory : {std::int64_t{8} << 20U, std::int64_t{64} << 20U}) {
    const ExchangeStats stats = exchange(memory);
    for (const std::size_t i : all_) {
      EXPECT_EQ(contents_of(target_ / name_of(i)), text_of(i)) << i;
      EXPECT_EQ(landed_[i], hash_file(source_ / name_of(i)));
    }
    std::array<std::int64_t, 1> read = {stats.bytes_read};
    test_world().all().sum(read);
    EXPECT_EQ(read[0], bytes_);
    EXPECT_GE(stats.bytes_read, bytes_ / ranks() / 2) << "no rank reads for all";
    EXPECT_GE(heard_, bytes_);
  }
  expect_no_leftovers();
}

TEST_F(Exchanging, KeepsTheSourcesTimesAndPermissions) {
  if (leads()) fs::permissions(source_ / name_of(3), fs::perms::owner_read | fs::perms::owner_write);
  test_world().all().barrier();
  (void)exchange();
  struct stat there {};
  ASSERT_EQ(stat((target_ / name_of(3)).c_str(), &there), 0);
  EXPECT_EQ(there.st_mode & 0777U, 0600U);
  EXPECT_EQ(std::int64_t{there.st_mtim.tv_sec} * 1'000'000'000 + there.st_mtim.tv_nsec,
            manifest_.entries[3].modified_ns);
}

TEST_F(Exchanging, LandsOnlyWhatIsWanted) {
  wanted_ = [](std::size_t entry) { return static_cast<int>(entry) % ranks() == rank(); };
  (void)exchange();
  for (const std::size_t i : all_)
    EXPECT_EQ(fs::exists(target_ / name_of(i)), wanted_(i)) << i;
}

TEST_F(Exchanging, EndsForAllWhereOneCannotWrite) {
  if (rank() == ranks() - 1) fs::create_directories(target_ / name_of(2) / "in the way");
  const std::string failure = failure_of_exchange();
  if (rank() == ranks() - 1) {
    EXPECT_NE(failure.find("f2: cannot be renamed into place"), std::string::npos) << failure;
  } else {
    EXPECT_EQ(failure, "cancelled");
    EXPECT_FALSE(fs::exists(target_ / name_of(7))) << "what is of no use any more is not written";
  }
  expect_no_leftovers();
}

TEST_F(Exchanging, EndsForAllWhereOneCannotRead) {
  if (leads()) fs::remove(source_ / name_of(4));
  test_world().all().barrier();
  const std::string failure = failure_of_exchange();
  std::array<std::int64_t, 1> messages = {failure.find("f4: ") != std::string::npos ? 1 : 0};
  test_world().all().sum(messages);
  EXPECT_GE(messages[0], 1) << "who was to read it says so";
  EXPECT_FALSE(failure.empty());
  EXPECT_FALSE(fs::exists(target_ / name_of(4)));
  expect_no_leftovers();
}

TEST_F(Exchanging, LandsNothingOfABlockThatItsSenderCouldNotRead) {
  if (leads()) fs::remove(source_ / name_of(3));
  test_world().all().barrier();
  EXPECT_FALSE(failure_of_exchange(64 << 20).empty()) << "all blocks are under way at once";
  EXPECT_FALSE(fs::exists(target_ / name_of(3)));
  EXPECT_FALSE(fs::exists(target_ / name_of(7))) << "nothing that comes after is written";
}

TEST_F(Exchanging, RefusesAContentThatTheManifestDoesNotKnow) {
  manifest_.entries[6].xxh3 = std::string(32, '0');
  const std::string failure = failure_of_exchange();
  EXPECT_TRUE(failure == "cancelled" || failure.find("f6: content has XXH3") != std::string::npos) << failure;
  EXPECT_FALSE(fs::exists(target_ / name_of(6)));
  expect_no_leftovers();
}

TEST_F(Exchanging, EndsForAllWhereOneIsCancelledFromOutside) {
  cancels_ = leads();
  EXPECT_EQ(failure_of_exchange(), "cancelled");
  expect_no_leftovers();
}

TEST_F(Exchanging, OfNothingIsOverAtOnce) {
  all_.clear();
  EXPECT_EQ(exchange().bytes_read, 0);
}

}  // namespace
}  // namespace trainmark::testing
