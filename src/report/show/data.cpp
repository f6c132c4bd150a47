// The report for other programs, as JSON and as one long CSV table, and how files come into being whole.
#include <fmt/core.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "mllog/utf8.hpp"
#include "report/show/tables.hpp"
#include "trainmark/report.hpp"

namespace trainmark {
namespace {

using Json = nlohmann::ordered_json;

Json number(const std::optional<double>& value) {
  return value && std::isfinite(*value) ? Json(*value) : Json(nullptr);
}

Json epochs_json(const RunReport& run) {
  Json list = Json::array();
  for (const EpochReport& epoch : run.epochs) {
    list.push_back({{"epoch", epoch.number},
                    {"epochs", epoch.epochs},
                    {"train_s", epoch.train_s},
                    {"evaluation_s", epoch.evaluation_s},
                    {"metric", number(epoch.metric)},
                    {"metric_source", name_of(epoch.metric_source)},
                    {"wait_for_input_s", number(epoch.wait_for_input_s)},
                    {"samples_per_s", number(epoch.samples_per_s)},
                    {"rate_source", name_of(epoch.rate_source)},
                    {"slow", epoch.slow}});
  }
  return list;
}

Json stretches_json(const RunReport& run) {
  Json list = Json::array();
  for (const TimeStretch& each : run.stretches)
    list.push_back({{"term", each.term}, {"begin_s", number(each.begin_s)}, {"end_s", number(each.end_s)}});
  return list;
}

Json rooflines_json(const RunReport& run) {
  Json list = Json::array();
  for (const report::Grid& grid : report::roofline_tables(run))
    list.push_back(report::grid_json(grid));
  return list;
}

Json run_json(const RunReport& run) {
  Json figures = Json::object();
  for (const Figure& figure : run.figures) {
    Json& entry = figures[figure.name];
    entry = {{"value", number(figure.value)}, {"unit", figure.unit}, {"source", name_of(figure.source)}};
    if (figure.at_most) entry["at_most"] = number(figure.at_most);
  }
  return {{"path", run.path},
          {"part", run.part},
          {"attempt", run.attempt},
          {"attempts", run.attempts},
          {"labels", run.labels},
          {"benchmark", run.benchmark},
          {"division", run.division},
          {"organisation", run.organisation},
          {"platform", run.platform},
          {"status", run.status},
          {"target_met", run.target_met},
          {"broke_off", run.broke_off},
          {"figures", figures},
          {"epochs", epochs_json(run)},
          {"stretches", stretches_json(run)},
          {"ranks", report::grid_json(report::rank_table(run))},
          {"not_comparable_because", run.incomparable},
          {"roofline", rooflines_json(run)},
          {"published", report::grid_json(report::published_table(run))},
          {"notes", run.notes}};
}

std::string cell(std::string_view bytes) {
  const std::string text = to_utf8(bytes);
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text)
    quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

}  // namespace

std::string render_json(std::span<const RunReport> runs, const Questions& questions) {
  Json document = {{"runs", Json::array()}, {"tables", Json::array()}};
  for (const RunReport& run : runs)
    document["runs"].push_back(run_json(run));
  for (const report::Grid& grid : report::joint_tables(runs, questions))
    document["tables"].push_back(report::grid_json(grid));
  const OlympicScore score = olympic_score(runs, questions.instances);
  document["olympic_mean_min"] = number(score.minutes);
  if (score.minutes) document["olympic_mean_runs"] = score.runs;
  if (score.at_most) document["olympic_mean_at_most_min"] = number(score.at_most);
  if (!score.minutes) document["no_olympic_mean_because"] = score.why_not;
  return json_text(document, 2) + "\n";
}

std::string render_csv(std::span<const RunReport> runs) {
  std::string text = "run,epoch,figure,value,unit,source\n";
  for (const RunReport& run : runs) {
    const std::string name = cell(run.name());
    const auto whole_run = [&](const std::string& figure, double value, const Figure& of) {
      text += fmt::format("{},,{},{:.10g},{},{}\n", name, cell(figure), value, of.unit, name_of(of.source));
    };
    for (const Figure& figure : run.figures) {
      whole_run(figure.name, figure.value, figure);
      if (figure.at_most) whole_run(figure.name + ", at most", *figure.at_most, figure);
    }
    for (const EpochReport& epoch : run.epochs) {
      const auto row = [&](const char* figure, double value, const char* unit, FigureSource source) {
        text += fmt::format("{},{},{},{:.10g},{},{}\n", name, epoch.number, figure, value, unit, name_of(source));
      };
      row("train", epoch.train_s, "s", FigureSource::logged);
      row("evaluation", epoch.evaluation_s, "s", FigureSource::logged);
      if (epoch.metric) row("metric", *epoch.metric, "", epoch.metric_source);
      if (epoch.samples_per_s) row("samples/s", *epoch.samples_per_s, "1/s", epoch.rate_source);
      if (epoch.wait_for_input_s) row("wait for input", *epoch.wait_for_input_s, "s", FigureSource::measured);
    }
    for (const std::string& label : run.labels)
      text += fmt::format("{},,{},,,\n", name, cell(label));
    for (const std::string& note : run.notes)
      text += fmt::format("{},,{},,,\n", name, cell("note: " + note));
  }
  return text;
}

void write_report(const std::filesystem::path& path, std::string_view text) {
  write_atomically(path, text, {"", "check that its folder exists, can be written and has room"});
}

}  // namespace trainmark
