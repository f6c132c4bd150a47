// Indices are text, and read as what somebody may have cut, mixed up or damaged: a line counts if its checksum is
// right, which is keyed by the number that stands in the container, too.
#include "stage/container.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <set>

#include "core/reading.hpp"
#include "stage/manifest.hpp"

namespace trainmark {
namespace fs = std::filesystem;

namespace {

constexpr std::string_view name_prefix = "trainmark.container.";
constexpr std::string_view index_suffix = ".index";
constexpr std::string_view head_title = "trainmark container 1\t";
constexpr std::string_view index_title = "trainmark container index 1\t", source_mark = "source\t";
constexpr std::size_t check_digits = 16;

std::string checked_line(std::uint64_t id, const std::string& text) {
  return fmt::format("{:016x}\t{}\n", XXH3_64bits_withSeed(text.data(), text.size(), id), text);
}

/// The text of a line whose checksum is right.
std::optional<std::string> checked_text(std::uint64_t id, const std::string& line) {
  if (line.size() <= check_digits) return std::nullopt;
  std::string text = line.substr(check_digits + 1);
  if (checked_line(id, text) != line + '\n') return std::nullopt;
  return text;
}

/// The number behind a title; 0: there is none.
std::uint64_t id_behind(std::string_view title, std::string_view text) {
  if (!text.starts_with(title)) return 0;
  text.remove_prefix(title.size());
  std::uint64_t id = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), id, 16);
  return status == std::errc{} && end == text.data() + text.size() ? id : 0;
}

std::optional<Container::File> parse_file(std::string_view text) {
  Container::File file;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), file.offset);
  if (status != std::errc{} || end == text.data() + text.size() || *end != '\t') return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()) + 1);
  std::optional<ManifestEntry> entry = parse_entry(text, manifest_version);
  const bool aligned = file.offset >= container_block_bytes && file.offset % container_block_bytes == 0;
  if (!entry || !is_safe_name(entry->name) || !aligned) return std::nullopt;
  file.entry = std::move(*entry);
  return file;
}

std::string first_line(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string line(container_head(0).find('\n'), '\0');
  file.read(line.data(), std::ssize(line));
  return line;
}

/// What can be believed of a container; nothing where these are no files of staging's.
std::optional<Container> read_container(const fs::path& folder, int number) {
  const fs::path path = container_path(folder, number), beside = index_path(folder, number);
  const std::optional<FileFacts> facts = facts_of(path), index_facts = facts_of(beside);
  if ((facts && belongs_to_another(path)) || (index_facts && belongs_to_another(beside))) return std::nullopt;
  const std::uint64_t head = facts ? id_behind(head_title, first_line(path)) : 0;
  std::ifstream index;
  std::string line;
  if (index_facts) index.open(beside, std::ios::binary);
  std::getline(index, line);
  const std::uint64_t id = id_behind(index_title, line);
  // An empty file is one that a killed run had just made.
  const bool known = facts ? head != 0 || facts->bytes == 0 : id != 0 || (index_facts && index_facts->bytes == 0);
  if (!known) return std::nullopt;
  Container found{number, head, {}, facts ? facts->bytes : 0, {}};
  if (head == 0 || id != head || !std::getline(index, line)) return found;
  const std::optional<std::string> source = checked_text(id, line);
  if (!source || !source->starts_with(source_mark)) return found;
  found.source = source->substr(source_mark.size());
  while (std::getline(index, line) && !index.eof()) {  // a last line without its end was cut short
    const std::optional<std::string> text = checked_text(id, line);
    std::optional<Container::File> file = text ? parse_file(*text) : std::nullopt;
    if (file && file->offset + file->entry.bytes <= facts->bytes) found.files.push_back(std::move(*file));
  }
  return found;
}

void unlink_if_there(const fs::path& path) {
  if (unlink(path.c_str()) != 0 && errno != ENOENT) file_error(path, "cannot be removed", errno);
}

}  // namespace

fs::path container_path(const fs::path& folder, int container) {
  return folder / fmt::format("{}{}", name_prefix, container);
}

fs::path index_path(const fs::path& folder, int container) {
  return folder / fmt::format("{}{}{}", name_prefix, container, index_suffix);
}

bool is_container(std::string_view name) noexcept {
  name.remove_prefix(name.rfind('/') == std::string_view::npos ? 0 : name.rfind('/') + 1);
  return name.starts_with(name_prefix);
}

std::string index_line(std::uint64_t id, const Container::File& file) {
  std::string text = fmt::format("{}\t{}", file.offset, to_line(file.entry));
  text.pop_back();  // its end
  return checked_line(id, text);
}

