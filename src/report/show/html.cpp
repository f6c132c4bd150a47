// The report as one HTML page: no script, nothing from elsewhere, readable in light and dark.
#include <fmt/core.h>

#include <algorithm>

#include "report/show/headline.hpp"
#include "report/show/pictures.hpp"
#include "report/show/plot.hpp"
#include "report/show/tables.hpp"
#include "trainmark/mllog.hpp"
#include "trainmark/report.hpp"

namespace trainmark {
namespace {

using report::escaped;

// Parts of a bar that touch differ in lightness (--q0 ...): they are told apart without colours.
constexpr std::string_view style = R"(<style>
:root { color-scheme: light dark; --ink: #1d2530; --soft: #5d6875; --paper: #fdfdfc; --line: #d9dee4; --warn: #8a4b00;
  --curve: #1f6fb4; --target: #c2410c; --p0: #7c5cc4; --p1: #1f6fb4; --p2: #d97706; --p3: #2a9d6f; --p4: #9aa5b1; --p5: #d65c5c;
  --q0: #3b2a78; --q1: #7fb6e6; --q2: #8a4b08; --q3: #9ad9bd; --q4: #5f6b78; --q5: #f0b4b4; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ec; --soft: #a0abb7; --paper: #14181d; --line: #333b44;
  --warn: #f5b26b; --curve: #63b3ed; --target: #fb923c; --p0: #a78bfa; --p1: #63b3ed; --p2: #fbbf24; --p3: #5fd3a3;
  --p4: #6b7683; --p5: #f08a8a; --q0: #b8a6f5; --q1: #2f6ea8; --q2: #fbbf24; --q3: #1f7a5a; --q4: #c3ccd6; --q5: #a34747; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 72rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; overflow-wrap: anywhere; } h3 { font-size: 1rem; margin: 1.5rem 0 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: 1.2rem 0; } dt { font-weight: 600; }
dd { margin: 0; } th:first-child, td:first-child { min-width: 9rem; } td.t { min-width: 6rem; } td.t:last-child { min-width: 14rem; }
@media (min-width: 60rem) { th:first-child, td:first-child { min-width: 16rem; } }
@media (max-width: 40rem) { dl { display: block; } dd { margin: 0 0 .6rem; } }
summary { cursor: pointer; } summary h2 { display: inline; } details { margin-top: 2rem; }
p.label { color: var(--warn); font-weight: 600; margin: .2rem 0; }
p.soft, td.soft { color: var(--soft); } p.soft { margin: .2rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .8rem .2rem 0; border-bottom: 1px solid var(--line); text-align: left; }
td.n, th.n { text-align: right; } td.n { white-space: nowrap; } th { vertical-align: bottom; }
tr.slow td { color: var(--warn); }
svg { display: block; width: 100%; max-width: 40rem; margin: 1.2rem 0; }
svg .title { font-size: 14px; font-weight: 600; fill: var(--ink); } svg .tick { font-size: 12px; fill: var(--soft); }
svg .grid { stroke: var(--line); } svg .curve { fill: none; stroke: var(--curve); stroke-width: 2; }
svg .mark { fill: var(--curve); } svg .target { stroke: var(--target); stroke-dasharray: 6 4; }
svg rect { stroke: var(--paper); stroke-width: 1; }
svg .part0 { fill: var(--q0); } svg .part1 { fill: var(--q1); } svg .part2 { fill: var(--q2); }
svg .part3 { fill: var(--q3); } svg .part4 { fill: var(--q4); } svg .part5 { fill: var(--q5); }
.scroll > svg { min-width: 34rem; }
svg .s0 { --its: var(--p1); } svg .s1 { --its: var(--p2); } svg .s2 { --its: var(--p3); } svg .s3 { --its: var(--p0); }
svg .full { fill: var(--its); } svg .hollow { fill: var(--paper); stroke: var(--its); stroke-width: 2; }
svg .line { fill: none; stroke: var(--its); stroke-width: 2; } svg .whisker { stroke: var(--its); stroke-width: 1.5; }
svg .dash1 { stroke-dasharray: 7 4; } svg .dash2 { stroke-dasharray: 2 4; } svg .dash3 { stroke-dasharray: 9 3 2 3; }
svg .roof { stroke: var(--ink); stroke-width: 1.3; opacity: .75; }
svg .stretch { fill: var(--p1); stroke-width: .4; } svg .shade { fill: var(--ink); stroke-width: .4; }
svg .band { fill: var(--p2); opacity: .18; }
</style>
)";

std::string number(const std::optional<double>& value, int digits) {
  return value ? fmt::format("{:.{}f}", *value, digits) : "–";
}

/// A plot keeps a size at which it can be read, and scrolls by itself where the screen is narrower.
std::string framed(const std::string& svg) { return svg.empty() ? svg : "<div class=\"scroll\">" + svg + "</div>\n"; }

std::string paragraphs(const std::vector<std::string>& texts, std::string_view kind) {
  std::string html;
  for (const std::string& text : texts)
    html += fmt::format("<p class=\"{}\">{}</p>\n", kind, escaped(text));
  return html;
}

report::Bar bar_of(const RunReport& run, const std::string& name) {
  const TimeTerms& terms = run.terms;
  return {name,
          {{"staging", terms.staging_s},
           {"training", terms.training_s},
           {"cold first epoch", terms.cold_first_epoch_s},
           {"evaluation", terms.evaluation_s},
           {"rest", terms.rest_s},
           {"undecided", terms.undecided_s}}};
}

std::string plots_of(const RunReport& run) {
  std::vector<report::Point> metric, rate;
  for (const EpochReport& epoch : run.epochs) {
    if (epoch.metric) metric.push_back({static_cast<double>(epoch.number), *epoch.metric});
    if (epoch.samples_per_s) rate.push_back({static_cast<double>(epoch.number), *epoch.samples_per_s});
  }
  std::optional<report::Reference> target, median;
  if (run.target) target = report::Reference{*run.target, fmt::format("target {:g}", *run.target)};
  if (const Figure* figure = run.find("samples/s median epoch"))
    median = report::Reference{figure->value, fmt::format("median {:.1f}", figure->value)};
  const report::Bar bar = bar_of(run, run.name());
  return framed(report::stacked_bars("What the clock was spent on", std::span(&bar, 1), "s")) +
         framed(report::time_line(run)) + framed(report::step_waterfall(run)) +
         framed(report::line_plot("Metric by epoch [logged]", metric, target)) +
         framed(report::line_plot("Samples/s by epoch", rate, median));
}

std::string figures_of(const RunReport& run) {
  std::string html =
      "<div class=\"scroll\"><table><tr><th>figure</th><th class=\"n\">value</th><th></th><th>source</th></tr>\n";
  for (const Figure& figure : run.figures) {
    const std::string most = figure.at_most ? fmt::format(", at most {:.3f}", *figure.at_most) : "";
    html +=
        fmt::format("<tr><td>{}</td><td class=\"n\">{}</td><td>{}{}</td><td class=\"soft\">{}</td></tr>\n",
                    escaped(figure.name), report::value_of(figure), escaped(figure.unit), most, name_of(figure.source));
  }
  return html + "</table></div>\n";
}

std::string epochs_of(const RunReport& run) {
  std::string html =
      "<div class=\"scroll\"><table><tr><th class=\"n\">epoch</th><th class=\"n\">train s</th><th class=\"n\">eval "
      "s</th>"
      "<th class=\"n\">samples/s</th><th class=\"n\">wait s</th><th class=\"n\">metric</th></tr>\n";
  for (const EpochReport& epoch : run.epochs) {
    html += fmt::format(
        "<tr{}><td class=\"n\">{}</td><td class=\"n\">{:.3f}</td><td class=\"n\">{:.3f}</td><td class=\"n\">{}</td>"
        "<td class=\"n\">{}</td><td class=\"n\">{}</td></tr>\n",
        epoch.slow ? " class=\"slow\"" : "", epoch.number, epoch.train_s, epoch.evaluation_s,
        number(epoch.samples_per_s, 1), number(epoch.wait_for_input_s, 3), number(epoch.metric, 5));
  }
  return html + "</table></div>\n";
}

std::string rooflines_of(const RunReport& run) {
  std::string html;
  for (const report::Grid& grid : report::roofline_tables(run))
    html += report::grid_html(grid);
  return html;
}

constexpr std::size_t most_open = 3, most_sections = 50, most_bars = 20;

/// Closed at first where many runs stand on the page: their comparison comes first.
std::string section_of(const RunReport& run, const std::string& name, bool open) {
  return fmt::format("<details{}><summary><h2>{}</h2></summary>\n", open ? " open" : "", escaped(name)) +
         fmt::format("<p class=\"soft\">{}, {} division, {}, status {}</p>\n", escaped(run.benchmark),
                     escaped(run.division), escaped(run.organisation), escaped(run.status)) +
         paragraphs(run.labels, "label") + paragraphs(run.notes, "soft") + plots_of(run) + figures_of(run) +
         epochs_of(run) + framed(report::rank_map(run)) + report::grid_html(report::rank_table(run)) +
         rooflines_of(run) + report::grid_html(report::published_table(run)) + "</details>\n";
}

std::string headlines(std::span<const RunReport> runs, bool instances) {
  std::string html = "<dl>\n";
  for (const report::Headline& each : report::headlines_of(runs, instances))
    html += fmt::format("<dt>{}</dt><dd>{}</dd>\n", each.question, escaped(each.answer));
  return html + "</dl>\n";
}

/// Runs line by line; many of them are left to the tables of their configurations.
std::string side_by_side(std::span<const RunReport> runs, bool instances) {
  if (runs.size() > most_bars) return {};
  const std::vector<std::string> names = report::short_names(runs);
  std::vector<report::Bar> bars;
  for (std::size_t i = 0; i < runs.size(); ++i)
    bars.push_back(bar_of(runs[i], names[i]));
  std::string html =
      "<div class=\"scroll\"><table><tr><th>run</th><th class=\"n\">run s</th><th class=\"n\">time to train s</th>"
      "<th class=\"n\">with staging s</th><th class=\"n\">epochs</th><th class=\"n\">samples/s</th></tr>\n";
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const RunReport& run = runs[i];
    html += fmt::format("<tr><td>{}</td>", escaped(names[i]));
    for (const char* name :
         {"run", "time to train", "time to train with staging", "epochs to target", "samples/s median epoch"}) {
      const Figure* figure = run.find(name);
      html += figure == nullptr
                  ? "<td class=\"n\">–</td>"
                  : fmt::format("<td class=\"n\">{:.{}f}</td>", figure->value, figure->unit.empty() ? 0 : 2);
    }
    html += "</tr>\n";
  }
  const OlympicScore score = olympic_score(runs, instances);
  return framed(report::stacked_bars("Runs side by side", bars, "s")) + html + "</table></div>\n" +
         (score.minutes
              ? fmt::format("<p>Olympic mean, fastest and slowest dropped: <b>{:.4f} min</b>{} [logged]</p>\n",
                            *score.minutes, score.at_most ? fmt::format(", at most {:.4f} min,", *score.at_most) : "")
              : fmt::format("<p>No olympic mean: {}.</p>\n", escaped(score.why_not)));
}

}  // namespace

