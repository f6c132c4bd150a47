// One set, as ranks stage it together: examine what is there, say what space it takes, copy what is missing.
// Between two collectives stands local work only, and agree_on turns one rank's failure into everybody's.
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <set>

#include "stage/exchange.hpp"
#include "stage/journal.hpp"
#include "stage/manifest.hpp"
#include "stage/stager.hpp"

namespace trainmark {
namespace fs = std::filesystem;

namespace {

/// Which of its node's entries rank `rank` of `ranks` sees to: each goes to the one that has least to copy so far.
std::vector<std::size_t> share_of(const Manifest& manifest, const std::vector<std::size_t>& entries, int rank,
                                  int ranks) {
  std::vector<std::int64_t> loads(static_cast<std::size_t>(ranks));
  std::vector<std::size_t> mine;
  for (const std::size_t entry : entries) {
    const auto least = std::min_element(loads.begin(), loads.end());
    // Small files cost their opening, not their bytes.
    *least += manifest.entries[entry].bytes + (std::int64_t{1} << 16);
    if (least - loads.begin() == rank) mine.push_back(entry);
  }
  return mine;
}

/// What the target's manifest and the journals of killed runs say of files from this source. What cannot be believed
/// must not stop a run: without it, files are copied again, and `warning` says why.
Manifest staged_by_earlier_runs(const fs::path& target, const std::string& source, std::string& warning) {
  Manifest known;
  for (const fs::path& path : {target, target / manifest_name}) {
    if (!belongs_to_another(path)) continue;
    warning = fmt::format("{} belongs to another user: what its manifest says is not believed", path.string());
    known.source = source;
    return known;
  }
  try {
    known = read_manifest(target).value_or(Manifest{});
  } catch (const Error& error) {
    warning = fmt::format("files are copied again: {}", error.what());
  }
  if (known.source != source) known = {};
  known.source = source;
  read_journals(target, known);
  return known;
}

/// A file takes the place of a file, and no folder's: found out only when it is renamed, that would be after all of it
/// was copied.
void require_no_folder(const fs::path& path, const std::string& host) {
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0 ? errno != ENOTDIR : !S_ISDIR(info.st_mode)) return;
  throw Error(
      ExitCode::data,
      Complaint{fmt::format("node {}: {}", host, path.string()),
                S_ISDIR(info.st_mode) ? "is a folder, and a file of that name is to be written"
                                      : "cannot be written: what should be a folder above it is a file",
                "the target holds what staging did not bring", "remove or rename it, or choose another stage.target"});
}

bool is_in(const std::vector<std::size_t>& ascending, std::size_t entry) {
  return std::ranges::binary_search(ascending, entry);
}

}  // namespace

std::vector<std::size_t> copy_order(std::vector<std::size_t> missing, int node, int nodes) {
  const std::size_t begin = missing.size() * static_cast<std::size_t>(node) / static_cast<std::size_t>(nodes);
  std::rotate(missing.begin(), missing.begin() + static_cast<std::ptrdiff_t>(begin), missing.end());
  return missing;
}

void Stager::open_target() {
  const Clock clock;
  adopt_known_hashes();
  agree_on(world_.all(), [&] {
    if (world_.node().rank() == 0 && !only_looks_) make_private_folders(target_, fmt::format("node {}", world_.host()));
  });
  seconds_ += clock.seconds();
}

void Stager::examine() {
  const Clock clock;
  recall_earlier_runs();
  choose_reading_back();
  recall_containers();
  form_lane();
  find_missing();
  choose_exchanged();
  seconds_ += clock.seconds();
}

bool Stager::changes_files() const {
  std::array<std::int64_t, 1> missing = {std::ssize(missing_)};
  world_.node().sum(missing);
  return missing[0] > 0;
}

Staged Stager::copy() {
  const Clock clock;
  copy_missing();
  seconds_ += clock.seconds();
  return conclude(true);
}

Staged Stager::conclude(bool complete) {
  const Clock clock;
  share_hashes();
  if (complete) publish();
  share_places();
  Staged staged;
  staged.root = target_;
  staged.places = places_;
  staged.nodes = report();
  std::array<double, 1> longest = {seconds_ + clock.seconds()};
  world_.all().max(longest);
  staged.seconds = longest[0];
  return staged;
}

