#include "worker/engine/numerics.h"

#include <unistd.h>

#include <limits>
#include <string>

#include "ATen/Context.h"
#include "ATen/Parallel.h"
#include "ATen/Version.h"
#include "torch/version.h"
#include "worker/engine/blas_library.h"
#include "worker/engine/elementwise.h"
#include "worker/engine/gpu.h"

namespace seedbed::engine {
namespace {

// The value after `key` in LibTorch's description of itself, up to the line's end.
std::string FromDescription(const std::string& key) {
  const std::string text = at::show_config();
  const size_t found = text.find(key);
  if (found == std::string::npos) return "unknown";
  const size_t begin = text.find_first_not_of(" :", found + key.size());
  return text.substr(begin, text.find('\n', begin) - begin);
}

bool DenormalsAreFlushed() {
  volatile float smallest = std::numeric_limits<float>::min();
  volatile float half = 0.5F;
  return smallest * half == 0.0F;
}

}  // namespace

void SetUpTrainingThread() {
  at::set_num_threads(1);
  at::globalContext().setFlushDenormal(true);
}

Json NumericsFingerprint() {
  return {{"libtorch", TORCH_VERSION},           {"blas", BlasDescription()},
          {"blas_kernel", BlasKernelName()},     {"cpu_capability", FromDescription("CPU capability usage")},
          {"elementwise", BestInstructionSet()}, {"flush_to_zero", DenormalsAreFlushed()},
          {"threads", at::get_num_threads()},    {"device", "cpu"}};
}

Json StackedNumericsFingerprint(const std::string& device, int capacity) {
  Json numerics = NumericsFingerprint();
  numerics["device"] = device;
  numerics["pack"] = "stacked";
  numerics["pack_capacity"] = capacity;
  if (const int gpu = GpuIndex(device); gpu >= 0) {
    const GpuDescription description = DescribeGpu(gpu);
    numerics["device"] = "cuda";  // which of several like ones it is decides nothing
    numerics["gpu"] = description.name;
    numerics["cuda"] = description.runtime_version;
  }
  return numerics;
}

int64_t PhysicalMemoryBytes() {
  return static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
}

}  // namespace seedbed::engine
