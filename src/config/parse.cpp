// The whole way from text to options: read, override, fill, check; then either options or every complaint at once.
#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "config/checks.hpp"
#include "config/document.hpp"
#include "config/overrides.hpp"
#include "config/reader.hpp"
#include "trainmark/config.hpp"

namespace trainmark {
namespace {

using config::Remark;

std::string to_line(const Remark& remark, std::string_view source, const std::vector<std::string>& overrides) {
  const std::string where = remark.place.override_index < 0
                                ? fmt::format("{}:{}", source, remark.place.line)
                                : "--set " + overrides.at(static_cast<std::size_t>(remark.place.override_index));
  return config::printable(remark.pointer.empty() ? fmt::format("{}: {}", where, remark.text)
                                                  : fmt::format("{}: {}: {}", where, remark.pointer, remark.text));
}

[[noreturn]] void raise(std::vector<Remark> remarks, std::string_view source,
                        const std::vector<std::string>& overrides) {
  std::stable_sort(remarks.begin(), remarks.end(), [](const Remark& a, const Remark& b) { return a.place < b.place; });
  std::string message;
  for (const Remark& remark : remarks)
    message += (message.empty() ? "" : "\n") + to_line(remark, source, overrides);
  throw Error(ExitCode::usage, message);
}

}  // namespace

RunOptions parse_config(std::string_view text, std::string_view source_name, const std::vector<std::string>& overrides,
                        const Lookup& lookup) {
  std::vector<Remark> remarks;
  config::Document document = config::read_document(text, -1, remarks);
  if (!document.readable) raise(std::move(remarks), source_name, overrides);
  apply_overrides(document.root, overrides, remarks);

  RunOptions options;
  RunOptions defaults;
  config::Reader reader(document.root, lookup, remarks,
                        [&](config::Visitor& visitor) { config::describe(visitor, defaults); });
  config::describe(reader, options);
  std::set<std::string> wrong;
  for (const Remark& remark : remarks) {
    wrong.insert(remark.pointer);
    wrong.insert(remark.meant.begin(), remark.meant.end());
  }
  if (std::holds_alternative<config::Object>(document.root.value)) {
    for (config::Conflict& conflict : config::conflicts(options, wrong))
      remarks.push_back({reader.place_of(conflict.pointer), std::move(conflict.pointer), std::move(conflict.text)});
  }
  if (!remarks.empty()) raise(std::move(remarks), source_name, overrides);
  return options;
}

}  // namespace trainmark