/// A file that is not the right one must not be taken for the copy that is on its way, so it goes first.
void Stager::begin_copying() {
  agree_on(world_.all(), [&] {
    for (const Replaced& there : replaced_) {
      const fs::path path = target_ / manifest_.entries[there.entry].name;
      if (unlink(path.c_str()) != 0 && errno != ENOENT)  // another node may share the target
        file_error(path, "cannot be removed", errno);
    }
    replaced_.clear();
    mine_.files_missing = std::ssize(missing_);
  });
  make_ready_to_copy();
}

void Stager::copy_beside(const Clock& since) {
  const Clock clock;
  const auto end = [&] {
    mine_.copy_seconds = clock.seconds();
    seconds_ += mine_.copy_seconds;
    mine_.done_seconds = since.seconds();
    mine_.files_missing = std::ssize(missing_) - mine_.files_copied;
  };
  try {
    copy_alone();
  } catch (...) {
    keep();
    end();
    throw;
  }
  end();
}

Staged Stager::look() {
  mine_.files_missing = std::ssize(missing_);
  Staged staged;
  staged.root = target_;
  staged.places = places_;
  staged.nodes = report();
  return staged;
}

/// A manifest beside the source knows the hash of every file that did not change since.
void Stager::adopt_known_hashes() {
  std::string text, source;
  agree_on(world_.all(), [&] {
    for (const ManifestEntry& entry : manifest_.entries)
      check_name(entry.name, source_.string());
    if (target_.empty()) {
      throw Error(ExitCode::usage, Complaint{"stage.target", "is empty", "strategies other than none copy to it",
                                             "name a folder on node-local storage"});
    }
    if (world_.all().rank() != 0) return;
    std::error_code status;
    source = fs::canonical(source_, status).string();
    if (status) file_error(source_, "the folder cannot be found any more", status.value());
    if (ask_manifest_) text = manifest_text(source_).value_or("");
    if (!text.empty()) (void)parse_manifest(text, source_ / manifest_name);
  });
  manifest_.source = world_.all().broadcast(std::move(source));
  text = world_.all().broadcast(std::move(text));
  if (text.empty()) return;
  const Manifest known = parse_manifest(text, source_ / manifest_name);
  for (ManifestEntry& entry : manifest_.entries) {
    const ManifestEntry* found = find_entry(known, entry.name);
    const bool same =
        found != nullptr && found->bytes == entry.bytes && same_time(found->modified_ns, entry.modified_ns);
    if (same && entry.xxh3.empty() && !entry.recoding) entry.xxh3 = found->xxh3;
  }
}

/// Clears what an interrupted copy left, and tries whether the target can be written to.
void Stager::make_ready_to_write() const {
  std::set<fs::path> folders = {target_};
  for (const std::size_t entry : entries_)
    if (!is_packed(manifest_.entries[entry])) folders.insert((target_ / manifest_.entries[entry].name).parent_path());
  for (const fs::path& folder : folders)
    remove_leftovers(folder);
  require_no_folder(target_ / manifest_name, world_.host());
  const PartialFile probe(target_ / "probe");
}

/// One rank of each node reads what is known.
void Stager::recall_earlier_runs() {
  std::string text;
  agree_on(world_.all(), [&] {
    if (world_.node().rank() != 0) return;
    if (!only_looks_) make_ready_to_write();
    text = to_text(staged_by_earlier_runs(target_, manifest_.source, warning_));
    if (!warning_.empty()) warning_ = fmt::format("warning: node {}: {}", world_.host(), warning_);
  });
  staged_before_ = parse_manifest(world_.node().broadcast(std::move(text)), target_ / manifest_name);
}

/// Size and time do not tell two datasets apart: uncompressed files of one kind all have the same size, and copies keep
/// times. So it takes a content that is known from the source, or a copy that is known to be of this very file.
bool Stager::reusable(const ManifestEntry& entry, const std::optional<Found>& there) {
  // Readers expect the source's time: a file whose time was lost is as good as replaced, whatever its content.
  if (!options_.reuse || !there || there->bytes != entry.bytes || !same_time(there->modified_ns, entry.modified_ns))
    return false;
  const bool same_file = there->staged != nullptr && there->staged->stamp == entry.stamp && entry.stamp != 0;
  if (options_.verify == Verify::none) return same_file;
  std::string known = !entry.xxh3.empty() ? entry.xxh3 : same_file ? there->staged->xxh3 : "";
  // Nobody vouches for it yet.
  if (known.empty() && only_looks_) known = hash_of_copy(entry, source_ / entry.name, progress_);
  return !known.empty() && hash_of(entry, *there) == known;
}

