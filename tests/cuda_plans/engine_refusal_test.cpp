// Reports of cuDNN, of which users get the gist.
#include "backend/cuda/cudnn/engine_refusal.hpp"

#include <gtest/gtest.h>

namespace trainmark::cuda {
namespace {

TEST(EngineRefusalTest, NamesEachStatusOnce) {
  const EngineRefusal refused = engine_refusal(
      "No valid engine configs\n"
      "Warning: CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE; Reason: check_conv(node)\n"
      "Warning: CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE; Reason: check_node(node)\n"
      "Warning: CUDNN_STATUS_NOT_SUPPORTED");
  EXPECT_EQ(refused.reason, "CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE, CUDNN_STATUS_NOT_SUPPORTED");
  EXPECT_TRUE(refused.remedy.empty());
}

TEST(EngineRefusalTest, KnowsThatADriverLibraryIsMissing) {
  const EngineRefusal refused = engine_refusal(
      "Warning: CUDNN_STATUS_NOT_SUPPORTED_RUNTIME_PREREQUISITE_MISSING; Reason: this->libcuda == nullptr\n");
  EXPECT_NE(refused.reason.find("libcuda.so.1"), std::string::npos) << refused.reason;
  EXPECT_NE(refused.remedy.find("LD_LIBRARY_PATH"), std::string::npos) << refused.remedy;
}

TEST(EngineRefusalTest, KeepsTheFirstLineOfWhatItDoesNotKnow) {
  EXPECT_EQ(engine_refusal("none of its engines will do\nsecond line").reason, "none of its engines will do");
  EXPECT_EQ(engine_refusal("").reason, "");
}

}  // namespace
}  // namespace trainmark::cuda
