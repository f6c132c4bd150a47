// How many mistakes apart two words are: what "did you mean" goes by.
#include <gtest/gtest.h>

#include "trainmark/core.hpp"

namespace trainmark {
namespace {

TEST(EditDistance, CountsWhatIsMissingTooMuchAndAnother) {
  EXPECT_EQ(edit_distance("epochs", "epochs"), 0);
  EXPECT_EQ(edit_distance("epochs", "epoch"), 1);
  EXPECT_EQ(edit_distance("epoch", "epochs"), 1);
  EXPECT_EQ(edit_distance("epochs", "pochs"), 1);
  EXPECT_EQ(edit_distance("epochs", "epocks"), 1);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
  EXPECT_EQ(edit_distance("abc", "xyz"), 3);
  EXPECT_EQ(edit_distance("abc", "abc"), 0);
  EXPECT_EQ(edit_distance("abc", "abd"), 1);
  EXPECT_EQ(edit_distance("abc", "ac"), 1);
  EXPECT_EQ(edit_distance("ac", "abc"), 1);
}

TEST(EditDistance, OfNothingIsTheLength) {
  EXPECT_EQ(edit_distance("", ""), 0);
  EXPECT_EQ(edit_distance("", "abc"), 3);
  EXPECT_EQ(edit_distance("abc", ""), 3);
  EXPECT_EQ(edit_distance("", "seed"), 4);
  EXPECT_EQ(edit_distance("seed", ""), 4);
  EXPECT_EQ(edit_distance("a", "b"), 1);
}

TEST(EditDistance, TakesASwapOfNeighboursForOneMistakeWhereverItIs) {
  EXPECT_EQ(edit_distance("baord", "board"), 1);
  EXPECT_EQ(edit_distance("acb", "abc"), 1);
  EXPECT_EQ(edit_distance("acB", "Abc"), 1);
  EXPECT_EQ(edit_distance("bca", "abc"), 2);
  EXPECT_EQ(edit_distance("esed", "seed"), 1);
  EXPECT_EQ(edit_distance("sede", "seed"), 1);
  EXPECT_EQ(edit_distance("ab", "ba"), 1);
  EXPECT_EQ(edit_distance("abc", "cab"), 2) << "no neighbours";
  EXPECT_EQ(edit_distance("ca", "abc"), 3) << "nothing may come between two that were swapped";
  EXPECT_EQ(edit_distance("ax", "xb"), 2) << "only one of both came from there";
}

TEST(EditDistance, LooksAtNothingBeforeItsWords) {
  constexpr std::string_view longer = "ba";
  EXPECT_EQ(edit_distance(longer.substr(1), "ab"), 1) << "the b stands before the word";
  EXPECT_EQ(edit_distance("ab", longer.substr(1)), 1);
}

TEST(EditDistance, KnowsNoCase) {
  EXPECT_EQ(edit_distance("SEED", "seed"), 0);
  EXPECT_EQ(edit_distance("ABC", "abc"), 0);
  EXPECT_EQ(edit_distance("ZA", "az"), 1);
  EXPECT_EQ(edit_distance("a[b", "a{b"), 1) << "what stands beside the letters has none";
}

}  // namespace
}  // namespace trainmark
