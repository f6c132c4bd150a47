// What the data commands made or found, as text and as JSON.
#pragma once

#include <string>

#include "trainmark/load.hpp"
#include "trainmark/synth.hpp"

namespace trainmark::cli {

[[nodiscard]] std::string generation_json(const SynthReport& report, const std::string& target);
[[nodiscard]] std::string inspection_text(const Inspection& seen);
[[nodiscard]] std::string inspection_json(const Inspection& seen);
[[nodiscard]] std::string stats_text(const ChannelStats& stats, const std::string& path, double seconds);
[[nodiscard]] std::string stats_json(const ChannelStats& stats, const std::string& path, double seconds);
[[nodiscard]] std::string verification_text(const Verification& found, const std::string& path, bool quiet);
[[nodiscard]] std::string verification_json(const Verification& found);

}  // namespace trainmark::cli