std::string index_text(const Container& container) {
  // A folder whose name cannot stand in a line vouches for nothing.
  const bool fits = container.source.find('\n') == std::string::npos;
  std::string text = fmt::format("{}{:016x}\n", index_title, container.id);
  text += checked_line(container.id, fmt::format("{}{}", source_mark, fits ? container.source : "-"));
  for (const Container::File& file : container.files)
    text += index_line(container.id, file);
  return text;
}

std::string container_head(std::uint64_t id) {
  std::string head = fmt::format("{}{:016x}\n", head_title, id);
  head += "Files of a dataset, each from a multiple of 4096 bytes on; the index beside this file tells where.\n";
  head.resize(container_block_bytes, '\0');
  return head;
}

std::vector<int> container_numbers(const fs::path& folder) {
  std::set<int> numbers;
  std::error_code status;
  for (const auto& entry : fs::directory_iterator(folder, status)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(name_prefix)) continue;
    const std::string_view rest = std::string_view(name).substr(name_prefix.size());
    int number = 0;
    const auto [end, parsed] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
    const std::string_view suffix = rest.substr(static_cast<std::size_t>(end - rest.data()));
    if (parsed == std::errc{} && number >= 0 && (suffix.empty() || suffix == index_suffix)) numbers.insert(number);
  }
  return {numbers.begin(), numbers.end()};
}

Containers::Containers(fs::path folder) : folder_(std::move(folder)) {
  if (belongs_to_another(folder_)) return;
  for (const int number : container_numbers(folder_))
    if (std::optional<Container> found = read_container(folder_, number)) containers_.push_back(std::move(*found));
  // Nodes that share a target may both have put a file there: one of both is enough.
  for (const Container& container : containers_)
    for (const Container::File& file : container.files)
      files_[file.entry.name] = {&file.entry, &container.source, {container.number, file.offset}};
}

std::optional<Containers::Listed> Containers::find(const std::string& name) const {
  const auto found = files_.find(name);
  return found == files_.end() ? std::nullopt : std::optional(found->second);
}

std::int64_t Containers::unlisted_bytes() const noexcept {
  std::int64_t unlisted = 0;
  for (const Container& container : containers_) {
    std::int64_t end = 0;
    for (const Container::File& file : container.files)
      end = std::max(end, file.offset + in_blocks(file.entry.bytes));
    if (container.bytes > end) unlisted += in_blocks(container.bytes - end);
  }
  return unlisted;
}

void Containers::forget(std::vector<ContainerPlace> outdated) {
  std::ranges::sort(outdated);
  for (Container& container : containers_) {
    std::erase_if(container.files, [&](const Container::File& file) {
      const ContainerPlace place = {container.number, file.offset};
      return files_.at(file.entry.name).place != place || std::ranges::binary_search(outdated, place);
    });
    if (container.files.empty()) {
      remove(container);
      continue;
    }
    list_anew(container);
    give_back_gaps(container);  // of what no index lists any more
  }
  files_.clear();
  containers_.clear();
}

void Containers::list_anew(const Container& container) const {
  const fs::path path = index_path(folder_, container.number);
  const std::string text = index_text(container);
  if (read_if_possible(path).value_or("") == text) return;
  PartialFile index(path, 0600);
  write_all(index.descriptor(), std::as_bytes(std::span(text)), index.path());
  index.publish();
}

/// File systems that cannot make holes keep the space.
void Containers::give_back_gaps(const Container& container) const {
  std::vector<std::pair<std::int64_t, std::int64_t>> kept;
  for (const Container::File& file : container.files)
    kept.emplace_back(file.offset, file.offset + file.entry.bytes);
  std::ranges::sort(kept);
  const fs::path path = container_path(folder_, container.number);
  const FileDescriptor file(open(path.c_str(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!file) file_error(path, "cannot be written", errno);
  std::int64_t end = container_block_bytes;
  for (const auto& [begin, next] : kept) {
    const std::int64_t gap = begin - in_blocks(end);
    if (gap > 0) fallocate(file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, in_blocks(end), gap);
    end = std::max(end, next);
  }
  if (facts_of(file.get(), path).bytes > end && ftruncate(file.get(), end) != 0)
    file_error(path, "cannot be cut to what is listed of it", errno);
}

void Containers::remove(const Container& container) const {
  unlink_if_there(container_path(folder_, container.number));
  unlink_if_there(index_path(folder_, container.number));
}

Cleaned Containers::clear() {
  Cleaned done;
  for (const Container& container : containers_) {
    for (const Container::File& file : container.files)
      done.bytes += file.entry.bytes;
    done.files += std::ssize(container.files);
    remove(container);
  }
  files_.clear();
  containers_.clear();
  return done;
}

}  // namespace trainmark
