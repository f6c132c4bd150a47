// What a process says of itself reaches who keeps it, and costs nothing where nobody does.
#include <gtest/gtest.h>

#include <stdexcept>

#include "trainmark/core.hpp"

namespace trainmark {
namespace {

/// Keeps lines from a level on.
class Kept final : public Diagnostics {
 public:
  explicit Kept(LogLevel least) : least_(least) {}
  [[nodiscard]] bool keeps(LogLevel level) const noexcept override { return level >= least_; }
  void write(LogLevel level, const char* phase, std::string_view text) noexcept override {
    lines.push_back(std::string(word(level)) + " " + phase + ": " + std::string(text));
  }
  std::vector<std::string> lines;

 private:
  LogLevel least_;
};

TEST(Diagnostics, HaveLevelPhaseAndTextAndAreAskedForNothingElse) {
  const auto kept = std::make_shared<Kept>(LogLevel::info);
  diagnose_to(kept);
  diagnose_phase("staging");
  int made = 0;
  const auto text = [&made] {
    ++made;
    return "copied " + std::to_string(made);
  };
  diagnose(LogLevel::debug, text);
  diagnose(LogLevel::info, text);
  diagnose_phase("training");
  diagnose(LogLevel::error, text);
  diagnose_to(nullptr);
  diagnose(LogLevel::error, text);
  EXPECT_EQ(kept->lines, (std::vector<std::string>{"info staging: copied 1", "error training: copied 2"}));
  EXPECT_EQ(made, 2) << "a text that nobody keeps is not made";
}

TEST(Diagnostics, ThatCannotBeMadeEndNoRun) {
  const auto kept = std::make_shared<Kept>(LogLevel::trace);
  diagnose_to(kept);
  EXPECT_NO_THROW(diagnose(LogLevel::info, []() -> std::string { throw std::runtime_error("out of words"); }));
  diagnose_to(nullptr);
  EXPECT_TRUE(kept->lines.empty());
}

}  // namespace
}  // namespace trainmark
