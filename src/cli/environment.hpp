// What this build and this machine are: the one place that reads environment variables.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace trainmark::cli {

[[nodiscard]] std::optional<std::string> environment_variable(std::string_view name);
/// A variable that is a whole number, and nothing else.
[[nodiscard]] std::optional<std::int64_t> environment_number(std::string_view name);
/// The linker's hash of this program (NT_GNU_BUILD_ID) as hexadecimal digits, from memory; empty where there is none.
[[nodiscard]] std::string build_id();
/// NCCL takes the algorithm and protocol of its sums from the environment alone. Sets both where the user has not, so
/// that sums have the same order in every run, and says what is set. To be called before NCCL is first used, and before
/// environment_json.
std::string fix_order_of_sums();
/// Version, build, libraries, machine and selected variables as one JSON object. `mpi` is the library's own text, where
/// MPI is up; else only the file of the library is known.
[[nodiscard]] std::string environment_json(const std::string& mpi);
/// The same for people, one fact a line.
[[nodiscard]] std::string environment_text();
/// "trainmark 0.1.0 ..." with build features and library versions.
[[nodiscard]] std::string version_text();

}  // namespace trainmark::cli
