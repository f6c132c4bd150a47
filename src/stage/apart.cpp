// Whether what is read and what is written are different places, whatever links and mounts lead there. Staging into
// another split's source would replace its files, and copies below a source would be taken for its samples.
#include <fmt/core.h>

#include "stage/stager.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;

/// Whether `path` is `folder` or lies in it; what does not exist yet lies where it will be made.
bool lies_in(const fs::path& path, const fs::path& folder) {
  std::error_code status;
  for (fs::path at = fs::weakly_canonical(fs::absolute(path, status), status); !at.empty(); at = at.parent_path()) {
    if (fs::equivalent(at, folder, status)) return true;
    if (at == at.root_path()) break;
  }
  return false;
}

[[noreturn]] void refuse(std::string what, std::string why) {
  throw Error(ExitCode::usage,
              Complaint{"stage.target", std::move(what), std::move(why), "name another folder, or use strategy none"});
}

void require_apart(const fs::path& source, const fs::path& target) {
  const bool source_within = lies_in(source, target), target_within = lies_in(target, source);
  if (source_within && target_within)
    refuse(fmt::format("{} is the source itself ({})", target.string(), source.string()),
           "staging would replace files of the dataset");
  if (source_within)
    refuse(fmt::format("the source {} lies within {}", source.string(), target.string()),
           "staging would write into the dataset");
  if (target_within)
    refuse(fmt::format("{} lies within the source {}", target.string(), source.string()),
           "the copies would be taken for samples");
}

}  // namespace

void require_apart(const World& world, std::span<const fs::path> sources, std::span<const fs::path> targets) {
  agree_on(world.all(), [&] {
    if (world.node().rank() != 0) return;
    for (const fs::path& from : sources) {
      for (const fs::path& to : targets)
        if (!to.empty()) require_apart(from, to);  // an empty one is refused where it is opened
    }
  });
}

}  // namespace trainmark
