// Whether a folder is a submission that MLPerf's package checker takes.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace trainmark::cli {

/// Whether the results of a benchmark lie in a level of their own, for time to solution ("strong") and throughput
/// ("weak"): HPC's do, Training's do not.
[[nodiscard]] bool has_scaling_level(const std::string& benchmark);
/// A line for each thing that is not as the rules have it; empty: nothing was found. Raises Error{usage} for a folder
/// that is none or cannot be read.
[[nodiscard]] std::vector<std::string> check_package(const std::filesystem::path& folder);

}  // namespace trainmark::cli
