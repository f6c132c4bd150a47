// The report for a terminal: a block for each run, then all runs side by side and their score.
#include <fmt/core.h>

#include <algorithm>

#include "report/show/tables.hpp"
#include "trainmark/mllog.hpp"
#include "trainmark/report.hpp"

namespace trainmark {
namespace {

/// Logs of others may hold anything; a terminal must not be steered by them.
using report::printable;

std::string with_unit(const Figure& figure) {
  return report::value_of(figure) + (figure.unit.empty() ? "" : " " + figure.unit);
}

std::string bound_of(const Figure& figure) {
  return figure.at_most ? fmt::format(", at most {:.3f} {}", *figure.at_most, figure.unit) : "";
}

std::string optional_number(const std::optional<double>& value, int digits) {
  return value ? fmt::format("{:.{}f}", *value, digits) : "-";
}

std::string epochs_of(const RunReport& run) {
  std::string text = "  epoch   train s    eval s   samples/s   wait s     metric\n";
  for (const EpochReport& epoch : run.epochs) {
    text += fmt::format("  {:>5}  {:>8.3f}  {:>8.3f}  {:>10}  {:>7}  {:>9}{}\n", epoch.number, epoch.train_s,
                        epoch.evaluation_s, optional_number(epoch.samples_per_s, 1),
                        optional_number(epoch.wait_for_input_s, 3), optional_number(epoch.metric, 5),
                        epoch.slow ? "  slow" : "");
  }
  return text;
}

std::string block_of(const RunReport& run) {
  std::string text =
      fmt::format("{}\n  {}, {} division, {}, status {}\n", printable(run.name()), printable(run.benchmark),
                  printable(run.division), printable(run.organisation), printable(run.status));
  for (const std::string& label : run.labels)
    text += fmt::format("  ** {} **\n", printable(label));
  for (const Figure& figure : run.figures)
    text += fmt::format("  {:<34} {:>18}   {}{}\n", figure.name, with_unit(figure), name_of(figure.source),
                        bound_of(figure));
  text += epochs_of(run) + report::grid_text(report::rank_table(run));
  for (const report::Grid& grid : report::roofline_tables(run))
    text += report::grid_text(grid);
  text += report::grid_text(report::published_table(run));
  for (const std::string& note : run.notes)
    text += fmt::format("  note: {}\n", printable(note));
  return text;
}

std::string closing(std::span<const RunReport> runs) {
  const bool generated = std::any_of(runs.begin(), runs.end(), [](const auto& run) { return run.generated_data; });
  const bool emulated = std::any_of(runs.begin(), runs.end(), [](const auto& run) { return run.emulated_device; });
  return (emulated ? fmt::format("** {} **\n", emulated_label) : "") +
         (generated ? fmt::format("** {} **\n", generated_label) : "") +
         "** Result not verified by MLCommons Association **\n";
}

std::string side_by_side(std::span<const RunReport> runs, bool instances) {
  std::string text = "run s     time to train s  with staging s  epochs  samples/s  wait %  run\n";
  const std::vector<std::string> names = report::short_names(runs);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const RunReport& run = runs[i];
    const auto number = [&run](const char* name, int digits) {
      const Figure* figure = run.find(name);
      return figure == nullptr ? std::string("-") : fmt::format("{:.{}f}", figure->value, digits);
    };
    text += fmt::format("{:<9} {:>15}  {:>14}  {:>6}  {:>9}  {:>6}  {}\n", number("run", 2), number("time to train", 2),
                        number("time to train with staging", 2), number("epochs to target", 0),
                        number("samples/s median epoch", 1), number("wait for input share of training", 1),
                        printable(names[i]));
  }
  const OlympicScore score = olympic_score(runs, instances);
  const std::string most = score.at_most ? fmt::format(", at most {:.4f},", *score.at_most) : "";
  text += score.minutes ? fmt::format("olympic mean (fastest and slowest dropped): {:.4f}{} min of {} runs [logged]\n",
                                      *score.minutes, most, score.runs)
                        : fmt::format("no olympic mean: {}\n", score.why_not);
  return text + closing(runs);
}

}  // namespace

std::string render_text(std::span<const RunReport> runs, const Questions& questions) {
  constexpr std::size_t most_blocks = 8, most_lines = 50;
  std::string text;
  const bool blocks = questions.details || runs.size() <= most_blocks;
  for (const RunReport& run : runs)
    if (blocks) text += (text.empty() ? "" : "\n") + block_of(run);
  if (!blocks) text += fmt::format("{} runs; --details shows each\n", runs.size());
  if (runs.size() > 1 && runs.size() <= most_lines) text += "\n" + side_by_side(runs, questions.instances);
  for (const report::Grid& grid : report::joint_tables(runs, questions))
    text += "\n" + report::grid_text(grid);
  if (runs.size() > most_lines) text += closing(runs);
  return text;
}

}  // namespace trainmark
