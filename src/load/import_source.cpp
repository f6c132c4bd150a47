#include "load/import_source.hpp"

#include <fmt/core.h>

#include "load/scan.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const fs::path& path, std::string what, std::string remedy) {
  throw Error(ExitCode::data, Complaint{path.string(), std::move(what), "both splits are imported", std::move(remedy)});
}

fs::path folder_of(const fs::path& source, const std::string& split) {
  std::error_code ignored;
  for (const char* name : {split.c_str(), split == "validation" ? "val" : "train"}) {
    if (fs::is_directory(source / name, ignored)) return source / name;
  }
  refuse(source, fmt::format("has no folder {}", split),
         "name the folder that holds train and validation (or val), with the files sorted, or linked, into them");
}

}  // namespace

std::array<SourceSplit, 2> find_splits(const Group& all, const fs::path& source, bool (*wants)(std::string_view name),
                                       std::string_view kind) {
  std::array<SourceSplit, 2> splits{{{"train", {}, {}}, {"validation", {}, {}}}};
  std::array<std::string, 2> texts;
  agree_on(all, [&] {
    if (all.rank() != 0) return;
    for (SourceSplit& split : splits)
      split.folder = folder_of(source, split.name);
    for (std::size_t at = 0; at < splits.size(); ++at) {
      const fs::path& folder = splits[at].folder;
      const Manifest listed{files_below(folder, wants)};
      if (listed.entries.empty()) refuse(folder, fmt::format("has no {}", kind), "check the path, or unpack the files");
      texts[at] = to_text(listed);
    }
  });
  for (std::size_t at = 0; at < splits.size(); ++at) {
    Manifest listed = parse_manifest(all.broadcast(std::move(texts[at])), source);
    splits[at].folder = all.broadcast(splits[at].folder.string());
    splits[at].files = std::move(listed.entries);
  }
  return splits;
}

std::string made_from(const ManifestEntry& file) {
  return fmt::format("{}\n{} {}\n", file.name, file.bytes, file.modified_ns);
}

std::string made_by(const CosmoflowImport& options) {
  // The first number is raised with every change of what is written.
  return fmt::format("1 {} gzip {}\n", to_string(options.schema.fields.front().shape), options.gzip);
}

void require_samples(const Group& all, const ImportReport& report, const std::array<SourceSplit, 2>& splits) {
  agree_on(all, [&] {
    for (const SourceSplit& split : splits) {
      if ((split.name == "train" ? report.train_samples : report.validation_samples) > 0) continue;
      throw Error(ExitCode::data, Complaint{split.folder.string(),
                                            fmt::format("no sample of its {} files can be used", split.files.size()),
                                            all.rank() == 0 && !report.skipped.empty() ? report.skipped.front() : "",
                                            "copy the files again from where they come from"});
    }
  });
}

}  // namespace trainmark
