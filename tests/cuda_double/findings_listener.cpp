// Fails every GoogleTest test in which the double found something. For the backend's own tests, which know nothing of
// the double: add this file to a program's sources.
#include <gtest/gtest.h>

#include "cuda_double/double.hpp"

namespace {

class Listener final : public ::testing::EmptyTestEventListener {
  void OnTestEnd(const ::testing::TestInfo&) override {
    for (const std::string& text : trainmark::cuda_double::findings())
      ADD_FAILURE() << text;
  }
};
const bool installed = [] {
  ::testing::UnitTest::GetInstance()->listeners().Append(new Listener);
  return true;
}();

}  // namespace
