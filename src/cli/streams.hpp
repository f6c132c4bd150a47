// The standard streams, and everything that guards them: set up once, in main, for every command.
#pragma once

#include <string>
#include <string_view>

#include "trainmark/core.hpp"

namespace trainmark::cli {

/// Before anything else in main. A reader that leaves, a full disk and a limit on file sizes become errors of the write
/// that meets them, not signals that end the process; no file is opened under the number of a stream that was closed.
/// Stdout is the program's own from here on: what libraries and child processes print there (oneDNN, if ONEDNN_VERBOSE
/// is set; MPI) goes to stderr, and stays out of documents.
void protect_streams() noexcept;

/// To stdout, at once. Never raises: a reader that is gone must not undo work that is done; see
/// code_with_output_written.
void write_output(std::string_view text) noexcept;
/// To stderr as it is, in one write, so that lines of several ranks do not mix. Never raises: messages are lost, not
/// work.
void print_message(std::string_view text) noexcept;
/// "trainmark: error: ..." on stderr, further lines indented.
void print_error(std::string_view message);

/// From here on failures are also told on stdout, as JSON: to `run --json`, whose outcome is.
void tell_failures_as_json() noexcept;
void print_failure(const Failure& failure, bool as_json = true);
/// Its second half: the document on stdout, if it is wanted and there is none yet. For any thread.
void tell_failure(const Failure& failure);

/// The exit code of a process that would end with `code`, at its end: output that was asked for and is lost is said,
/// and is no success. A reader that left wanted no more.
[[nodiscard]] int code_with_output_written(int code);

}  // namespace trainmark::cli
