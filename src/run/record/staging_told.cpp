#include "run/record/staging_told.hpp"

#include <fmt/core.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "mllog/utf8.hpp"
#include "run/record/progress.hpp"

namespace trainmark {

using Json = nlohmann::ordered_json;

std::string staging_json(const StagedDataset& dataset, const StageOptions& options, std::optional<bool> inside_clock) {
  const bool reads_back = options.verify == Verify::readback;
  Json document;
  if (inside_clock) document["inside_the_clock"] = *inside_clock;
  document["mode"] = word(dataset.reads ? StageMode::overlap : StageMode::before);
  document["form"] = word(dataset.train.places.empty() ? StageForm::files : StageForm::packed);
  document["inflated_files"] = dataset.inflated_files;
  document[dataset.reads ? "preparation_s" : "staging_s"] = dataset.seconds;
  document["waiting_for_another_run_s"] = dataset.wait_seconds;
  document["target"] = options.target;
  if (!options.target_why.empty()) document["target_why"] = options.target_why;
  document["verify"] = word(options.verify);
  if (dataset.reads) {
    const auto& [at_source, at_target, sample_bytes] = *dataset.reads;
    document["complete"] = dataset.complete();
    document["read_from_source"] = {{"samples", at_source}, {"bytes", at_source * sample_bytes}};
    document["read_from_target"] = {{"samples", at_target}, {"bytes", at_target * sample_bytes}};
  }
  document["splits"] = Json::object();
  for (const auto& [split, staged] : {std::pair{"train", &dataset.train}, {"validation", &dataset.validation}}) {
    Json nodes = Json::array();
    for (const NodeStaging& node : staged->nodes) {
      nodes.push_back({{"host", node.host},
                       {"files_copied", node.files_copied},
                       {"files_reused", node.files_reused},
                       {"files_missing", node.files_missing},
                       {"files_packed", node.files_packed},
                       {"copied_bytes", node.bytes_copied},
                       {"reused_bytes", node.bytes_reused},
                       {"source_read_bytes", node.bytes_read},
                       {"source_read_retries", node.retries},
                       {"copy_s", node.copy_seconds},
                       {"exchange_wait_s", node.exchange_wait_seconds},
                       {"verify_s", node.verify_seconds}});
      if (reads_back) {
        nodes.back()["read_back_bytes"] = node.bytes_read_back;
        nodes.back()["read_back_from_storage_bytes"] = node.bytes_read_back_from_storage;
        nodes.back()["read_back_s"] = node.read_back_seconds;
      }
      if (!dataset.reads) continue;
      nodes.back()["done_s"] = node.files_missing == 0 ? Json(node.done_seconds) : Json();
    }
    document["splits"][split] = {
        {"root", staged->root.string()}, {"total_s", staged->seconds}, {"nodes", std::move(nodes)}};
  }
  return json_text(document, 2) + "\n";
}

std::optional<std::string> read_back_line(const StagedDataset& dataset, const StageOptions& options) {
  if (options.verify != Verify::readback) return std::nullopt;
  std::int64_t bytes = 0, from_storage = 0;
  for (const Staged* split : {&dataset.train, &dataset.validation}) {
    for (const NodeStaging& node : split->nodes) {
      bytes += node.bytes_read_back;
      from_storage += node.bytes_read_back_from_storage;
    }
  }
  const std::string shown = from_storage >= bytes
                                ? "all of it from storage, by the kernel's count"
                                : fmt::format(
                                      "{:.1f} MiB from storage by the kernel's count; of the rest it cannot be told "
                                      "from a page cache",
                                      mib(from_storage));
  return fmt::format("read back {:.1f} MiB of the target: {}", mib(bytes), bytes == 0 ? "nothing" : shown);
}

std::vector<std::string> stragglers(const StagedDataset& dataset) {
  std::vector<std::string> lines;
  for (const auto& [split, staged] : {std::pair{"train", &dataset.train}, {"validation", &dataset.validation}}) {
    std::vector<double> seconds;
    for (const NodeStaging& node : staged->nodes)
      seconds.push_back(node.copy_seconds + node.verify_seconds);
    if (seconds.size() < 3) continue;  // of two nobody knows which one is as it should be
    const double median = median_of(seconds);
    for (std::size_t i = 0; i < seconds.size(); ++i) {
      if (seconds[i] < 1.5 * median || seconds[i] < median + 1.0) continue;
      lines.push_back(
          fmt::format("note: node {} worked {:.1f} s on its {} files, the median of {} nodes is {:.1f} s: look "
                      "at its disk and its network",
                      staged->nodes[i].host, seconds[i], split, seconds.size(), median));
    }
  }
  return lines;
}

}  // namespace trainmark
