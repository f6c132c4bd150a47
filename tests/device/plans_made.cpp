// A real device compiles many plans for seconds each: tests of operations share what others have compiled, and this
// fails the program in which one graph was planned twice.
#include <gtest/gtest.h>

#include <iostream>
#include <set>

#include "cuda_double/double.hpp"

namespace trainmark::test {
namespace {

class PlansAreMadeOnce final : public testing::Environment {
  void TearDown() override {
    const std::vector<std::string>& made = cuda_double::plans_made();
    const std::set<std::string> distinct(made.begin(), made.end());
    std::cout << made.size() << " plans made, of " << distinct.size() << " graphs\n";
    EXPECT_EQ(made.size(), distinct.size());
  }
};

const testing::Environment* const watching = testing::AddGlobalTestEnvironment(new PlansAreMadeOnce);  // gtest owns it

}  // namespace
}  // namespace trainmark::test
