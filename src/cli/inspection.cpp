#include "cli/inspection.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "mllog/utf8.hpp"
#include "trainmark/mllog.hpp"

namespace trainmark::cli {
namespace {

using Json = nlohmann::ordered_json;

double mib(std::int64_t bytes) { return static_cast<double>(bytes) / 1048576.0; }

/// "0", "1", "2-3", "4-7" ...
std::string bin_name(std::size_t bin) {
  if (bin < 2) return fmt::format("{}", bin);
  return fmt::format("{}-{}", std::int64_t{1} << (bin - 1), (std::int64_t{1} << bin) - 1);
}

std::string histogram_text(const std::vector<std::int64_t>& histogram) {
  constexpr double widest = 50;
  std::int64_t total = 0;
  for (const std::int64_t count : histogram)
    total += count;
  std::string text;
  for (std::size_t bin = 0; bin < histogram.size(); ++bin) {
    const double share = total > 0 ? static_cast<double>(histogram[bin]) / static_cast<double>(total) : 0.0;
    const auto length = static_cast<std::size_t>(share * widest + (histogram[bin] > 0 ? 1 : 0));
    text += fmt::format("  {:>13} {:>7.3f} % {}\n", bin_name(bin), 100.0 * share, std::string(length, '#'));
  }
  return text;
}

std::string field_text(const DatasetField& field) {
  if (!field.unusable.empty() && field.type.empty())
    return fmt::format("  {:<10} cannot be read: {}\n", field.name, field.unusable);
  return fmt::format("  {:<10} {} {}, {}{}, {:.1f} MiB stored{}{}\n", field.name, fmt::join(field.shape, "x"),
                     field.type,
                     field.chunk.empty() ? "contiguous" : fmt::format("chunks {}", fmt::join(field.chunk, "x")),
                     field.filters.empty() ? "" : ", " + field.filters, mib(field.stored_bytes),
                     field.by_library.empty() ? "" : "; read through the HDF5 library: " + field.by_library,
                     field.unusable.empty() ? "" : "; cannot be read: " + field.unusable);
}

std::string values_text(const Field& field, const FieldValues& values, std::int64_t samples) {
  std::string text = fmt::format(
      "{} of {} samples: min {:.6g}, max {:.6g}, mean {:.6g}, deviation {:.6g}, zero {:.1f} %\n", field.name, samples,
      values.minimum, values.maximum, values.mean, values.deviation, 100.0 * values.zero_fraction);
  if (values.class_share.empty()) text += histogram_text(values.histogram);
  for (std::size_t i = 0; i < values.class_share.size(); ++i)
    text += fmt::format("  {:>13} {:>9.5f} %\n", std::ceil(field.legal.least) + static_cast<double>(i),
                        100.0 * values.class_share[i]);
  for (std::size_t i = 0; i < values.channel_minimum.size(); ++i)
    text += fmt::format("  {}[..., {}]: {:.6g} to {:.6g}\n", field.name, i, values.channel_minimum[i],
                        values.channel_maximum[i]);
  return text;
}

Json values_json(const Field& field, const FieldValues& values) {
  return {{"name", field.name},
          {"minimum", values.minimum},
          {"maximum", values.maximum},
          {"mean", values.mean},
          {"deviation", values.deviation},
          {"zero_fraction", values.zero_fraction},
          {"histogram_log2", values.histogram},
          {"channel_minimum", values.channel_minimum},
          {"channel_maximum", values.channel_maximum},
          {"class_share", values.class_share}};
}

}  // namespace

std::string inspection_text(const Inspection& seen) {
  std::string text = fmt::format("layout {}; {} samples in {} file(s), {:.1f} MiB\n", word(seen.layout),
                                 seen.manifest.samples(), seen.manifest.entries.size(), mib(seen.manifest.bytes()));
  for (const Field& field : seen.schema.fields)
    text += fmt::format("sample {}: {} {}\n", field.name, to_string(field.shape), name_of(field.dtype));
  text += "datasets of the first file:\n";
  for (const DatasetField& field : seen.fields)
    text += field_text(field);
  for (const std::string& companion : seen.companions)
    text += fmt::format("  needs also {}\n", companion);
  for (const std::string& attribute : seen.attributes)
    text += fmt::format("  {}\n", attribute);
  text += fmt::format("compression {:.2f}x, read amplification {:.2f}x\n", seen.compression, seen.read_amplification);
  if (seen.samples_read == 0) return text;
  if (seen.illegal > 0) {
    text += fmt::format("{} illegal value(s): no run takes them\n", seen.illegal);
    for (const std::string& place : seen.illegal_first)
      text += fmt::format("  {}\n", place);
  }
  if (seen.all_zero > 0) {
    text += fmt::format("{} of {} samples are all zero: model.log_transform=false divides by their mean\n",
                        seen.all_zero, seen.samples_read);
  }
  for (std::size_t at = 0; at < seen.values.size(); ++at)
    text += values_text(seen.schema.fields[at], seen.values[at], seen.samples_read);
  return text;
}

std::string inspection_json(const Inspection& seen) {
  Json fields = Json::array();
  for (const DatasetField& field : seen.fields) {
    fields.push_back({{"name", field.name},
                      {"shape", field.shape},
                      {"chunk", field.chunk},
                      {"type", field.type},
                      {"filters", field.filters},
                      {"stored_bytes", field.stored_bytes},
                      {"by_library", field.by_library},
                      {"unusable", field.unusable}});
  }
  Json sample = Json::array();
  for (const Field& field : seen.schema.fields)
    sample.push_back(
        {{"name", field.name}, {"shape", field.shape.extents()}, {"type", std::string(name_of(field.dtype))}});
  Json values = Json::array();
  for (std::size_t at = 0; at < seen.values.size(); ++at)
    values.push_back(values_json(seen.schema.fields[at], seen.values[at]));
  const Json document = {{"layout", word(seen.layout)},         {"files", seen.manifest.entries.size()},
                         {"samples", seen.manifest.samples()},  {"bytes", seen.manifest.bytes()},
                         {"sample", std::move(sample)},         {"datasets", std::move(fields)},
                         {"companions", seen.companions},       {"attributes", seen.attributes},
                         {"compression", seen.compression},     {"read_amplification", seen.read_amplification},
                         {"samples_read", seen.samples_read},   {"illegal_values", seen.illegal},
                         {"illegal_first", seen.illegal_first}, {"all_zero_samples", seen.all_zero},
                         {"values", std::move(values)}};
  return json_text(document, 2) + "\n";
}

std::string generation_json(const SynthReport& report, const std::string& target) {
  const Json document = {
      {"target", target},      {"files_written", report.files_written}, {"files_kept", report.files_kept},
      {"bytes", report.bytes}, {"generate_s", report.seconds},          {"label", generated_label}};
  return json_text(document, 2) + "\n";
}

std::string verification_text(const Verification& found, const std::string& path, bool quiet) {
  std::string text;
  for (const std::string& difference : found.differences)
    text += difference + "\n";
  if (quiet) return text;
  text +=
      fmt::format("{}: {} files, {} samples, {:.1f} MiB read in {:.1f} s; {}; manifest {}\n", path, found.files,
                  found.samples, mib(found.bytes), found.seconds,
                  found.differences.empty() ? "all is well" : fmt::format("{} difference(s)", found.differences.size()),
                  found.manifest_written ? "written"
                  : found.manifest_found ? "compared"
                                         : "absent");
  return text;
}

std::string verification_json(const Verification& found) {
  const Json document = {{"sound", found.differences.empty()},
                         {"files", found.files},
                         {"samples", found.samples},
                         {"bytes", found.bytes},
                         {"verify_s", found.seconds},
                         {"manifest_found", found.manifest_found},
                         {"manifest_written", found.manifest_written},
                         {"differences", found.differences}};
  return json_text(document, 2) + "\n";
}

std::string stats_text(const ChannelStats& stats, const std::string& path, double seconds) {
  std::string text =
      fmt::format("{}: {} channels of {} values, in {:.1f} s\n", path, stats.minimum.size(), stats.count, seconds);
  for (std::size_t i = 0; i < stats.minimum.size(); ++i)
    text += fmt::format("  channel {:>2}: {:.6g} to {:.6g}, mean {:.6g}\n", i, stats.minimum[i], stats.maximum[i],
                        stats.mean[i]);
  return text;
}

std::string stats_json(const ChannelStats& stats, const std::string& path, double seconds) {
  const Json document = {{"output", path},           {"count", stats.count}, {"minimum", stats.minimum},
                         {"maximum", stats.maximum}, {"mean", stats.mean},   {"mean_square", stats.mean_square},
                         {"stats_s", seconds}};
  return json_text(document, 2) + "\n";
}

}  // namespace trainmark::cli
