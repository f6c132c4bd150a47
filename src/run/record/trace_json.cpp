// A trace as trace-event JSON, which chrome://tracing and Perfetto read: complete events ("X") with microseconds, a
// process for the rank and a thread for each track.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "mllog/utf8.hpp"
#include "run/record/files.hpp"
#include "run/record/trace.hpp"

namespace trainmark {
namespace {

using Nanoseconds = std::int64_t;

std::string quoted(const std::string& text) { return json_text(nlohmann::json(text)); }
std::string microseconds(Nanoseconds time) {
  return fmt::format("{}{}.{:03}", time < 0 ? "-" : "", std::abs(time) / 1000, std::abs(time) % 1000);
}

}  // namespace

class Trace::Writer {
 public:
  explicit Writer(const Trace& trace) : trace_(trace) {}

  /// Points in time are rounded, not lengths: what lies within something else still does.
  [[nodiscard]] Nanoseconds at(double seconds) const { return std::llround((seconds + trace_.shift_) * 1e9); }
  void complete(Track track, const std::string& name, const std::string& category, Nanoseconds begin, Nanoseconds end,
                const std::string& arguments = {}) {
    event(fmt::format(R"("name":{},"cat":{},"ph":"X","ts":{},"dur":{}{})", name, category, microseconds(begin),
                      microseconds(end - begin), arguments),
          track);
  }
  void event(const std::string& text, Track track) {
    fmt::format_to(std::back_inserter(text_), "{}{{{},\"pid\":{},\"tid\":{}}}", text_.size() == 0 ? "" : ",\n", text,
                   trace_.rank_, static_cast<int>(track));
  }

  void names() {
    const auto meta = [&](const char* what, const std::string& arguments, Track track) {
      event(fmt::format(R"("name":"{}","ph":"M","args":{{{}}})", what, arguments), track);
    };
    meta("process_name", fmt::format("\"name\":{}", quoted(fmt::format("rank {} on {}", trace_.rank_, trace_.host_))),
         Track::phases);
    meta("process_sort_index", fmt::format("\"sort_index\":{}", trace_.rank_), Track::phases);
    constexpr std::array tracks = {std::pair(Track::phases, "phases"),
                                   std::pair(Track::start_up, "start-up"),
                                   std::pair(Track::steps, "steps, terms as sums"),
                                   std::pair(Track::input, "input"),
                                   std::pair(Track::compute, "compute"),
                                   std::pair(Track::communication, "communication")};
    for (const auto& [track, name] : tracks) {
      meta("thread_name", fmt::format("\"name\":\"{}\"", name), track);
      meta("thread_sort_index", fmt::format("\"sort_index\":{}", static_cast<int>(track)), track);
    }
  }

  void phases() {
    const double now = trace_.clock_.seconds();
    for (const Phase& phase : trace_.phases_)
      complete(Track::phases, quoted(phase.name), R"("phase")", at(phase.begin),
               at(phase.end < phase.begin ? now : phase.end));
    for (const Metric& metric : trace_.metrics_) {
      if (!std::isfinite(metric.value)) continue;
      event(fmt::format(R"("name":{},"cat":"metric","ph":"i","s":"t","ts":{},"args":{{"value":{:.9g}}})",
                        quoted(metric.key), microseconds(at(metric.at)), metric.value),
            Track::phases);
    }
    for (const StartUp::Part& part : trace_.start_up_)
      complete(Track::start_up, fmt::format("\"{}\"", word(part.scope)), R"("start-up")", at(part.begin), at(part.end));
  }

  void step(const Step& step) {
    const Nanoseconds begin = at(step.begin), end = at(step.begin + step.seconds);
    if (!step.traced) {
      complete(Track::steps, fmt::format("\"steps {} to {}, not traced\"", step.first, step.last), R"("step")", begin,
               end);
      return;
    }
    complete(Track::steps, fmt::format("\"step {}\"", step.first), R"("step")", begin, end,
             fmt::format(R"(,"args":{{"step":{},"epoch":{}}})", step.first, step.epoch + 1));
    double sum = 0.0;
    Nanoseconds from = begin;
    for (std::size_t term = 0; term < term_count; ++term) {
      sum += step.terms.seconds().at(term);
      const Nanoseconds to = term + 1 == term_count ? end : std::clamp(at(step.begin + sum), from, end);
      complete(Track::steps, fmt::format("\"{}\"", Words<Term>::all.at(term)), R"("term")", from, to);
      from = to;
    }
    if (std::isfinite(step.loss))
      event(fmt::format(R"("name":"loss","ph":"C","ts":{},"args":{{"value":{:.9g}}})", microseconds(end), step.loss),
            Track::steps);
  }

  [[nodiscard]] std::string document() {
    names();
    phases();
    std::int64_t traced = 0, left_out = 0;
    for (const Step& each : trace_.steps_) {
      step(each);
      (each.traced ? traced : left_out) += each.last - each.first + 1;
    }
    std::vector<std::pair<std::string, std::string>> names;
    for (const Name& name : trace_.names_)
      names.emplace_back(quoted(name.name), quoted(name.category));
    for (const Span& span : trace_.spans_) {
      const auto& [name, category] = names.at(static_cast<std::size_t>(span.name));
      complete(span.track, name, category, at(span.begin), at(span.end));
    }
    const double now = trace_.clock_.seconds();
    const nlohmann::ordered_json about = {
        {"kind", "trainmark trace"},
        {"rank", trace_.rank_},
        {"host", trace_.host_},
        {"ts_0_unix_ms",
         trace_.clock_.unix_ms() - static_cast<std::int64_t>(std::llround((now + trace_.shift_) * 1e3))},
        {"steps_traced", traced},
        {"steps_not_traced", left_out},
        {"phases_not_traced", trace_.phases_lost_}};
    return fmt::format("{{\"displayTimeUnit\":\"ms\",\"otherData\":{},\"traceEvents\":[\n{}\n]}}\n", json_text(about),
                       fmt::to_string(text_));
  }

 private:
  const Trace& trace_;
  fmt::memory_buffer text_;
};

void Trace::write(const std::filesystem::path& path) const {
  if (!started_) return;
  std::error_code ignored;  // what cannot be made cannot be written to, and that says why
  std::filesystem::create_directories(path.parent_path(), ignored);
  write_result(path, Writer(*this).document());
}

std::filesystem::path trace_file(const std::filesystem::path& results, int rank) {
  return results / "trace" / fmt::format("rank-{:04}.json", rank);
}

void leave_trace(const World& world, const Trace& trace, const std::filesystem::path& results,
                 const std::function<void(const std::string&)>& say) {
  if (!trace.is_on()) return;
  const std::filesystem::path file = trace_file(results, world.all().rank());
  try {
    agree_on(world.all(), [&] { trace.write(file); });
    say(fmt::format("time lines of {} in {}", world.all().size() == 1 ? "the rank" : "all ranks",
                    file.parent_path().string()));
  } catch (const AgreedError& error) {
    say(fmt::format("warning: traces are missing: {}", error.what()));
  }
}

}  // namespace trainmark
