// Everything that the device double finds during a test fails that test, whatever its own checks say.
#include <gtest/gtest.h>

#include "cuda_double/double.hpp"

namespace trainmark::test {
namespace {

class FindingsFailTests final : public testing::EmptyTestEventListener {
  void OnTestEnd(const testing::TestInfo&) override {
    for (const std::string& finding : cuda_double::findings())
      ADD_FAILURE() << finding;
  }
};

const bool listening = [] {
  testing::UnitTest::GetInstance()->listeners().Append(new FindingsFailTests);  // gtest owns it
  return true;
}();

}  // namespace
}  // namespace trainmark::test
