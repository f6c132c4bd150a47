// Collectives and agreement over 1, 2 and 4 ranks.
#include <gtest/gtest.h>

#include <array>
#include <numeric>

#include "support/mpi_main.hpp"
#include "trainmark/comm.hpp"

namespace trainmark {
namespace {

const Group& all() { return test_world().all(); }

TEST(Group, SumsAndTakesMaximaOverAllRanks) {
  std::array<double, 2> values = {1.0, static_cast<double>(all().rank())};
  all().sum(values);
  EXPECT_EQ(values[0], all().size());
  EXPECT_EQ(values[1], all().size() * (all().size() - 1) / 2.0);
  std::array<double, 1> top = {static_cast<double>(all().rank())};
  all().max(top);
  EXPECT_EQ(top[0], all().size() - 1);
}

TEST(Group, BroadcastsTextOfAnyLengthFromAnyRoot) {
  const int root = all().size() - 1;
  const std::string text = all().rank() == root ? std::string(100000, 'x') + "end" : "short";
  EXPECT_EQ(all().broadcast(text, root), std::string(100000, 'x') + "end");
  EXPECT_EQ(all().broadcast(std::string(), 0), "");
}

TEST(Group, GathersTextsInRankOrderOnTheRootAlone) {
  const std::string mine(static_cast<std::size_t>(all().rank()), 'r');
  const std::vector<std::string> texts = all().gather(mine);
  if (all().rank() == 0) {
    ASSERT_EQ(texts.size(), static_cast<std::size_t>(all().size()));
    for (std::size_t rank = 0; rank < texts.size(); ++rank)
      EXPECT_EQ(texts[rank].size(), rank);
  } else {
    EXPECT_TRUE(texts.empty());
  }
  const std::vector<std::string> everywhere = all().all_gather(mine);
  ASSERT_EQ(everywhere.size(), static_cast<std::size_t>(all().size()));
  for (std::size_t rank = 0; rank < everywhere.size(); ++rank)
    EXPECT_EQ(everywhere[rank].size(), rank);
}

TEST(Group, SplitsIntoGroupsOfEqualColour) {
  const Group half = all().split(all().rank() % 2);
  EXPECT_EQ(half.rank(), all().rank() / 2);
  EXPECT_EQ(half.size(), (all().size() + 1 - all().rank() % 2) / 2);
}

TEST(World, CountsRanksOfOneMachineAsOneNode) {
  EXPECT_EQ(test_world().nodes(), 1);
  EXPECT_EQ(test_world().node_index(), 0);
  EXPECT_EQ(test_world().node().size(), all().size());
}

TEST(BlockRing, BringsBlocksOfAnyRootToSlotsOfTheirOwn) {
  constexpr std::size_t slots = 3, bytes = 5000;
  BlockRing ring(all(), slots, bytes);
  ASSERT_EQ(ring.slots(), slots);
  for (std::size_t number = 0; number < slots; ++number)
    for (std::size_t other = 0; other < number; ++other)
      EXPECT_GE(std::abs(ring.slot(number).data() - ring.slot(other).data()), std::ptrdiff_t{bytes});
  const auto value_of = [](std::size_t number, std::size_t at) {
    return static_cast<std::byte>(number * 50 + at % 49);
  };
  for (std::size_t number = 0; number < slots; ++number) {  // all of them under way at a time
    const int root = static_cast<int>(number) % all().size();
    if (all().rank() == root)
      for (std::size_t at = 0; at < bytes; ++at)
        ring.slot(number)[at] = value_of(number, at);
    ring.start(number, bytes, root);
  }
  for (std::size_t number = 0; number < slots; ++number) {
    ring.wait(number);
    for (std::size_t at = 0; at < bytes; ++at)
      ASSERT_EQ(ring.slot(number)[at], value_of(number, at)) << number << ' ' << at;
  }
}

TEST(Agree, SaysNothingWhenAllSucceed) { EXPECT_NO_THROW(agree(all(), {})); }

TEST(Agree, GivesEveryRankTheLowestFailingRanksCodeAndMessage) {
  const int bad = all().size() - 1;
  Status mine;
  if (all().rank() == bad) mine = {ExitCode::data, "cannot read its file"};
  try {
    agree(all(), mine);
    FAIL() << "a failed rank was not noticed";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_NE(std::string(error.what()).find("cannot read its file"), std::string::npos);
    if (all().size() > 1) {
      EXPECT_NE(std::string(error.what()).find("rank " + std::to_string(bad)), std::string::npos);
    }
  }
}

TEST(Agree, TurnsWhatWorkThrowsIntoOneErrorForAll) {
  EXPECT_THROW(agree_on(all(), [] { throw Error(ExitCode::data, "no"); }), Error);
  EXPECT_THROW(agree_on(all(),
                        [] {
                          if (all().rank() == 0) throw std::runtime_error("only here");
                        }),
               Error);
}

TEST(RequireEqual, NamesTheRanksThatDiffer) {
  EXPECT_NO_THROW(require_equal(all(), "the config", 7, "use one file"));
  if (all().size() == 1) return;
  const std::uint64_t mine = all().rank() == 1 ? 8 : 7;
  try {
    require_equal(all(), "the config", mine, "use one file");
    FAIL() << "a difference was not noticed";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::environment);
    EXPECT_NE(std::string(error.what()).find("rank 1"), std::string::npos) << error.what();
  }
}

TEST(Status, KeepsThePartsOfAComplaintOnEveryRank) {
  const Group& all = test_world().all();
  try {
    agree_on(all, [&] {
      if (all.rank() == 0) throw Error(ExitCode::data, Complaint{"a file", "is broken", "", "copy it again"});
    });
    FAIL() << "nothing was raised";
  } catch (const AgreedError& error) {
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_EQ(error.complaint().where, "a file");
    EXPECT_EQ(error.complaint().what, "is broken");
    EXPECT_EQ(error.complaint().why, "");
    EXPECT_EQ(error.complaint().remedy, "copy it again");
  }
}

TEST(Status, OfWhatTheFileSystemRefusesIsOneOfTheData) {
  const Status status = status_of([] { (void)std::filesystem::file_size("/nonexistent/file"); });
  EXPECT_EQ(status.code, ExitCode::data);
  EXPECT_NE(status.message.find("/nonexistent/file"), std::string::npos);
  EXPECT_NE(status.message.find("No such file"), std::string::npos);
}

}  // namespace
}  // namespace trainmark
