// Whether the files of a folder are of one kind. A file that was copied to the others by mistake may well be readable:
// as a cube it is cut into samples, packed it holds many, and a set of other samples would be trained on without a
// word.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <sstream>

#include "trainmark/load.hpp"

namespace trainmark {

void FileForms::add(const std::string& form, const std::string& name, std::int64_t files) {
  if (form.empty()) return;
  const auto [found, fresh] = found_.try_emplace(form, Found{0, name});
  found->second.files += files;
  if (name < found->second.first) found->second.first = name;
}

// Neither names of files nor of the schema's datasets hold tabs or ends of lines, and those that a config names are
// the same for all files.
std::string FileForms::to_text() const {
  std::string text;
  for (const auto& [form, found] : found_)
    text += fmt::format("{}\t{}\t{}\n", found.files, found.first, form);
  return text;
}

void FileForms::add_told(const std::string& text) {
  std::istringstream lines(text);
  std::int64_t files = 0;
  std::string name, form;
  while (lines >> files && lines.ignore() && std::getline(lines, name, '\t') && std::getline(lines, form))
    add(form, name, files);
}

void FileForms::require_one(const std::filesystem::path& root) const {
  if (found_.size() < 2) return;
  std::vector<std::pair<std::string, Found>> forms(found_.begin(), found_.end());
  std::ranges::stable_sort(forms, std::ranges::greater{}, [](const auto& each) { return each.second.files; });
  constexpr std::size_t most_named = 4;
  std::vector<std::string> named;
  for (const auto& [form, found] : forms)
    named.push_back(fmt::format("{} of layout {} ({})", found.files, form, found.first));
  if (named.size() > most_named) named.erase(named.begin() + most_named, named.end());
  const bool cubes = std::ranges::all_of(
      forms, [](const auto& each) { return each.first.starts_with("universe") || each.first.starts_with("block"); });
  throw Error(ExitCode::data,
              Complaint{root.string(),
                        fmt::format("holds files of {} forms: {}{}", forms.size(), fmt::join(named, ", "),
                                    forms.size() > most_named ? ", ..." : ""),
                        "each would be cut into samples by a form of its own, and a stranger among them would be "
                        "trained on without a word",
                        cubes ? "take out the files that do not belong there; where all do, name the layout: "
                                "data.format.layout \"universe\" (of data commands: --layout) cuts cubes of any extents"
                              : "take out the files that do not belong there, or write all of them in one form"});
}

}  // namespace trainmark
