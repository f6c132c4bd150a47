#include "cli/streams.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "mllog/utf8.hpp"

namespace trainmark::cli {
namespace {

int output = STDOUT_FILENO;
bool failures_as_json = false;
std::atomic<bool> output_begun = false;  // a second document would make one text of two that nobody can read
std::atomic<int> first_output_error = 0;

/// False with errno.
bool write_whole(std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t written = write(output, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {  // somebody else made the stream one that does not wait
      pollfd ready{output, POLLOUT, 0};
      poll(&ready, 1, -1);
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

}  // namespace

void protect_streams() noexcept {
  for (const int signal : {SIGPIPE, SIGXFSZ})
    std::signal(signal, SIG_IGN);
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(descriptor, F_GETFD) == -1) static_cast<void>(open("/dev/null", O_RDWR));
  }
  const int own = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  if (own < 0) return;
  output = own;
  static_cast<void>(dup2(STDERR_FILENO, STDOUT_FILENO));
}

void write_output(std::string_view text) noexcept {
  if (!text.empty()) output_begun = true;
  if (!write_whole(text) && first_output_error == 0) first_output_error = errno;
}

void print_message(std::string_view text) noexcept {
  static_cast<void>(std::fwrite(text.data(), 1, text.size(), stderr));  // unbuffered: one write
}

void print_error(std::string_view message) {
  std::string text = "trainmark: error: ";
  for (const char c : message)
    text += c == '\n' ? std::string("\n  ") : std::string(1, c);
  print_message(text + '\n');
}

void tell_failures_as_json() noexcept { failures_as_json = true; }

void print_failure(const Failure& failure, bool as_json) {
  print_error(failure.message);
  if (as_json) tell_failure(failure);
}

void tell_failure(const Failure& failure) {
  if (!failures_as_json || output_begun.exchange(true)) return;
  const auto& [where, what, why, remedy] = failure.complaint;
  const int code = static_cast<int>(failure.code);
  write_output(json_text(nlohmann::ordered_json{{"exit_code", code},
                                                {"error", failure.message},
                                                {"where", where},
                                                {"what", what},
                                                {"why", why},
                                                {"remedy", remedy},
                                                {"code", code}},
                         2) +
               "\n");
}

int code_with_output_written(int code) {
  // Some file systems tell of a full disk when a file is closed; this one stays open for a failure that comes later.
  const int copy = dup(output);
  if (copy >= 0 && close(copy) != 0 && errno != EINTR && first_output_error == 0) first_output_error = errno;
  if (first_output_error == 0 || first_output_error == EPIPE) return code;
  print_error(fmt::format("standard output: cannot be written: {}; free space or write to another file system",
                          std::strerror(first_output_error.load())));
  return code != 0 ? code : static_cast<int>(ExitCode::environment);
}

}  // namespace trainmark::cli
