// One file: what it leaves behind when the disk is full.
#include "synth/data_file.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <string>

#include "load/hdf5_writer.hpp"
#include "trainmark/core.hpp"

namespace trainmark::synth {
namespace {

namespace fs = std::filesystem;

/// While it lives no file can grow beyond `bytes`: what a full disk looks like, without one.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  void (*handler_)(int);
  rlimit before_{};
};

class DataFile : public testing::TestWithParam<int> {
 protected:
  fs::path folder = fs::path(testing::TempDir()) / ("trainmark-data-file-" + std::to_string(getpid()));
  void SetUp() override { fs::create_directories(folder); }
  void TearDown() override { fs::remove_all(folder); }
};

// The end of this process is part of the test: HDF5 must not crash over the file that it could not close.
TEST_P(DataFile, ThatDoesNotFitIsAnErrorAndLeavesNothing) {
  SynthOptions options;
  options.content = CosmoflowData{.extent = 16};
  options.gzip = GetParam();
  const FilePlan plan = files_of(options).front();
  const std::unique_ptr<Content> content = make_content(options);
  const fs::path path = folder / plan.name;
  const auto write = [&] { write_file(*content, plan, path, [](std::int64_t) {}); };
  for (const rlim_t bytes : {rlim_t{1000}, rlim_t{100000}}) {
    const FullDisk full(bytes);
    try {
      write();
      FAIL() << "a file of " << bytes << " bytes was enough";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::data);
      const std::string said = error.what();
      EXPECT_TRUE(said.starts_with(path.string() + ": cannot ")) << said;
      EXPECT_NE(said.find("File too large"), std::string::npos) << said;
      EXPECT_EQ(said.find("0x"), std::string::npos) << said;
    }
    EXPECT_TRUE(fs::is_empty(folder));
  }
  write();
  EXPECT_TRUE(present(path, options, plan));
}

INSTANTIATE_TEST_SUITE_P(ContiguousAndCompressed, DataFile, testing::Values(0, 4));

class InTheWay : public DataFile {
 protected:
  InTheWay() {
    options.content = CosmoflowData{.extent = 4};
    options.train_samples = 2;
  }
  [[nodiscard]] std::string said_of(const SynthOptions& wanted) const {
    try {
      return present(path(), wanted, files_of(wanted).front()) ? "present" : "absent";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::data);
      const std::string text = error.what(), begin = path().string() + ": ";
      EXPECT_TRUE(text.starts_with(begin)) << text;
      return text.substr(begin.size(), text.find(" (") - begin.size());
    }
  }
  [[nodiscard]] fs::path path() const { return folder / "packed_000000.hdf5"; }
  SynthOptions options;
};

TEST_F(InTheWay, AreOtherDataAndWhatDiffersIsNamed) {
  EXPECT_EQ(said_of(options), "absent");
  write_file(*make_content(options), files_of(options).front(), path(), [](std::int64_t) {});
  EXPECT_EQ(said_of(options), "present");
  SynthOptions other = options;
  other.seed = 8;
  EXPECT_EQ(said_of(other), "holds other data: seed is 20231, not 8");
  other.gzip = 4;
  EXPECT_EQ(said_of(other), "holds other data: gzip is 0, not 4; seed is 20231, not 8");
  other = options;
  other.content = DeepcamData{};
  EXPECT_EQ(said_of(other),
            "holds other data: height is unknown, not 96; label_bits is unknown, not 8; width is "
            "unknown, not 144");
}

TEST_F(InTheWay, AreTheSameOptionsOfAnotherVersion) {
  const FilePlan plan = files_of(options).front();
  Hdf5Writer file(path(), "test");
  file.attribute("options", fingerprint(options, plan));
  file.attribute("generator_version", std::string("1"));
  file.close();
  EXPECT_EQ(said_of(options), "holds the same options' data by generator version 1, not 2");
}

TEST_F(InTheWay, AreFilesOfOthersAndLinksThatLeadNowhere) {
  { Hdf5Writer(path(), "test").close(); }
  EXPECT_EQ(said_of(options), "is in the way: damaged, or not made by this generator");
  fs::remove(path());
  fs::create_symlink(folder / "nowhere", path());
  EXPECT_EQ(said_of(options), "is in the way: damaged, or not made by this generator");
}

}  // namespace
}  // namespace trainmark::synth
