// Descriptions of datasets to text and back. What is read is bounded before it is used: a manifest is input.
#include "load/listed_layout.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <nlohmann/json.hpp>

#include "load/file_reads.hpp"

namespace trainmark {
namespace {

using Json = nlohmann::json;

constexpr std::uint64_t most_chunk_bytes = 0xffffffff;
/// By Number.
constexpr std::array<std::string_view, 10> number_words = {"i8",  "u8",  "i16", "u16", "i32",
                                                           "u32", "i64", "u64", "f32", "f64"};

/// False for anything but a whole number: the library would round and wrap others.
bool take_whole(const Json& from, std::int64_t& number) {
  if (!from.is_number_integer()) return false;
  number = from.get<std::int64_t>();
  return true;
}

std::vector<std::int64_t> first_of(const Extents& extents, std::size_t rank) {
  return {extents.begin(), extents.begin() + static_cast<std::ptrdiff_t>(rank)};
}

bool is_listable(const Stored& stored) {
  return stored.storage != Storage::library && stored.readable && stored.unusable.empty() && stored.companions.empty();
}

Json form_of(const Stored& stored, const std::vector<std::string>& asked) {
  Json form = {{"asked", asked},
               {"dataset", stored.name},
               {"type", stored.type},
               {"number", number_words.at(static_cast<std::size_t>(stored.number))},
               {"big_endian", stored.big_endian},
               {"dims", first_of(stored.dims, stored.rank)}};
  if (stored.storage == Storage::chunked) {
    form["chunk"] = first_of(stored.chunk, stored.rank);
    form["shuffle"] = stored.shuffle;
    form["deflate"] = stored.deflate;
  }
  return form;
}

/// Extents of `rank` axes, each above 0 and their product below 2^50.
bool take_extents(const Json& from, std::size_t rank, Extents& extents) {
  constexpr double most = 1125899906842624.0;
  if (!from.is_array() || from.size() != rank || rank > max_rank) return false;
  double product = 1.0;
  for (std::size_t axis = 0; axis < rank; ++axis) {
    if (!take_whole(from[axis], extents[axis]) || extents[axis] < 1) return false;
    product *= static_cast<double>(extents[axis]);
  }
  return product < most;
}

/// A filter's place in a pipeline of two, -1 where it is not there.
bool take_place(const Json& from, int& place) {
  std::int64_t number = 0;
  if (!take_whole(from, number) || number < -1 || number > 1) return false;
  place = static_cast<int>(number);
  return true;
}

/// Nothing where it is not understood. Raises Json::exception where a part is missing or of another kind.
std::optional<Stored> stored_of(const Json& form, const std::vector<std::string>& asked) {
  Stored stored;
  stored.name = form.at("dataset").get<std::string>();
  if (form.at("asked").get<std::vector<std::string>>() != asked) return std::nullopt;
  if (std::ranges::find(asked, stored.name) == asked.end()) return std::nullopt;
  stored.type = form.at("type").get<std::string>();
  const auto number = std::ranges::find(number_words, form.at("number").get<std::string>());
  if (number == number_words.end()) return std::nullopt;
  stored.number = static_cast<Number>(number - number_words.begin());
  stored.readable = true;
  stored.big_endian = form.at("big_endian").get<bool>();
  const Json& dims = form.at("dims");
  stored.rank = dims.size();
  if (!take_extents(dims, stored.rank, stored.dims)) return std::nullopt;
  stored.storage = Storage::contiguous;
  if (!form.contains("chunk")) return stored;
  stored.storage = Storage::chunked;
  if (!take_place(form.at("shuffle"), stored.shuffle) || !take_place(form.at("deflate"), stored.deflate))
    return std::nullopt;
  if (!take_extents(form.at("chunk"), stored.rank, stored.chunk) || stored.rank == 0) return std::nullopt;
  if (stored.shuffle >= 0 && stored.deflate >= 0 && stored.shuffle >= stored.deflate) return std::nullopt;
  double chunk_bytes = static_cast<double>(stored.element());
  for (std::size_t axis = 0; axis < stored.rank; ++axis) {
    stored.grid[axis] = (stored.dims[axis] - 1) / stored.chunk[axis] + 1;
    chunk_bytes *= static_cast<double>(stored.chunk[axis]);
  }
  if (chunk_bytes > static_cast<double>(most_chunk_bytes)) return std::nullopt;
  return stored;
}
/// The next number of a text with blanks between them.
bool take(std::string_view& text, std::uint64_t& value) {
  const auto [stop, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (status != std::errc{}) return false;
  text.remove_prefix(static_cast<std::size_t>(stop - text.data()));
  if (text.empty()) return true;
  if (text.front() != ' ' || text.size() == 1) return false;
  text.remove_prefix(1);
  return true;
}

bool lies_within(std::uint64_t offset, std::uint64_t bytes, std::uint64_t file_bytes) {
  return bytes <= file_bytes && offset <= file_bytes - bytes;
}

bool take_chunk(std::string_view& text, std::uint64_t file_bytes, Chunk& chunk) {
  std::uint64_t bytes = 0, skipped = 0;
  if (!take(text, chunk.offset) || !take(text, bytes) || !take(text, skipped)) return false;
  if (!lies_within(chunk.offset, bytes, file_bytes) || bytes > most_chunk_bytes || skipped > 3) return false;
  chunk.bytes = static_cast<std::uint32_t>(bytes);
  chunk.skipped = static_cast<std::uint32_t>(skipped);
  return true;
}

bool take_places(std::string_view text, std::uint64_t file_bytes, std::vector<Stored>& fields) {
  double chunks = 0.0;
  for (Stored& stored : fields) {
    chunks += stored.storage == Storage::chunked ? chunks_of(stored) : 0.0;
    if (chunks > static_cast<double>(most_listed_chunks)) return false;
    if (stored.storage == Storage::contiguous) {
      const auto bytes = static_cast<std::uint64_t>(elements_of(stored)) * stored.element();
      if (!take(text, stored.offset) || !lies_within(stored.offset, bytes, file_bytes)) return false;
      continue;
    }
    stored.chunks.resize(static_cast<std::size_t>(chunks_of(stored)));
    for (Chunk& chunk : stored.chunks)
      if (!take_chunk(text, file_bytes, chunk)) return false;
  }
  return text.empty();
}

/// A damaged index is for whoever reads the file to name: a run may not.
bool can_locate(hid_t file, Stored& stored, const std::filesystem::path& path) {
  try {
    locate_chunks(file, stored, path);
    return true;
  } catch (const Error&) {
    return false;
  }
}

/// Files of a set share their forms: the last one is kept, or each of them would hold its own.
std::shared_ptr<const std::string> shared(std::string form) {
  thread_local std::shared_ptr<const std::string> last;
  if (!last || *last != form) last = std::make_shared<const std::string>(std::move(form));
  return last;
}

}  // namespace

ListedLayout to_listed(hid_t file, const std::filesystem::path& path, const FileLayout& layout,
                       const FormatOptions& format, const DataSchema& schema) {
  // Behind a user block the signature is not where begins_as_hdf5() looks for it.
  if (layout.layout == DatasetLayout::jpeg || has_user_block(file)) return {};
  double chunks = 0.0;
  for (const Stored& stored : layout.fields) {
    if (!is_listable(stored)) return {};
    if (stored.storage == Storage::chunked) chunks += chunks_of(stored);
  }
  Json form = Json::array();
  std::string places;
  for (std::size_t at = 0; at < layout.fields.size(); ++at) {
    Stored stored = layout.fields[at];
    form.push_back(form_of(stored, names_asked_for(format, schema, at)));
    if (chunks > static_cast<double>(most_listed_chunks)) continue;
    if (stored.storage == Storage::contiguous) {
      places += fmt::format(" {}", stored.offset);
      continue;
    }
    if (stored.chunks.empty() && !can_locate(file, stored, path)) return {};
    for (const Chunk& chunk : stored.chunks)
      places += fmt::format(" {} {} {}", chunk.offset, chunk.bytes, chunk.skipped);
  }
  try {
    return {shared(form.dump()), places.substr(std::min<std::size_t>(1, places.size()))};
  } catch (const Json::exception&) {  // a name that is no UTF-8
    return {};
  }
}

bool begins_as_hdf5(const OpenFile& file) {
  constexpr std::string_view signature("\x89HDF\r\n\x1a\n", 8);
  std::array<std::byte, signature.size()> head{};
  if (file.range.bytes < head.size()) return false;
  read_fully(file, 0, head);
  return std::memcmp(head.data(), signature.data(), head.size()) == 0;
}

std::optional<std::vector<Stored>> fields_of_form(const std::string& text, const FormatOptions& format,
                                                  const DataSchema& schema) {
  try {
    const Json form = Json::parse(text);
    if (!form.is_array() || form.size() != schema.fields.size()) return std::nullopt;
    std::vector<Stored> fields;
    for (std::size_t at = 0; at < schema.fields.size(); ++at) {
      std::optional<Stored> stored = stored_of(form[at], names_asked_for(format, schema, at));
      if (!stored) return std::nullopt;
      fields.push_back(std::move(*stored));
    }
    return fields;
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

std::optional<FileLayout> FormReader::layout(const ListedLayout& listed, const std::filesystem::path& path,
                                             std::int64_t bytes) {
  if (!listed.form || schema_.images) return std::nullopt;
  if (form_ != listed.form) {
    form_ = listed.form;
    fields_ = fields_of_form(*form_, format_, schema_);
  }
  if (!fields_) return std::nullopt;
  std::vector<Stored> fields = *fields_;
  if (!take_places(listed.places, static_cast<std::uint64_t>(bytes), fields)) return std::nullopt;
  return judged_layout(std::move(fields), path, format_, schema_);
}

std::optional<FileLayout> from_listed(const ListedLayout& listed, const std::filesystem::path& path, std::int64_t bytes,
                                      const FormatOptions& format, const DataSchema& schema) {
  return FormReader(format, schema).layout(listed, path, bytes);
}

}  // namespace trainmark