std::string render_html(std::span<const RunReport> runs, const Questions& questions) {
  const bool generated = std::any_of(runs.begin(), runs.end(), [](const auto& run) { return run.generated_data; });
  const bool emulated = std::any_of(runs.begin(), runs.end(), [](const auto& run) { return run.emulated_device; });
  std::string html =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>trainmark report</title>\n";
  html += std::string(style) + "</head><body>\n<h1>trainmark report</h1>\n";
  if (emulated) html += fmt::format("<p class=\"label\">{}</p>\n", emulated_label);
  if (generated) html += fmt::format("<p class=\"label\">{}</p>\n", generated_label);
  html += "<p class=\"label\">Result not verified by MLCommons Association</p>\n";
  html += headlines(runs, questions.instances);
  for (const report::Grid& grid : report::joint_tables(runs, questions))
    html += report::grid_html(grid);
  if (runs.size() > 1) html += side_by_side(runs, questions.instances);
  const std::vector<std::string> names = report::short_names(runs);
  const std::size_t shown = questions.details ? runs.size() : std::min(runs.size(), most_sections);
  for (std::size_t i = 0; i < shown; ++i)
    html += section_of(runs[i], names[i], runs.size() <= most_open);
  if (shown < runs.size())
    html += fmt::format("<p class=\"soft\">The first {} of {} runs are shown; --details shows all.</p>\n", shown,
                        runs.size());
  return html + "</body></html>\n";
}

}  // namespace trainmark
