// What a split's folder holds, found out by all ranks together.
#include "run/launch/split.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <iterator>
#include <span>
#include <sstream>

namespace trainmark {
namespace {

std::string to_text(const std::vector<std::size_t>& numbers) { return fmt::format("{}", fmt::join(numbers, " ")); }

std::vector<std::size_t> numbers_of(const std::string& text) {
  std::istringstream words(text);
  return {std::istream_iterator<std::size_t>(words), {}};
}

/// A rank's part of a list that all have.
std::span<const std::size_t> part_of(const std::vector<std::size_t>& list, const Group& all, int rank) {
  const Range range = slice_of(std::ssize(list), all.size(), rank);
  return std::span(list).subspan(static_cast<std::size_t>(range.begin), static_cast<std::size_t>(range.size()));
}

/// Makes known to all the layouts that each rank found in its part of `opened`.
void share_layouts(const Group& all, Manifest& manifest, const std::vector<std::size_t>& opened) {
  std::vector<ManifestEntry> found;
  for (const std::size_t at : part_of(opened, all, all.rank()))
    found.emplace_back().layout = manifest.entries[at].layout;
  const std::vector<std::string> told = all.all_gather(layouts_text(found));
  for (int rank = 0; rank < all.size(); ++rank) {
    const std::span<const std::size_t> part = part_of(opened, all, rank);
    std::vector<ManifestEntry> theirs(part.size());
    take_layouts(told[static_cast<std::size_t>(rank)], theirs);
    for (std::size_t i = 0; i < part.size(); ++i)
      manifest.entries[part[i]].layout = std::move(theirs[i].layout);
  }
}

/// Makes known to all what each rank found out of its part of `opened`.
void share_headers(const Group& all, Manifest& manifest, const std::vector<std::size_t>& opened) {
  std::vector<std::int64_t> samples(opened.size());
  std::string companions;
  const Range mine = slice_of(std::ssize(opened), all.size(), all.rank());
  for (auto at = static_cast<std::size_t>(mine.begin); at < static_cast<std::size_t>(mine.end); ++at) {
    const ManifestEntry& entry = manifest.entries[opened[at]];
    samples[at] = entry.samples;
    if (!entry.companion.empty()) companions += fmt::format("{} {}\n", opened[at], entry.companion);
  }
  all.sum(samples);
  for (std::size_t at = 0; at < opened.size(); ++at)
    manifest.entries[opened[at]].samples = samples[at];
  share_layouts(all, manifest, opened);
  for (const std::string& told : all.all_gather(companions)) {
    std::istringstream lines(told);
    std::size_t entry = 0;
    for (std::string name; lines >> entry && lines.ignore() && std::getline(lines, name);)
      manifest.entries.at(entry).companion = name;
  }
}

}  // namespace

// One rank lists the names: thousands that walk the same folders would be an attack on the file system. All of them
// open files, each its part, and each file once.
Split find_split(const World& world, const RunOptions& options, const std::string& name, const std::string& source,
                 const DataSchema& schema, const std::function<void()>& alive, const ManifestUse& use) {
  const Group& all = world.all();
  Split split;
  split.name = name;
  split.source = source;
  Pulse pulse(all, alive);  // who waits hears that it goes on
  const auto progress = [&] {
    pulse.beat();
    alive();
  };
  Listing listing;
  agree_on(all, pulse, [&] {
    if (all.rank() == 0) listing = list_dataset(source, options.data.format, schema, progress, use);
  });
  std::string text;
  agree_on(all, [&] {
    if (all.rank() == 0) text = to_text(listing.manifest);
  });
  text = all.broadcast(std::move(text));
  const std::vector<std::size_t> unopened = numbers_of(all.broadcast(to_text(listing.unopened)));
  const std::vector<std::size_t> unread = numbers_of(all.broadcast(to_text(listing.unread)));
  agree_on(all, [&] { split.manifest = parse_manifest(text, split.source); });
  const Clock clock;
  agree_on(all, pulse, [&] {
    for (const std::size_t at : part_of(unread, all, all.rank()))
      require_content(source, split.manifest.entries.at(at), progress);
    for (const std::size_t at : part_of(unopened, all, all.rank())) {
      progress();
      ManifestEntry& entry = split.manifest.entries.at(at);
      listing.forms.add(complete_entry(source, options.data.format, schema, entry), entry.name);
    }
  });
  if (!unread.empty() && use.say && all.rank() == 0)
    use.say(fmt::format("their contents are as listed ({:.1f} s)", clock.seconds()));
  share_headers(all, split.manifest, unopened);
  FileForms forms;
  for (const std::string& told : all.all_gather(listing.forms.to_text()))
    forms.add_told(told);
  agree_on(all, [&] {
    forms.require_one(source);
    if (options.stage.strategy != Strategy::none) require_self_contained(source, split.manifest, "staging copies");
  });
  split.files = split.manifest.entries.size();
  return split;
}

}  // namespace trainmark
