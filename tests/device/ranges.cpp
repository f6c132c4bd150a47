// Stands in for a profiler: NVTX loads it (NVTX_INJECTION64_PATH), and it prints the name of each range that begins.
#include <nvtx3/nvToolsExt.h>

#include <cstdio>

namespace {

int push(const char* name) { return std::fprintf(stderr, "range: %s\n", name) < 0 ? -1 : 0; }

}  // namespace

extern "C" int InitializeInjectionNvtx2(NvtxGetExportTableFunc_t export_table) {
  const auto* callbacks = static_cast<const NvtxExportTableCallbacks*>(export_table(NVTX_ETID_CALLBACKS));
  NvtxFunctionTable table = nullptr;
  unsigned size = 0;
  if (callbacks == nullptr || callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE, &table, &size) == 0) return 0;
  if (size <= NVTX_CBID_CORE_RangePushA) return 0;
  *table[NVTX_CBID_CORE_RangePushA] = reinterpret_cast<NvtxFunctionPointer>(push);
  return 1;
}
