// A config with overrides to options and back. What it must raise is Error{usage}; what passes must be written and read
// again as the same options.
#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "fuzz/fuzz.hpp"
#include "trainmark/config.hpp"

namespace trainmark::fuzz {
namespace {

constexpr std::string_view mark = "\n--set ";

std::vector<Seed> seeds() {
  std::vector<Seed> all = seeds_in("configs");
  const std::string small = R"({"data": {"train": "${DATA}/t", "validation": "${NONE:-v}"}, // a comment
 "stage": {"strategy": "replicate", "target": "/tmp/x", "reserve_percent": 2.5},
 "schedule": {"decay": [{"epoch": 32, "factor": 0.25}, {"epoch": 64, "factor": 0.125}]}, "seed": 9007199254740993})";
  for (const std::string_view overrides :
       {"", "\n--set train.epochs=3", "\n--set /schedule/decay/0/factor=0.5\n--set name=42",
        "\n--set data={\"train\": \"a\"}",
        "\n--set stage.strategy=none\n--set model.extent=32\n--set results.root=${DATA}"})
    all.push_back({small + std::string(overrides)});
  all.push_back({to_json(RunOptions{})});
  return all;
}

std::vector<std::string> split(std::string_view& input) {
  std::vector<std::string> overrides;
  for (std::size_t at = input.rfind(mark); at != std::string_view::npos && overrides.size() < 8;
       at = input.rfind(mark)) {
    overrides.insert(overrides.begin(), std::string(input.substr(at + mark.size())));
    input = input.substr(0, at);
  }
  return overrides;
}

std::optional<std::string> variable(std::string_view name) {
  return name == "DATA" || name == "HOME" ? std::optional<std::string>("/data") : std::nullopt;
}

bool equal(const RunOptions& a, const RunOptions& b) {
  return a.seed == b.seed && a.data == b.data && a.stage == b.stage && a.load == b.load && a.recipe == b.recipe &&
         a.train == b.train && to_json(a) == to_json(b);
}

RunOptions read_again(const std::string& json) {
  try {
    return parse_config(json, "written", {}, variable);
  } catch (const Error& error) {
    fail("what is written can be read", fmt::format("{}\n{}", error.what(), json));
  }
}

}  // namespace

const Target& target() {
  static const Target target{"config", true, seeds};
  return target;
}

}  // namespace trainmark::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace trainmark;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::vector<std::string> overrides = fuzz::split(text);
  try {
    const RunOptions options = parse_config(text, "c.json", overrides, fuzz::variable);
    const std::string json = to_json(options);
    fuzz::require(nlohmann::json::accept(json), "options are written as JSON", json);
    const RunOptions again = fuzz::read_again(json);
    fuzz::require(fuzz::equal(options, again), "options come back as they were",
                  fmt::format("{}\n{}", json, to_json(again)));
    for (const int ranks : {1, 3, 4096})
      static_cast<void>(check_options(options, ranks, 1, {4096, 256, false}));
  } catch (const Error& error) {
    const std::string_view message = error.what();
    fuzz::require(error.code() == ExitCode::usage && !message.empty(),
                  "a config that cannot be used is a mistake of usage", message);
    for (const char c : message)
      fuzz::require(static_cast<unsigned char>(c) >= 0x20 || c == '\n', "a message commands no terminal", message);
  }
  return 0;
}
