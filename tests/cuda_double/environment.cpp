// Options for programs that know nothing of the double (the backend's tests, trainmark itself), from the environment
// variable TRAINMARK_DOUBLE, e.g. "order=random,threads=reverse,seed=7,failing_launch=20".
#include <fmt/format.h>

#include <cstdlib>
#include <map>
#include <sstream>
#include <stdexcept>

#include "cuda_double/device.hpp"

namespace trainmark::cuda_double {
namespace {

template <class Value>
Value one_of(const std::string& name, const std::map<std::string, Value>& values) {
  const auto found = values.find(name);
  if (found == values.end()) throw std::invalid_argument("TRAINMARK_DOUBLE: unknown value " + name);
  return found->second;
}

void set(Options& options, const std::string& key, const std::string& value) {
  using Setter = std::function<void()>;
  Faults& faults = options.faults;
  const auto number = [&] { return std::stoll(value); };
  one_of<Setter>(key, {{"order",
                        [&] {
                          options.order = one_of<Order>(value, {{"eager", Order::eager},
                                                                {"lazy", Order::lazy},
                                                                {"random", Order::random},
                                                                {"priority", Order::priority}});
                        }},
                       {"threads",
                        [&] {
                          options.threads = one_of<ThreadOrder>(value, {{"forward", ThreadOrder::forward},
                                                                        {"reverse", ThreadOrder::reverse},
                                                                        {"random", ThreadOrder::random}});
                        }},
                       {"seed", [&] { options.seed = static_cast<std::uint64_t>(number()); }},
                       {"time_limit", [&] { options.time_limit_seconds = std::stod(value); }},
                       {"closed_to_the_host", [&] { options.closed_to_the_host = number() != 0; }},
                       {"devices", [&] { faults.devices = static_cast<int>(number()); }},
                       {"no_driver", [&] { faults.no_driver = number() != 0; }},
                       {"driver_too_old", [&] { faults.driver_too_old = number() != 0; }},
                       {"memory", [&] { faults.memory_bytes = static_cast<std::size_t>(number()); }},
                       {"failing_launch", [&] { faults.failing_launch = number(); }},
                       {"failure", [&] { faults.failure = static_cast<cudaError_t>(number()); }},
                       {"failing_capture", [&] { faults.failing_capture = number(); }},
                       {"failing_in_capture", [&] { faults.failing_in_capture = number(); }},
                       {"absent_from", [&] { faults.absent_from = number(); }},
                       {"wrong_from", [&] { faults.wrong_from = number(); }},
                       {"hanging_join", [&] { faults.hanging_join = number() != 0; }},
                       {"hanging_abort", [&] { faults.hanging_abort = number() != 0; }},
                       {"only_on", [&] { faults.only_on = static_cast<int>(number()); }},
                       {"pinned_uploads", [&] { options.pinned_uploads = number() != 0; }},
                       {"says_aborts", [&] { options.says_aborts = number() != 0; }},
                       {"failing_collective", [&] { faults.failing_collective = number(); }}})();
}

}  // namespace

Options options_from_environment() {
  Options options;
  const char* text = std::getenv("TRAINMARK_DOUBLE");
  std::istringstream parts(text != nullptr ? text : "");
  for (std::string part; std::getline(parts, part, ',');) {
    const std::size_t equals = part.find('=');
    if (equals == std::string::npos) throw std::invalid_argument("TRAINMARK_DOUBLE: no value in " + part);
    set(options, part.substr(0, equals), part.substr(equals + 1));
  }
  return options;
}

}  // namespace trainmark::cuda_double
