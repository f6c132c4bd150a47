// Records as the official parser reads them. Numbers go through to_chars: no locale can turn a point into a comma.
#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <utility>

#include "mllog/utf8.hpp"
#include "trainmark/mllog.hpp"

namespace trainmark {
namespace {

void append_string(std::string& to, std::string_view bytes) {
  const std::string valid = to_utf8(bytes);
  const std::string_view text = valid;
  to += '"';
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"' || c == '\\') {
      to += '\\';
      to += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      to += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    } else if (c == ':' && text.substr(i).starts_with(log_token)) {
      to += "\\u003a";  // readers look for the token anywhere in a line
    } else {
      to += c;
    }
  }
  to += '"';
}

void append_number(std::string& to, double value) {
  // Not JSON, but what the official parser takes, and all it takes.
  if (std::isnan(value)) {
    to += "NaN";
    return;
  }
  if (std::isinf(value)) {
    to += value > 0 ? "Infinity" : "-Infinity";
    return;
  }
  std::array<char, 32> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  const std::string_view text(digits.data(), static_cast<std::size_t>(end - digits.data()));
  to += text;
  if (text.find_first_of(".e") == std::string_view::npos) to += ".0";  // a float stays one for its readers
}

template <class T>
void append_list(std::string& to, const std::vector<T>& values) {
  to += '[';
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i > 0) to += ", ";
    if constexpr (std::is_same_v<T, double>) {
      append_number(to, values[i]);
    } else {
      to += std::to_string(values[i]);
    }
  }
  to += ']';
}

struct AppendValue {
  std::string& to;
  void operator()(std::monostate) const { to += "null"; }
  void operator()(bool value) const { to += value ? "true" : "false"; }
  void operator()(std::int64_t value) const { to += std::to_string(value); }
  void operator()(double value) const { append_number(to, value); }
  void operator()(const std::string& value) const { append_string(to, value); }
  void operator()(const std::vector<std::int64_t>& values) const { append_list(to, values); }
  void operator()(const std::vector<double>& values) const { append_list(to, values); }
};

std::string_view name_of(EventType type) {
  switch (type) {
    case EventType::interval_start:
      return "INTERVAL_START";
    case EventType::interval_end:
      return "INTERVAL_END";
    case EventType::point_in_time:
      break;
  }
  return "POINT_IN_TIME";
}

[[noreturn]] void log_error(const std::filesystem::path& path, const char* what) {
  throw Error(ExitCode::environment, Complaint{path.string(), fmt::format("{} the log: {}", what, std::strerror(errno)),
                                               "a log with a hole is judged as failed", "free space and run again"});
}

}  // namespace

std::string to_line(const Event& event) {
  std::string line(log_token);
  line += fmt::format("{{\"namespace\": \"\", \"time_ms\": {}, \"event_type\": \"{}\", \"key\": ", event.time_ms,
                      name_of(event.type));
  append_string(line, event.key);
  line += ", \"value\": ";
  std::visit(AppendValue{line}, event.value);
  const std::string_view path = event.where.file_name();
  line += ", \"metadata\": {\"file\": ";
  append_string(line, path.substr(path.rfind('/') + 1));
  line += fmt::format(", \"lineno\": {}", event.where.line());
  for (const auto& [name, value] : event.metadata) {
    line += ", ";
    append_string(line, name);
    line += ": ";
    std::visit(AppendValue{line}, value);
  }
  line += "}}";
  return line;
}

LogFile::LogFile(const std::filesystem::path& path)
    : descriptor_(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)), path_(path) {
  if (descriptor_ < 0) {
    throw Error(ExitCode::environment,
                Complaint{path.string(), fmt::format("cannot open the log: {}", std::strerror(errno)),
                          "a run without its log is no run", "set /results/folder to a place you may write to"});
  }
}

LogFile::~LogFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void LogFile::write(const Event& event) {
  const std::string line = to_line(event) + '\n';
  std::string_view rest = line;  // one write() as a rule; a signal or a full disk may cut it
  while (!rest.empty()) {
    const ssize_t written = ::write(descriptor_, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) log_error(path_, "cannot write");
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
}

void LogFile::close() {
  if (descriptor_ < 0) return;
  // What is no file on a disk (a pipe, a device) has nothing to flush.
  const bool flushed = ::fsync(descriptor_) == 0 || errno == EINVAL || errno == EROFS || errno == ENOTSUP;
  const int reason = errno;
  const bool closed = ::close(std::exchange(descriptor_, -1)) == 0 || errno == EINTR;  // that closed it all the same
  if (!flushed) errno = reason;
  if (!flushed || !closed) log_error(path_, flushed ? "cannot close" : "cannot flush");
}

LogScope::LogScope(EventSink& sink, const Clock& clock, std::string name, Metadata metadata, std::source_location where)
    : sink_(sink), clock_(clock), name_(std::move(name)), metadata_(std::move(metadata)), where_(where) {
  sink_.write({clock_.unix_ms(), EventType::interval_start, name_ + "_start", {}, metadata_, where_});
}

LogScope::~LogScope() {
  try {
    sink_.write({clock_.unix_ms(), EventType::interval_end, name_ + "_stop", {}, metadata_, where_});
  } catch (const std::exception& error) {
    // A destructor may not raise; the sink's owner hears of it again when it closes the log.
    std::fputs(fmt::format("trainmark: warning: {}\n", error.what()).c_str(), stderr);
  }
}

void LogScope::add(std::string key, EventValue value) { metadata_.emplace_back(std::move(key), std::move(value)); }

}  // namespace trainmark
