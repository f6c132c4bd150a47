// Layouts in a manifest's text. Most sets were written by one program in one go: their files share a form, and long
// runs of them the places too, so that a set of any size takes a few lines. What is compressed takes a line a file.
#include <fmt/core.h>

#include <charconv>
#include <map>
#include <sstream>

#include "stage/manifest.hpp"

namespace trainmark {
namespace {

constexpr std::string_view at_mark = "at\t";

/// A number at the beginning of `text`, and the character behind it, which it must be followed by.
bool take_index(std::string_view& text, std::size_t& value, char behind) {
  const auto [stop, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (status != std::errc{} || stop == text.data() + text.size() || *stop != behind) return false;
  text.remove_prefix(static_cast<std::size_t>(stop - text.data()) + 1);
  return true;
}

}  // namespace

bool ListedLayout::operator==(const ListedLayout& other) const {
  const bool same_form = form == other.form || (form && other.form && *form == *other.form);
  return same_form && places == other.places;
}

std::string layouts_text(std::span<const ManifestEntry> entries) {
  std::map<std::string_view, std::vector<std::size_t>> entries_of_form;
  for (std::size_t i = 0; i < entries.size(); ++i)
    if (entries[i].layout.form) entries_of_form[*entries[i].layout.form].push_back(i);
  std::string text;
  for (const auto& [form, members] : entries_of_form) {
    text += fmt::format("{}{}\n", form_mark, form);
    for (std::size_t first = 0; first < members.size();) {
      const std::string& places = entries[members[first]].layout.places;
      std::size_t last = first;
      while (last + 1 < members.size() && members[last + 1] == members[last] + 1 &&
             entries[members[last + 1]].layout.places == places) {
        ++last;
      }
      text += fmt::format("{}{}-{}\t{}\n", at_mark, members[first], members[last], places);
      first = last + 1;
    }
  }
  return text;
}

bool LayoutLines::take(std::string_view line) {
  if (line.starts_with(form_mark)) {
    form_ = std::make_shared<const std::string>(line.substr(form_mark.size()));
    return true;
  }
  if (!form_ || !line.starts_with(at_mark)) return false;
  line.remove_prefix(at_mark.size());
  std::size_t first = 0, last = 0;
  if (!take_index(line, first, '-') || !take_index(line, last, '\t') || first > last || last >= entries_.size())
    return false;
  for (std::size_t i = first; i <= last; ++i) {
    if (entries_[i].layout.form) return false;
    entries_[i].layout = {form_, std::string(line)};
  }
  return true;
}

void take_layouts(const std::string& text, std::span<ManifestEntry> entries) {
  LayoutLines layouts(entries);
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    TRAINMARK_CHECK(layouts.take(line), line);
}

}  // namespace trainmark
