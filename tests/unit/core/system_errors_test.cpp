// What error numbers of the system are made to say.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cerrno>

#include "trainmark/core.hpp"

namespace trainmark {
namespace {

std::string said(int error_number) {
  return to_string(system_complaint("f", "cannot be opened", error_number, "look there"));
}

TEST(SystemErrors, NameTheirReasonAndTheirOwnCure) {
  EXPECT_EQ(said(ENOENT), "f: cannot be opened: No such file or directory; look there");
  for (const auto& [number, words] : std::vector<std::pair<int, std::string>>{{ENFILE, "fs.file-max"},
                                                                              {ENOMEM, "out of memory"},
                                                                              {EIO, "dmesg"},
                                                                              {ESTALE, "file server no longer knows"},
                                                                              {ENAMETOOLONG, "255 bytes"},
                                                                              {ETIMEDOUT, "server does not answer"},
                                                                              {EHOSTDOWN, "server does not answer"},
                                                                              {ENOTCONN, "server does not answer"},
                                                                              {EREMOTEIO, "server does not answer"},
                                                                              {EACCES, "this user may not"},
                                                                              {EPERM, "this user may not"},
                                                                              {ELOOP, "links lead in a circle"},
                                                                              {ENOTDIR, "a file, not a folder"}}) {
    EXPECT_NE(said(number).find(words), std::string::npos) << said(number);
    EXPECT_EQ(said(number).find("look there"), std::string::npos) << said(number);
  }
}

TEST(SystemErrors, SayHowManyFilesTheProcessMayHaveOpenAndLiftTheLimit) {
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit few{before.rlim_cur / 2, before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &few);
  const std::string text = said(EMFILE);
  EXPECT_EQ(open_file_limit(), few.rlim_cur);
  raise_open_file_limit();
  EXPECT_EQ(open_file_limit(), before.rlim_max);
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_NE(text.find("this process may have " + std::to_string(few.rlim_cur) + " files open"), std::string::npos)
      << text;
}

}  // namespace
}  // namespace trainmark
