#include "cli/sweep_spec.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "mllog/each_key_once.hpp"
#include "mllog/utf8.hpp"
#include "trainmark/core.hpp"

namespace trainmark::cli {
namespace {

using Json = nlohmann::ordered_json;
constexpr std::array<std::string_view, 4> keys = {"base", "nodes", "repeats", "axes"};
constexpr std::int64_t most_nodes = 1 << 20, most_repeats = 1000;

std::string pointer_to(std::string_view key) { return (nlohmann::json::json_pointer() / std::string(key)).to_string(); }

class Spec {
 public:
  Spec(const Json& document, const std::string& source) : document_(document), source_(source) {}

  [[noreturn]] void refuse(const std::string& pointer, const std::string& what, const std::string& remedy) const {
    throw Error(ExitCode::usage, Complaint{fmt::format("{}: {}", source_, pointer.empty() ? "the document" : pointer),
                                           what, "", remedy});
  }

  void require_known_keys() const {
    if (!document_.is_object())
      refuse("", fmt::format("must be an object, not {}", document_.type_name()), "give {...}");
    for (const auto& [key, value] : document_.items()) {
      if (std::ranges::find(keys, key) != keys.end()) continue;
      const auto* const near =
          std::ranges::min_element(keys, {}, [&](std::string_view known) { return edit_distance(known, key); });
      const bool is_near = edit_distance(*near, key) <= 2;
      refuse(pointer_to(key), "unknown key (it would have no effect)",
             is_near ? fmt::format("did you mean {}?", pointer_to(*near))
                     : fmt::format("allowed here: {}; keys of the config go into /axes", fmt::join(keys, ", ")));
    }
  }

  [[nodiscard]] std::string base() const {
    if (!document_.contains("base")) refuse("/base", "is missing", "name the config that is varied");
    const Json& value = document_.at("base");
    if (!value.is_string() || value.get<std::string>().empty())
      refuse("/base", fmt::format("must be the path of a config, not {}", json_text(value)),
             "name the config that is varied");
    return value;
  }

  [[nodiscard]] int whole(const std::string& pointer, const Json& value, std::int64_t most) const {
    const bool fits = value.is_number_integer() && value >= 1 && value <= most;
    if (!fits)
      refuse(pointer, fmt::format("must be a whole number from 1 to {}, not {}", most, json_text(value)), "correct it");
    return value.get<int>();
  }

  [[nodiscard]] const Json& list(const std::string& pointer, const Json& value, const char* example) const {
    if (!value.is_array() || value.empty())
      refuse(pointer, fmt::format("must be a list of values, not {}", json_text(value)),
             fmt::format("give {}", example));
    for (auto each = value.begin(); each != value.end(); ++each)
      if (std::find(value.begin(), each, *each) != each)  // 8 and 8.0 are one
        refuse(pointer, fmt::format("has {} twice (its runs would be repeated by mistake)", json_text(*each)),
               "leave one out; /repeats repeats runs");
    return value;
  }

  [[nodiscard]] std::vector<SweepAxis> axes() const {
    std::vector<SweepAxis> axes;
    if (!document_.contains("axes")) return axes;
    const Json& all = document_.at("axes");
    if (!all.is_object())
      refuse("/axes", fmt::format("must be an object, not {}", json_text(all)), "give {\"train.precision\": [...]}");
    std::vector<std::string> pointers;
    for (const auto& [key, values] : all.items()) {
      const std::string place = "/axes" + pointer_to(key);
      SweepAxis axis{key, {}};
      std::string pointer;
      try {
        pointer = axis.pointer().to_string();
      } catch (const nlohmann::json::exception&) {
        refuse(place, "is no key of a config", "write train.precision or /train/precision");
      }
      const auto overlaps = [&pointer](const std::string& other) {
        return (pointer + "/").starts_with(other + "/") || (other + "/").starts_with(pointer + "/");
      };
      if (const auto other = std::ranges::find_if(pointers, overlaps); other != pointers.end())
        refuse(place,
               *other == pointer
                   ? "names a key that another axis varies"
                   : fmt::format("overlaps {}, which another axis varies: one would undo the other", *other),
               "keep one");
      if (overlaps("/results/folder"))
        refuse(place, "would name the folder of results, which the sweep gives each run", "leave it out");
      pointers.push_back(pointer);
      if (key == "nodes") refuse(place, "is not a key of the config", "the launch's node counts are /nodes");
      for (const Json& value : list(place, values, "[\"fp32\", \"bf16\"]"))
        axis.values.push_back(value);
      axes.push_back(std::move(axis));
    }
    return axes;
  }

  [[nodiscard]] SweepSpec read() const {
    require_known_keys();
    SweepSpec spec;
    spec.base = base();
    if (document_.contains("nodes")) {
      spec.nodes.clear();
      const Json& nodes = list("/nodes", document_.at("nodes"), "[1, 2, 4]");
      for (std::size_t at = 0; at < nodes.size(); ++at)
        spec.nodes.push_back(whole(fmt::format("/nodes/{}", at), nodes[at], most_nodes));
    }
    if (document_.contains("repeats")) spec.repeats = whole("/repeats", document_.at("repeats"), most_repeats);
    spec.axes = axes();
    for (const SweepAxis& axis : spec.axes)
      if (spec.repeats > 1 && axis.pointer().to_string() == "/seed")
        refuse("/repeats", "gives runs seeds of their own, and /axes/seed others: some would run twice", "keep one");
    return spec;
  }

 private:
  const Json& document_;
  const std::string& source_;
};

}  // namespace

nlohmann::json::json_pointer SweepAxis::pointer() const {
  if (key.starts_with('/')) return nlohmann::json::json_pointer(key);
  nlohmann::json::json_pointer pointer;
  for (std::size_t begin = 0; begin <= key.size();) {
    const std::size_t end = std::min(key.find('.', begin), key.size());
    if (end == begin) throw nlohmann::json::other_error::create(500, "an empty part of a key", nullptr);
    pointer /= key.substr(begin, end - begin);
    begin = end + 1;
  }
  return pointer;
}

std::string SweepAxis::place(std::size_t at) const { return fmt::format("/axes{}/{}", pointer_to(key), at); }

SweepSpec parse_sweep(std::string_view text, const std::string& source_name) {
  Json document;
  try {
    document = Json::parse(text, EachKeyOnce(source_name), true, true);
  } catch (const nlohmann::json::exception& error) {
    throw Error(ExitCode::usage,
                Complaint{source_name, fmt::format("is not JSON: {}", error.what()), "", "correct it"});
  }
  return Spec(document, source_name).read();
}

}  // namespace trainmark::cli
