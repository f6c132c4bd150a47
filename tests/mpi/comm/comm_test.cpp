// Collectives and agreement over 1, 2 and 4 ranks.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>

#include "comm/native.hpp"
#include "support/mpi_main.hpp"

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

TEST(Group, RaisesWhatMpiRefusesInsteadOfEndingTheProcess) {
  for (const Group& group : {all(), all().duplicate(), all().split(0)}) {
    std::array<std::byte, 1> some = {};
    try {
      group.broadcast(some, group.size());  // no such rank
      FAIL() << "nobody can send it";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::communication);
      EXPECT_EQ(error.complaint().where, "MPI_Bcast");
      EXPECT_FALSE(error.complaint().what.empty()) << "MPI's own words";
    }
  }
}

TEST(Group, FreesTheCommunicatorsThatItMadeOnceNobodyHasThem) {
  static int freed;
  freed = 0;
  int key = MPI_KEYVAL_INVALID;
  MPI_Comm_create_keyval(
      MPI_COMM_NULL_COPY_FN, [](MPI_Comm, int, void*, void*) { return ++freed, MPI_SUCCESS; }, &key, nullptr);
  {
    std::optional<Group> copy = all().duplicate();
    const Group part = all().split(0), again = *copy;
    MPI_Comm_set_attr(native(*copy), key, nullptr);
    MPI_Comm_set_attr(native(part), key, nullptr);
    copy.reset();
    EXPECT_EQ(freed, 0) << "somebody has it still";
  }
  EXPECT_EQ(freed, 2);
  MPI_Comm_free_keyval(&key);
}

TEST(Group, AddsUpWholeNumbersThatADoubleCannotHold) {
  std::array<std::int64_t, 2> values = {all().rank() == 0 ? (std::int64_t{1} << 62) + 1 : 0, 3};
  all().sum(values);
  EXPECT_EQ(values[0], (std::int64_t{1} << 62) + 1);
  EXPECT_EQ(values[1], 3 * all().size());
}

TEST(Group, GathersNumbersInRankOrderOnAll) {
  const auto rank = static_cast<std::uint64_t>(all().rank());
  const std::vector<std::uint64_t> whole = all().all_gather(~rank);
  const std::vector<double> numbers = all().all_gather(0.5 * static_cast<double>(rank));
  ASSERT_EQ(whole.size(), static_cast<std::size_t>(all().size()));
  ASSERT_EQ(numbers.size(), whole.size());
  for (std::size_t at = 0; at < whole.size(); ++at) {
    EXPECT_EQ(whole[at], ~static_cast<std::uint64_t>(at));
    EXPECT_EQ(numbers[at], 0.5 * static_cast<double>(at));
  }
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

TEST(Group, GathersTextsOnAnyRoot) {
  const int root = all().size() - 1;
  const std::vector<std::string> texts = all().gather("from " + std::to_string(all().rank()), root);
  ASSERT_EQ(texts.size(), static_cast<std::size_t>(all().rank() == root ? all().size() : 0));
  for (std::size_t rank = 0; rank < texts.size(); ++rank)
    EXPECT_EQ(texts[rank], "from " + std::to_string(rank));
}

TEST(Group, SplitsIntoGroupsOfEqualColour) {
  const Group half = all().split(all().rank() % 2);
  EXPECT_EQ(half.rank(), all().rank() / 2);
  EXPECT_EQ(half.size(), (all().size() + 1 - all().rank() % 2) / 2);
}

TEST(Group, OfNeighboursHoldsRanksInARow) {
  const int count = all().size() > 1 ? 2 : 1;
  const Group pair = all().neighbours(count);
  EXPECT_EQ(pair.size(), count);
  EXPECT_EQ(pair.rank(), all().rank() % count);
  const std::vector<std::uint64_t> ranks = pair.all_gather(static_cast<std::uint64_t>(all().rank()));
  EXPECT_EQ(ranks.front(), static_cast<std::uint64_t>(all().rank() / count * count));
  EXPECT_EQ(ranks.back(), ranks.front() + static_cast<std::uint64_t>(count) - 1);
}

TEST(Chunks, CutWhatOneCallCannotCount) {
  std::vector<std::pair<std::int64_t, int>> pieces;
  const auto cut = [&](std::int64_t count) {
    pieces.clear();
    in_chunks(count, [&](std::int64_t offset, int piece) { pieces.emplace_back(offset, piece); });
  };
  constexpr std::int64_t gib = std::int64_t{1} << 30;
  cut(0);
  EXPECT_TRUE(pieces.empty());
  cut(gib);
  EXPECT_EQ(pieces, (std::vector<std::pair<std::int64_t, int>>{{0, 1 << 30}}));
  cut(2 * gib + 5);
  EXPECT_EQ(pieces, (std::vector<std::pair<std::int64_t, int>>{{0, 1 << 30}, {gib, 1 << 30}, {2 * gib, 5}}));
}

TEST(Chunks, OfAnErrorNameTheCallAndWhatMpiSaysOfIt) {
  EXPECT_NO_THROW(check_mpi(MPI_SUCCESS, "MPI_Bcast"));
  try {
    check_mpi(MPI_ERR_COUNT, "MPI_Bcast");
    FAIL() << "an error was passed over";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::communication);
    std::array<char, MPI_MAX_ERROR_STRING> words{};
    int length = 0;
    MPI_Error_string(MPI_ERR_COUNT, words.data(), &length);
    EXPECT_TRUE(std::string(error.what()).starts_with("MPI_Bcast: " + std::string(words.data()) + " ("))
        << error.what();
  }
}

