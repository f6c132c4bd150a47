// Shared memory of the running block. Static arrays are thread-local variables of the executable (cuda_on_host.hpp
// makes them so), found in its symbol table as locals of functions; dynamic memory ends at an untouchable page.
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <new>
#include <set>
#include <span>
#include <string_view>

#include "cuda_double/block.hpp"

namespace trainmark::cuda_double {
namespace {

constexpr std::size_t largest = std::size_t{256} << 10;
constexpr int fresh = 0xFF, margin = 0xA5;

std::span<const char> executable() {
  const int file = open("/proc/self/exe", O_RDONLY);
  struct stat status {};
  if (file < 0 || fstat(file, &status) != 0) return {};
  const auto bytes = static_cast<std::size_t>(status.st_size);
  void* memory = mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, file, 0);
  close(file);
  return memory == MAP_FAILED ? std::span<const char>{} : std::span{static_cast<const char*>(memory), bytes};
}

/// Thread-local locals of functions that start as zero and have no guard, i.e. no constructor.
std::vector<SharedVariable> read_symbols() {
  const auto file = executable();
  if (file.empty()) return {};
  const auto* header = reinterpret_cast<const ElfW(Ehdr)*>(file.data());
  const std::span sections(reinterpret_cast<const ElfW(Shdr)*>(file.data() + header->e_shoff), header->e_shnum);
  std::vector<SharedVariable> variables;
  std::set<std::string, std::less<>> guarded;
  for (const auto& section : sections) {
    if (section.sh_type != SHT_SYMTAB) continue;
    const char* names = file.data() + sections[section.sh_link].sh_offset;
    const std::span symbols(reinterpret_cast<const ElfW(Sym)*>(file.data() + section.sh_offset),
                            section.sh_size / sizeof(ElfW(Sym)));
    for (const auto& symbol : symbols) {
      const std::string_view name = names + symbol.st_name;
      if (ELF64_ST_TYPE(symbol.st_info) != STT_TLS || symbol.st_shndx >= sections.size()) continue;
      if (name.starts_with("_ZGVZ")) guarded.emplace(name.substr(4));
      if (!name.starts_with("_ZZ") || sections[symbol.st_shndx].sh_type != SHT_NOBITS) continue;
      variables.push_back({std::string(name), symbol.st_value, symbol.st_size});
    }
  }
  std::erase_if(variables, [&](const auto& variable) { return guarded.contains(variable.name.substr(2)); });
  munmap(const_cast<char*>(file.data()), file.size());
  return variables;
}

char* dynamic_end() {
  static char* const end = [] {
    void* memory = mmap(nullptr, largest + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    mprotect(static_cast<char*>(memory) + largest, 4096, PROT_NONE);
    return static_cast<char*>(memory) + largest;
  }();
  return end;
}
std::size_t rounded(std::size_t bytes) { return (bytes + 15) / 16 * 16; }

}  // namespace

const std::vector<SharedVariable>& shared_variables() {
  static const std::vector<SharedVariable> all = read_symbols();
  return all;
}

char* thread_local_base() {
  static thread_local char* const base = [] {
    void* found = nullptr;
    // The first object is the executable itself.
    dl_iterate_phdr(
        [](dl_phdr_info* info, std::size_t, void* result) {
          *static_cast<void**>(result) = info->dlpi_tls_data;
          return 1;
        },
        &found);
    return static_cast<char*>(found);
  }();
  return base;
}

char* prepare_shared(std::size_t dynamic_bytes) {
  if (char* base = thread_local_base(); base != nullptr)
    for (const SharedVariable& variable : shared_variables())
      std::memset(base + variable.offset, fresh, variable.bytes);
  char* begin = dynamic_end() - rounded(dynamic_bytes);
  std::memset(begin, fresh, dynamic_bytes);
  std::memset(begin + dynamic_bytes, margin, rounded(dynamic_bytes) - dynamic_bytes);
  return begin;
}

bool shared_margin_touched(std::size_t dynamic_bytes) {
  for (const char* at = dynamic_end() - rounded(dynamic_bytes) + dynamic_bytes; at < dynamic_end(); ++at)
    if (*at != static_cast<char>(margin)) return true;
  return false;
}

}  // namespace trainmark::cuda_double
