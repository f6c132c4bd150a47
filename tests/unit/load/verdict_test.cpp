// Why HDF5 could not do something, told from its error stack.
#include "load/verdict.hpp"

#include <gtest/gtest.h>

#include "load/hdf5_file.hpp"

namespace trainmark {
namespace {

TEST(Verdict, OutlivesTheClosingOfHandles) {
  const Hdf5Lock lock;
  std::vector<std::string> frames;
  {
    const PropertyHandle closed_on_the_way(H5Pcreate(H5P_FILE_ACCESS));
    EXPECT_LT(H5Fopen("/nowhere/at-all.h5", H5F_ACC_RDONLY, closed_on_the_way.get()), 0);
  }
  frames = error_frames();
  ASSERT_FALSE(frames.empty());
  EXPECT_NE(frames.front().find("errno = 2"), std::string::npos) << frames.front();
}

std::string verdict_of(const std::string& frame) {
  return to_string(verdict("f.h5", "cannot be opened", {"innermost", frame, "unable to open file"}));
}

TEST(Verdict, TellsReasonsApart) {
  const auto expect = [](const std::string& frame, const std::vector<std::string>& words) {
    for (const std::string& word : words)
      EXPECT_NE(verdict_of(frame).find(word), std::string::npos) << word << " is not in: " << verdict_of(frame);
  };
  expect("truncated file: eof = 96, sblock->base_addr = 0, stored_eof = 2048",
         {"f.h5: is cut short: it has 96 bytes, its header promises 2048", "copy or generate it again"});
  expect("file is already open for write (may use <h5clear file> to clear file consistency flags)",
         {"is marked as open for writing", "h5clear --status"});
  expect("file is already open for write/SWMR write (may use <h5clear file> to clear file consistency flags)",
         {"is marked as open for writing"});
  expect("unable to lock file, errno = 11, error message = 'Resource temporarily unavailable'",
         {"its lock is refused", "HDF5_USE_FILE_LOCKING"});
  expect("bad version number for layout message",
         {"cannot be opened: bad version number", "HDF5 2.0 or newer could read it"});
  expect("required filter 'lzf' is not registered", {"HDF5_PLUGIN_PATH"});
  expect("file read failed: time = now, filename = 'f.h5', errno = 5, error message = 'Input/output error'",
         {"cannot be opened: Input/output error", "dmesg"});
  expect("unable to open file: name = 'f.h5', errno = 24, error message = 'Too many open files'",
         {"Too many open files (this process may have", "ulimit -n"});
  expect("multi driver should be used", {"is one of several parts of a file"});
  expect("wrong fractal heap signature", {"f.h5: cannot be opened: innermost (it is damaged"});
}

}  // namespace
}  // namespace trainmark
