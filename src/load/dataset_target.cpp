#include "load/dataset_target.hpp"

#include <fmt/core.h>

#include "load/hdf5_writer.hpp"
#include "trainmark/load.hpp"

namespace trainmark {

namespace fs = std::filesystem;

void refuse_strangers(const fs::path& target, const std::set<std::string>& expected, const std::string& remedy) {
  for (const char* split : {"train", "validation"}) {
    std::error_code status;
    if (!fs::exists(target / split, status)) continue;
    fs::recursive_directory_iterator at(target / split, status);
    for (; !status && at != fs::recursive_directory_iterator(); at.increment(status)) {
      const fs::directory_entry& entry = *at;
      const std::string name = entry.path().filename().string();
      if (name.starts_with('.') || !looks_like_samples(name)) continue;
      if (expected.contains(entry.path().lexically_relative(target).generic_string())) continue;
      throw Error(ExitCode::data, Complaint{entry.path().string(), "does not belong to the dataset that was asked for",
                                            "runs read every file of a folder", remedy});
    }
    if (status) {
      throw Error(ExitCode::data,
                  Complaint{(target / split).string(), fmt::format("cannot be looked through: {}", status.message()),
                            "what is there already must fit", remedy});
    }
  }
}

void make_split_folders(const fs::path& target) {
  for (const char* split : {"train", "validation"}) {
    std::error_code error;
    fs::create_directories(target / split, error);
    if (!error) {
      remove_leftovers(target / split);
      continue;
    }
    throw Error(ExitCode::data, Complaint{(target / split).string(), "the folder cannot be created: " + error.message(),
                                          "", "choose a target that you may write to"});
  }
}

}  // namespace trainmark