TEST(World, CountsRanksOfOneMachineAsOneNode) {
  EXPECT_EQ(test_world().nodes(), 1);
  EXPECT_EQ(test_world().node_index(), 0);
  EXPECT_EQ(test_world().node().size(), all().size());
  EXPECT_EQ(test_world().node().rank(), all().rank());
}

TEST(World, KnowsItsHostAndItsLibrary) {
  std::array<char, 256> host{};
  ASSERT_EQ(gethostname(host.data(), host.size() - 1), 0);
  EXPECT_EQ(test_world().host(), host.data());
  EXPECT_GT(test_world().init_seconds(), 0.0);
  int provided = 0;
  MPI_Query_thread(&provided);
  EXPECT_EQ(test_world().thread_multiple(), provided == MPI_THREAD_MULTIPLE);
  const std::string library = test_world().library_version();
  EXPECT_FALSE(library.empty());
  EXPECT_EQ(library.find_first_of("\t\n,"), std::string::npos) << "a name and a number on one line: " << library;
  EXPECT_FALSE(World::aborting());
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

TEST(BlockRing, BringsAsMuchAsIsSentAndTakesASlotAgain) {
  BlockRing ring(all(), 2, 100);
  for (int turn = 0; turn < 3; ++turn) {
    const int root = turn % all().size();
    std::ranges::fill(ring.slot(1), std::byte{0xee});
    if (all().rank() == root) std::ranges::fill(ring.slot(1).first(60), static_cast<std::byte>(turn));
    ring.start(1, 60, root);
    ring.wait(1);
    ring.wait(1);  // it is here already
    EXPECT_EQ(ring.slot(1)[0], static_cast<std::byte>(turn));
    EXPECT_EQ(ring.slot(1)[59], static_cast<std::byte>(turn));
    EXPECT_EQ(ring.slot(1)[60], std::byte{0xee}) << "what was not sent";
  }
  EXPECT_THROW(ring.start(0, 101, 0), std::logic_error);
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

/// What all ranks hear where those from `first` on fail.
std::string heard(int first) {
  try {
    agree_on(all(), [&] {
      if (all().rank() >= first) throw Error(ExitCode::data, "rank " + std::to_string(all().rank()) + "'s own words");
    });
  } catch (const AgreedError& error) {
    return error.what();
  }
  return "";
}

TEST(Agree, CountsTheRanksThatFailedAndNamesThem) {
  const int size = all().size();
  const std::string of = " of " + std::to_string(size) + ": ";
  EXPECT_EQ(heard(size), "");
  if (size == 1) {
    EXPECT_EQ(heard(0), "rank 0's own words") << "there is nobody to be told from";
    return;
  }
  EXPECT_EQ(heard(0), "rank 0" + of + "rank 0's own words [all ranks failed]");
  const std::string last = std::to_string(size - 1);
  EXPECT_EQ(heard(size - 1), "rank " + last + of + "rank " + last + "'s own words");
  if (size < 3) return;
  const std::string before = std::to_string(size - 2);
  EXPECT_EQ(heard(size - 2),
            "rank " + before + of + "rank " + before + "'s own words [2 ranks failed: " + before + ", " + last + "]");
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
    EXPECT_STREQ(error.what(),
                 "launch: the config differs from rank 0's on rank 1 (ranks that disagree would train different "
                 "models); use one file");
  }
  if (all().size() < 3) return;
  try {
    require_equal(all(), "files", all().rank() == 0 ? 7 : 8, "use one file");
    FAIL() << "a difference was not noticed";
  } catch (const Error& error) {
    const std::string text = error.what();
    EXPECT_TRUE(text.starts_with("launch: files differ from rank 0's on ranks 1, 2")) << text;
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

TEST(Status, IsOkWhereNothingWasRaised) {
  EXPECT_TRUE(status_of([] {}).ok());
  EXPECT_EQ(status_of([] {}).message, "");
  EXPECT_FALSE(status_of([] { throw Error(ExitCode::usage, "no"); }).ok());
}

TEST(Status, OfWhatTheFileSystemRefusesIsOneOfTheData) {
  const Status status = status_of([] { (void)std::filesystem::file_size("/nonexistent/file"); });
  EXPECT_EQ(status.code, ExitCode::data);
  EXPECT_NE(status.message.find("/nonexistent/file"), std::string::npos);
  EXPECT_NE(status.message.find("No such file"), std::string::npos);
}

}  // namespace
}  // namespace trainmark
