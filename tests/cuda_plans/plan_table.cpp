// Reading and writing the rows of the committed table.
#include "cuda_plans/plan_table.hpp"

#include <fmt/format.h>

#include <fstream>
#include <iterator>

namespace trainmark::cuda {
namespace {

const std::string source_folder = TRAINMARK_SOURCE_DIR;
const std::string library_mark = "# made by ";

std::ifstream opened(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw Error(ExitCode::data, fmt::format("{}: cannot be read", path));
  return file;
}

}  // namespace

CompilerOptions options_for(const std::string& device, bool select_only) {
  std::ifstream file = opened(source_folder + "/share/devices/" + device + ".json");
  CompilerOptions options;
  options.device_description.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  options.select_only = select_only;
  return options;
}

CompilerOptions with_memory(CompilerOptions options, std::int64_t bytes) {
  const std::string name = "\"totalGlobalMem\": ";
  std::string& text = options.device_description;
  const std::size_t begin = text.find(name) + name.size();
  text.replace(begin, text.find(',', begin) - begin, std::to_string(bytes));
  return options;
}

std::string outcome(const CompiledGraph& plan) { return fmt::format("{}\t{}", plan.engine(), plan.workspace_bytes()); }

std::string row(const std::string& device, const GraphSpec& spec, const CompiledGraph& plan) {
  return fmt::format("{}\t{}\t{}", device, key_of(spec), outcome(plan));
}

PlanTable read_plan_table() {
  std::ifstream file = opened(source_folder + "/tests/reference/cudnn_plans.txt");
  PlanTable table;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(library_mark)) table.library = line.substr(library_mark.size());
    if (line.empty() || line.starts_with('#')) continue;
    const std::size_t key_end = line.find('\t', line.find('\t') + 1);
    table.outcomes[line.substr(0, key_end)] = line.substr(key_end + 1);
  }
  return table;
}

}  // namespace trainmark::cuda
