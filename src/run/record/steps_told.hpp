// What run.json, ranks.csv and a person are told of where steps spent their time.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "run/record/results.hpp"
#include "run/record/sensor_log.hpp"
#include "run/record/step_log.hpp"

namespace trainmark {

/// The terms as columns of a table: "exposed_input_s,exposed_upload_s,...".
[[nodiscard]] std::string term_columns(std::string_view suffix);
/// Columns of ranks.csv: quantiles of the step and its terms, and in how many steps a rank was last, at whose cost, by
/// which term.
[[nodiscard]] std::string step_columns();
[[nodiscard]] std::string step_cells(const StepLog& log, const SensorLog& sensors);
/// Of this rank, for run.json.
void add_step_figures(std::map<std::string, Figure>& figures, const StepLog& log);

/// The rank that the others waited for most.
struct LastRank {
  int rank = 0;
  std::int64_t steps = 0;  ///< in which it came last
  double seconds = 0.0;    ///< that it cost the others
  std::string host;
  std::string by;  ///< the term, with what held the device back
};
/// Collective. Empty where no rank was late.
[[nodiscard]] std::optional<LastRank> last_rank(const World& world, const StepLog& log, const SensorLog& sensors);

}  // namespace trainmark
