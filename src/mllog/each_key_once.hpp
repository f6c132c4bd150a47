// Of a key that stands twice in a JSON object, nlohmann's parser drops one without a word; in what a person has written
// it is a mistake, and who made it must be told.
#pragma once

#include <fmt/core.h>

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "trainmark/core.hpp"

namespace trainmark {

/// A callback for parse() that raises Error{usage} where an object has a key twice. `source` names the document.
class EachKeyOnce {
 public:
  explicit EachKeyOnce(std::string source) : source_(std::move(source)) {}

  template <class Json>
  bool operator()(int /*depth*/, nlohmann::detail::parse_event_t event, Json& value) {
    using Event = nlohmann::detail::parse_event_t;
    if (event == Event::object_start) keys_.emplace_back();
    if (event == Event::object_end) keys_.pop_back();
    if (event == Event::key && !keys_.back().insert(value.template get<std::string>()).second)
      throw Error(ExitCode::usage,
                  Complaint{source_, fmt::format("the key \"{}\" stands twice", value.template get<std::string>()),
                            "one of the two would be ignored", "remove one"});
    return true;
  }

 private:
  std::string source_;
  std::vector<std::set<std::string>> keys_;  // of each object that is open
};

}  // namespace trainmark
