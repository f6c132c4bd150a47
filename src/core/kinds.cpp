// Kinds of files by their first bytes, and what makes of them what was looked for.
#include <fmt/core.h>

#include <algorithm>

#include "core/reading.hpp"

namespace trainmark {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view fetch_lfs = "fetch the file itself (git lfs pull)";
constexpr std::string_view fetch_annex = "fetch the file itself (git annex get)";
constexpr std::string_view page = "download the file again: this is a page or an error of the server that was asked";

// A mark that ends in a letter of the hexadecimal digits' range must not run into what follows it.
constexpr FileKind kinds[] = {
    {0, "\x1f\x8b"sv, "compressed by gzip", "zcat"},
    {0, "\x1f\x9d"sv, "compressed by compress", "zcat"},
    {0, "BZh"sv, "compressed by bzip2", "bzcat"},
    {0,
     "\xfd"
     "7zXZ"sv,
     "compressed by xz", "xzcat"},
    {0, "\x28\xb5\x2f\xfd"sv, "compressed by zstd", "zstdcat"},
    {0, "\x04\x22\x4d\x18"sv, "compressed by lz4", "lz4cat"},
    {0, "PK\x03\x04"sv, "a zip archive", "unzip -p"},
    {0, "PK\x05\x06"sv, "a zip archive, and an empty one", ""},
    {0, "7z\xbc\xaf\x27\x1c"sv, "a 7z archive", "7z x -so"},
    {257, "ustar"sv, "a tar archive", "tar -xOf"},
    {0, "\xff\xfe\0\0"sv, "UTF-32 text", "iconv -f UTF-32 -t UTF-8"},
    {0, "\0\0\xfe\xff"sv, "UTF-32 text", "iconv -f UTF-32 -t UTF-8"},
    {0, "\xff\xfe"sv, "UTF-16 text", "iconv -f UTF-16 -t UTF-8"},
    {0, "\xfe\xff"sv, "UTF-16 text", "iconv -f UTF-16 -t UTF-8"},
    {0, "\x89HDF\r\n"sv, "an HDF5 file", ""},
    {0, "\x0e\x03\x13\x01"sv, "an HDF4 file", "", "convert it (h4toh5)"},
    {0, "CDF\x01"sv, "a netCDF file in its classic format", "", "convert it (nccopy -k nc4)"},
    {0, "CDF\x02"sv, "a netCDF file in its 64-bit format", "", "convert it (nccopy -k nc4)"},
    {0, "CDF\x05"sv, "a netCDF file in its CDF-5 format", "", "convert it (nccopy -k nc4)"},
    {0, "\x93NUMPY"sv, "an array of NumPy", ""},
    {0, "MATLAB 5.0 MAT-file"sv, "a MATLAB file older than 7.3", ""},
    {0, "\xff\xd8\xff"sv, "a JPEG", ""},
    {0, "\x89PNG\r\n"sv, "a PNG", ""},
    {0, "%PDF-"sv, "a PDF", ""},
    {0,
     "\x7f"
     "ELF"sv,
     "a program", ""},
    {0, "version https://git-lfs.github.com/spec/"sv, "a pointer of Git LFS", "", fetch_lfs, true},
    {0, "/annex/objects/"sv, "a pointer of git-annex", "", fetch_annex, true},
    {0, "<!doctype html"sv, "an HTML page", "", page, true},
    {0, "<html"sv, "an HTML page", "", page, true},
    {0, "<?xml"sv, "an XML document", "", "", true},
};

char small(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool has_mark(std::string_view head, const FileKind& kind) {
  if (kind.text) {
    if (head.starts_with("\xef\xbb\xbf")) head.remove_prefix(3);
    head.remove_prefix(std::min(head.find_first_not_of(" \t\r\n"), head.size()));
  }
  if (head.size() < kind.at + kind.mark.size()) return false;
  const std::string_view there = head.substr(kind.at, kind.mark.size());
  return kind.text ? std::ranges::equal(there, kind.mark, {}, small) : there == kind.mark;
}

}  // namespace

const FileKind* kind_of(std::string_view head) noexcept {
  const auto* found = std::ranges::find_if(kinds, [head](const FileKind& kind) { return has_mark(head, kind); });
  return found == std::ranges::end(kinds) ? nullptr : found;
}

std::string remedy_for(const FileKind& kind, std::string_view otherwise) {
  if (!kind.remedy.empty()) return std::string(kind.remedy);
  if (!kind.command.empty()) return fmt::format("unpack it ({} FILE > ITS_NEW_NAME)", kind.command);
  return std::string(otherwise);
}

}  // namespace trainmark