/// Where several nodes hold this part and exchange it, the ranks of one place on their nodes have the same share. Nodes
/// with more ranks than others leave some without.
void Stager::form_lane() {
  const int rank = world_.node().rank(), ranks = world_.node().size();
  if (!exchanges(options_, plan_, world_.nodes())) {
    share_ = share_of(manifest_, entries_, rank, ranks);
    return;
  }
  std::array<double, 1> fewest = {-static_cast<double>(ranks)};
  world_.all().max(fewest);
  const int lanes = -static_cast<int>(fewest[0]);
  const auto part = static_cast<int>(plan_.part_number_of(world_.node_index()));
  lane_ = world_.all().split(part * lanes + std::min(rank, lanes - 1) + (rank < lanes ? 0 : lanes * world_.nodes()));
  if (rank < lanes) share_ = share_of(manifest_, entries_, rank, lanes);
}

/// What one node alone lacks it copies by itself.
void Stager::choose_exchanged() {
  if (!lane_) return;
  std::vector<std::int64_t> wanted(share_.size());
  for (std::size_t i = 0, next = 0; i < share_.size() && next < missing_.size(); ++i) {
    if (share_[i] != missing_[next]) continue;
    wanted[i] = 1;
    ++next;
  }
  lane_->sum(wanted);
  for (std::size_t i = 0; i < share_.size(); ++i)
    if (wanted[i] > 1) exchanged_.push_back(share_[i]);
  const std::optional<std::size_t> differs = seen_differently(world_, *lane_, manifest_, exchanged_, source_);
  agree_on(world_.all(), [&] {
    if (!differs) return;
    throw Error(ExitCode::data,
                Complaint{(source_ / manifest_.entries[*differs].name).string(), "nodes read different contents",
                          "an exchange puts files together from blocks that different nodes read",
                          "name a folder that all nodes share; nodes' own folders are staged by none, and read with "
                          "stage.strategy none once all hold the same"});
  });
  diagnose(LogLevel::debug, [&] {
    return fmt::format("{}: {} of this rank's files are exchanged with {} other nodes", target_.string(),
                       exchanged_.size(), lane_->size() - 1);
  });
}

void Stager::find_missing() {
  agree_on(world_.all(), pulse_, [&] {
    const Clock clock;  // of this rank's own work: waiting for others is not its
    for (const std::size_t index : share_) {
      ManifestEntry& entry = manifest_.entries[index];
      const std::optional<Found> there = at_target(entry);
      if (!reusable(entry, there)) {
        missing_.push_back(index);
        if (!there && !only_looks_ && !is_packed(entry)) require_no_folder(target_ / entry.name, world_.host());
        if (there) note_outdated(index, *there);
        continue;
      }
      ++mine_.files_reused;
      mine_.bytes_reused += entry.bytes;
      if (is_packed(entry)) {
        places_[index] = there->place;
        ++mine_.files_packed;
      }
      const ManifestEntry* before = there->staged;
      if (!entry.xxh3.empty() || before == nullptr || before->xxh3.empty()) continue;
      entry.xxh3 = before->xxh3;  // with verify it was just compared with the content
      hashed_.push_back(index);
    }
    mine_.verify_seconds = clock.seconds();
  });
  diagnose(LogLevel::debug, [&] {
    return fmt::format("{}: of this rank's share {} files are there and right ({} them), {} are to be copied{}",
                       target_.string(), mine_.files_reused,
                       options_.verify != Verify::none ? "hashes tell" : "times and stamps tell", missing_.size(),
                       options_.reuse ? "" : " (reuse is off)");
  });
}

bool Stager::replaces(std::size_t entry) const {
  return std::ranges::binary_search(replaced_, entry, {}, &Replaced::entry);
}

