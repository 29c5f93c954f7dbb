#include "worker/engine/numerics.h"

#include <unistd.h>

#include <fstream>
#include <iterator>
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

// The line of `text` with `key` in it, from there on, without the key and what parts them; or "unknown".
std::string After(const std::string& key, const std::string& text) {
  const size_t found = text.find(key);
  if (found == std::string::npos) return "unknown";
  const size_t begin = text.find_first_not_of(" :\t", found + key.size());
  return text.substr(begin, text.find('\n', begin) - begin);
}

// A BLAS that is not OpenBLAS, as LibTorch says that it was built with it.
std::string OtherBlasDescription() {
  const std::string text = at::show_config();
  const std::string version = After("Math Kernel Library", text);
  if (version != "unknown") return "MKL " + version;
  const std::string info = After("BLAS_INFO=", text);
  return info.substr(0, info.find(','));
}

// Such a library does not say which kernel it took; it follows from the CPU.
std::string CpuModel() {
  std::ifstream file("/proc/cpuinfo");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  return After("model name", text);
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
  const bool is_openblas = BlasKernelName() != "unknown";
  return {{"engine", SEEDBED_VERSION},
          {"libtorch", TORCH_VERSION},
          {"blas", is_openblas ? BlasDescription() : OtherBlasDescription()},
          {"blas_kernel", is_openblas ? BlasKernelName() : "of " + CpuModel()},
          {"cpu_capability", After("CPU capability usage", at::show_config())},
          {"elementwise", BestInstructionSet()},
          {"flush_to_zero", DenormalsAreFlushed()},
          {"threads", at::get_num_threads()},
          {"device", "cpu"}};
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
