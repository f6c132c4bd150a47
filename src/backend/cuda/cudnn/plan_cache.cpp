// Reading, judging and writing the plan cache's files. A file is: magic with format version, checksum of the rest, then
// context, key, engine, workspace and the plan, each with its length.
#include "backend/cuda/cudnn/plan_cache.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>

#include "trainmark/core.hpp"

namespace trainmark::cuda {
namespace {

/// The number rises with the format, and whenever what is computed under an unchanged key changes: the types of
/// operands are not in it.
constexpr std::string_view magic = "trainmark plan 2\n";

/// FNV-1a: finds damage, which is all that is asked; entries are some ten kilobytes.
std::uint64_t checksum(std::string_view bytes) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char byte : bytes) {
    hash ^= static_cast<unsigned char>(byte);
    hash *= 0x100000001b3U;
  }
  return hash;
}

void append(std::string& to, std::uint64_t value) {
  for (int shift = 0; shift < 64; shift += 8)
    to += static_cast<char>(value >> shift & 0xffU);
}
void append(std::string& to, std::string_view text) {
  append(to, static_cast<std::uint64_t>(text.size()));
  to += text;
}

/// Takes a file apart; `good` turns false at the first length that does not fit, and stays so.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  std::uint64_t number() {
    const std::string_view bytes = take(8);
    std::uint64_t value = 0;
    for (std::size_t i = bytes.size(); i > 0; --i)
      value = value << 8 | static_cast<unsigned char>(bytes[i - 1]);
    return value;
  }
  std::string_view text() { return take(number()); }
  std::string_view take(std::uint64_t count) {
    if (count > rest_.size()) {
      good_ = false;
      return {};
    }
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }
  [[nodiscard]] std::string_view rest() const noexcept { return rest_; }
  [[nodiscard]] bool good() const noexcept { return good_; }

 private:
  std::string_view rest_;
  bool good_ = true;
};

}  // namespace

std::string encoded(const std::string& context, const std::string& key, const StoredPlan& plan) {
  std::string body;
  append(body, context);
  append(body, key);
  append(body, plan.engine);
  append(body, plan.workspace_bytes);
  append(body, std::string_view(reinterpret_cast<const char*>(plan.plan.data()), plan.plan.size()));
  std::string bytes(magic);
  append(bytes, checksum(body));
  return bytes + body;
}

Decoded decoded(std::string_view bytes, const std::string& context, const std::string& key) {
  Reader reader(bytes);
  if (reader.take(magic.size()) != magic) return {"it is no plan of this format", {}};
  const std::uint64_t expected = reader.number();
  if (!reader.good() || checksum(reader.rest()) != expected) return {"it is damaged (its checksum does not fit)", {}};
  const std::string_view found_context = reader.text();
  if (found_context != context) {
    return {fmt::format("it was made for \"{}\", this is \"{}\"", found_context, context), {}};
  }
  const std::string_view found_key = reader.text();
  if (found_key != key) return {fmt::format("it holds another graph: {}", found_key), {}};
  Decoded result;
  result.plan.engine = reader.text();
  result.plan.workspace_bytes = reader.number();
  const std::string_view plan = reader.text();
  result.plan.plan.assign(plan.begin(), plan.end());
  if (!reader.good() || !reader.rest().empty()) result.refused_because = "it is damaged (its lengths do not fit)";
  return result;
}

namespace {

/// A context holds spaces and slashes; a file's name only what every file system takes.
std::string as_file_name(std::string_view text) {
  std::string name;
  for (const char c : text) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.';
    if (plain || name.empty() || name.back() != '-') name += plain ? c : '-';
  }
  return name;
}

}  // namespace

PlanCache::PlanCache(std::string folder, std::string context, Note note)
    : folder_(std::move(folder)), context_(std::move(context)), note_(std::move(note)) {}

std::string PlanCache::path_of(const std::string& key) const {
  return fmt::format("{}/{}-{:016x}.plan", folder_, as_file_name(context_), checksum(key));
}

void PlanCache::reject(const std::string& key, const std::string& reason) const {
  note_(fmt::format("{}: this cached plan is not used: {}; it is made anew", path_of(key), reason));
}

std::optional<StoredPlan> PlanCache::load(const std::string& key) const {
  std::ifstream file(path_of(key), std::ios::binary);
  if (!file) return {};
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  Decoded entry = decoded(bytes, context_, key);
  if (!entry.refused_because.empty()) {
    reject(key, entry.refused_because);
    return {};
  }
  return std::move(entry.plan);
}

void PlanCache::store(const std::string& key, const StoredPlan& plan) {
  if (!writable_) return;
  std::error_code ignored;  // what matters is whether the file can be written
  std::filesystem::create_directories(folder_, ignored);
  try {
    write_atomically(
        path_of(key), encoded(context_, key, plan),
        {"every start plans anew, which takes up to minutes", "choose a folder that can be written, or none"});
    // Whatever the umask: colleagues share the folder.
    using enum std::filesystem::perms;
    std::filesystem::permissions(path_of(key), owner_read | owner_write | group_read | others_read, ignored);
  } catch (const Error& error) {
    writable_ = false;
    note_(fmt::format("plans cannot be kept: {}", error.what()));
  }
}

}  // namespace trainmark::cuda