void Stager::published(const ManifestEntry& entry, const std::string& xxh3) {
  const auto index = static_cast<std::size_t>(&entry - manifest_.entries.data());
  ManifestEntry& mine = manifest_.entries[index];
  if (options_.verify != Verify::none && mine.xxh3.empty()) {
    mine.xxh3 = xxh3;
    hashed_.push_back(index);
  }
  ++mine_.files_copied;
  mine_.files_packed += is_packed(mine) ? 1 : 0;
  mine_.bytes_copied += mine.bytes;
}

void Stager::land(std::unique_ptr<Landing> finished, std::string xxh3) {
  const auto index = static_cast<std::size_t>(&finished->entry() - manifest_.entries.data());
  if (is_packed(finished->entry())) return writer_->add(std::move(finished), std::move(xxh3));
  commit_->add(std::move(finished), std::move(xxh3), replaces(index));
  journal_->flush();
}

void Stager::flush() {
  commit_->flush();
  if (writer_) writer_->flush();
  if (journal_) journal_->flush();  // beside training it may be long until all is published
}

/// Of what is complete, though the work has failed.
void Stager::keep() noexcept {
  commit_->keep();
  if (writer_) writer_->keep();
  if (journal_) journal_->flush();
}

/// Collective.
void Stager::make_ready_to_copy() {
  forget_outdated();
  commit_ = std::make_unique<Commit>(
      target_,
      [this](const ManifestEntry& entry, const std::string& xxh3) {
        published(entry, xxh3);
        journal_->note(entry);
      },
      progress_,
      !reads_back_ ? Commit::Check()
                   : [this](Landing& landing, const std::string& xxh3,
                            const ByteProgress& beat) { require_as_written(landing, xxh3, beat); });
  agree_on(world_.all(), [&] {
    std::set<fs::path> folders;
    for (const std::size_t index : missing_) {
      const ManifestEntry& entry = manifest_.entries[index];
      if (!is_packed(entry)) folders.insert((target_ / entry.name).parent_path());
    }
    if (!folders.empty()) journal_ = std::make_unique<Journal>(target_, world_.node().rank(), manifest_.source);
    for (const fs::path& folder : folders)
      make_private_folders(folder, fmt::format("node {}", world_.host()));
  });
}

/// What is not exchanged.
void Stager::copy_alone() {
  for (const std::size_t index : copy_order(missing_, world_.node_index(), world_.nodes())) {
    if (is_in(exchanged_, index)) continue;
    const ManifestEntry& entry = manifest_.entries[index];
    Copied copied =
        copy_entry(entry, source_ / entry.name, place_of(index), options_.verify != Verify::none, progress_);
    mine_.retries += copied.retries;
    mine_.bytes_read += copied.source_bytes_read;
    land(std::move(copied.landing), std::move(copied.xxh3));
  }
  flush();
}

void Stager::copy_missing() {
  const BlockStream stream(manifest_, exchanged_, exchange_block_bytes);
  std::optional<Exchange> exchange;
  make_ready_to_copy();
  agree_on(world_.all(), [&] {  // begins with a collective: what may fail on one rank alone stands above
    if (exchanged_.empty()) return;
    const ExchangeJob job = {
        manifest_,
        stream,
        source_,
        options_.verify != Verify::none,
        [&](std::size_t entry) { return is_in(missing_, entry); },
        [&](std::size_t entry) { return place_of(entry); },
        [&](std::unique_ptr<Landing> finished, std::string xxh3) { land(std::move(finished), std::move(xxh3)); },
        progress_};
    exchange.emplace(*lane_, job, std::int64_t{options_.inflight_mib} << 20);
  });
  const auto copy_all = [&] {
    if (exchange) {
      const ExchangeStats stats = exchange->run();
      mine_.bytes_read += stats.bytes_read;
      mine_.retries += stats.retries;
      mine_.exchange_wait_seconds = stats.wait_seconds;
    }
    copy_alone();
  };
  agree_on(world_.all(), pulse_, [&] {
    const Clock clock;
    try {
      copy_all();
    } catch (...) {
      keep();
      throw;
    }
    mine_.copy_seconds = clock.seconds() - mine_.exchange_wait_seconds;
  });
}

}  // namespace trainmark
