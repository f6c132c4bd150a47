// The description of a system that a submission to MLPerf has to hold.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "trainmark/report.hpp"

namespace trainmark::cli {

using Json = nlohmann::ordered_json;

/// What a results folder knows of its system: what its log, env.json and run.json say; all 33 fields of the rules,
/// empty where nothing is known.
[[nodiscard]] Json known_system(const RunReport& run, const std::string& submission_status);
/// `known` with what `text`, a JSON object, says. Raises Error{usage} for a field that the rules do not have.
[[nodiscard]] Json described_system(Json known, const std::string& text, const std::string& source_name);
/// What the rules' tools would trip over: fields that are missing, no text, or empty where that is not allowed.
[[nodiscard]] std::vector<std::string> faults_of_system(const Json& system);
/// The document beside a log, an empty object where there is none.
[[nodiscard]] Json beside(const std::filesystem::path& log, const char* name);

}  // namespace trainmark::cli
