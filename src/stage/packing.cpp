// What form packed adds to staging a set: which of its files go into containers, where they lie, and what becomes of
// those that are not right any more.
#include <fmt/core.h>

#include <algorithm>
#include <sstream>

#include "stage/manifest.hpp"
#include "stage/stager.hpp"

namespace trainmark {

void PackedNeed::add(const ManifestEntry& entry) noexcept {
  constexpr std::int64_t line = 160;  // without the name
  content_ += in_blocks(entry.bytes);
  lines_ += line + std::ssize(entry.name);
}

void PackedNeed::add_to(SpaceNeed& need) const noexcept {
  if (content_ == 0) return;
  const std::int64_t containers = content_ / container_bytes + 1;
  need.bytes += content_ + in_blocks(lines_) + 2 * containers * container_block_bytes;
  need.files += 2 * containers;
}

bool Stager::is_packed(const ManifestEntry& entry) const noexcept { return trainmark::is_packed(options_, entry); }

/// Each rank reads all indices by itself: they lie on its node.
void Stager::recall_containers() {
  agree_on(world_.all(), [&] {
    if (options_.form == StageForm::files) return;
    containers_ = std::make_unique<Containers>(target_);
    places_.resize(manifest_.entries.size());
  });
}

std::optional<Stager::Found> Stager::at_target(const ManifestEntry& entry) const {
  if (is_packed(entry)) {
    const std::optional<Containers::Listed> there = containers_->find(entry.name);
    if (!there) return std::nullopt;
    return Found{there->entry->bytes, there->entry->modified_ns,
                 *there->source == manifest_.source ? there->entry : nullptr, in_blocks(there->entry->bytes),
                 there->place};
  }
  const std::optional<FileFacts> there = facts_of(target_ / entry.name);
  if (!there) return std::nullopt;
  return Found{there->bytes, there->modified_ns, find_entry(staged_before_, entry.name), there->stored_bytes, {}};
}

std::string Stager::hash_of(const ManifestEntry& entry, const Found& there) {
  const std::filesystem::path path = target_ / entry.name;
  if (!is_packed(entry)) return reads_back_ ? read_back(path, progress_) : hash_file(path, progress_);
  return hash_range(container_path(target_, there.place.container), there.place.offset, there.bytes, progress_);
}

void Stager::note_outdated(std::size_t entry, const Found& there) {
  if (!is_packed(manifest_.entries[entry])) return replaced_.push_back({entry, there.stored_bytes});
  outdated_.push_back(there.place);
  outdated_bytes_ += there.stored_bytes;
}

/// Collective, before anything is written: one rank of the node takes out of its containers what all of them found not
/// to be right.
void Stager::forget_outdated() {
  if (options_.form == StageForm::files) return;
  std::string mine;
  for (const ContainerPlace& place : outdated_)
    mine += fmt::format("{} {}\n", place.container, place.offset);
  const std::vector<std::string> told = world_.node().all_gather(mine);
  const bool changes = changes_files();
  agree_on(world_.all(), [&] {
    if (world_.node().rank() != 0 || !changes) return;  // others may be reading where nothing is missing
    std::vector<ContainerPlace> outdated;
    for (const std::string& text : told) {
      std::istringstream words(text);
      for (ContainerPlace place; words >> place.container >> place.offset;)
        outdated.push_back(place);
    }
    containers_->forget(std::move(outdated));
  });
  writer_ = std::make_unique<ContainerWriter>(
      target_, manifest_.source,
      [this](const ManifestEntry& entry, const std::string& xxh3) { published(entry, xxh3); }, progress_);
}

/// Where an entry lands, asked once, just before it does.
LandingPlace Stager::place_of(std::size_t entry) {
  const ManifestEntry& wanted = manifest_.entries[entry];
  if (!is_packed(wanted)) return target_ / wanted.name;
  LandingPlace place = writer_->next(wanted.bytes);
  places_[entry] = place.at;
  return place;
}

/// All ranks of a node learn where its files lie, for each reads any of them.
void Stager::share_places() {
  if (options_.form == StageForm::files) return;
  std::string mine;
  for (const std::size_t index : share_) {
    const ContainerPlace& place = places_[index];
    if (place.container >= 0) mine += fmt::format("{} {} {}\n", index, place.container, place.offset);
  }
  for (const std::string& text : world_.node().all_gather(mine)) {
    std::istringstream words(text);
    std::size_t index = 0;
    for (ContainerPlace place; words >> index >> place.container >> place.offset;)
      places_.at(index) = place;
  }
}

SpaceNeed Stager::need() const {
  SpaceNeed need;
  PackedNeed packed;
  for (const std::size_t index : missing_) {
    const ManifestEntry& entry = manifest_.entries[index];
    if (is_packed(entry)) {
      packed.add(entry);
    } else {
      need.add_file(entry.bytes, 0);
    }
  }
  packed.add_to(need);
  for (const Replaced& there : replaced_) {
    need.reclaimed += there.stored_bytes;
    need.overlap = std::max(need.overlap, there.stored_bytes);
  }
  need.reclaimed += outdated_bytes_;  // before the first byte
  if (containers_ && world_.node().rank() == 0) need.reclaimed += containers_->unlisted_bytes();
  if (!exchanged_.empty()) need.buffers = exchange_buffer_bytes(options_);
  return need;
}

}  // namespace trainmark
