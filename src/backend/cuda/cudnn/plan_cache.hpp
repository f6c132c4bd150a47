// Serialised plans on disk, one file a graph. An entry is used only if it is whole and says of itself that it was made
// for this device, library, options and graph; anything else is replaced. No CUDA, no cuDNN: bytes in, bytes out.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trainmark::cuda {

struct StoredPlan {
  std::string engine;
  std::uint64_t workspace_bytes = 0;
  std::vector<std::uint8_t> plan;
};

/// A plan with all that it was made for: an entry of the cache, also for sending it to other ranks. `context` is
/// everything but the graph that a plan depends on: device, library versions, options.
[[nodiscard]] std::string encoded(const std::string& context, const std::string& key, const StoredPlan& plan);
struct Decoded {
  std::string refused_because;  ///< empty: whole, and made for this context and graph
  StoredPlan plan;
};
[[nodiscard]] Decoded decoded(std::string_view bytes, const std::string& context, const std::string& key);

class PlanCache {
 public:
  using Note = std::function<void(const std::string&)>;

  /// `context` becomes part of each file's name and content. The folder is made on the first store. `note` is told what
  /// a user should know.
  PlanCache(std::string folder, std::string context, Note note);

  /// Nothing where there is no entry or none that may be used; the latter is noted.
  [[nodiscard]] std::optional<StoredPlan> load(const std::string& key) const;
  /// Written under another name, flushed and renamed, so that ranks may store the same entry at the same time and a
  /// crash leaves the old one or the new one. A folder that cannot be written is noted once and costs only time.
  void store(const std::string& key, const StoredPlan& plan);

  [[nodiscard]] std::string path_of(const std::string& key) const;
  /// What a loaded entry turned out to be good for: noted with the reason, and to be stored anew.
  void reject(const std::string& key, const std::string& reason) const;

 private:
  std::string folder_;
  std::string context_;
  Note note_;
  bool writable_ = true;
};

}  // namespace trainmark::cuda
