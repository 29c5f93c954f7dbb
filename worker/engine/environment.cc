#include "worker/engine/environment.h"

#include <strings.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "worker/engine/blas_library.h"

namespace seedbed::engine {
namespace {

constexpr char kAlreadyReplaced[] = "SEEDBED_ENGINE_ENVIRONMENT_IS_SET";

bool Require(const char* name, const char* value) {
  const char* current = std::getenv(name);
  if (current != nullptr && std::strcmp(current, value) == 0) return false;
  setenv(name, value, 1);
  return true;
}

bool HasAvx512() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd");
#else
  return false;
#endif
}

}  // namespace

std::string BlasKernelToSet(const BlasKernelChoice& choice) {
  if (choice.core_type != nullptr || !choice.has_avx512) return "";
  if (choice.policy != nullptr && std::strcmp(choice.policy, "none") == 0) return "";
  // As openblas_get_corename spells them; "unknown" is another library, which does not read the variable.
  for (const char* fine : {"SkylakeX", "Cooperlake", "SapphireRapids", "unknown"}) {
    if (strcasecmp(choice.chosen.c_str(), fine) == 0) return "";
  }
  return "SkylakeX";
}

void EnsureBlasEnvironment(char** arguments) {
  if (std::getenv(kAlreadyReplaced) != nullptr) {
    unsetenv(kAlreadyReplaced);
    return;
  }
  bool has_changed = Require("OPENBLAS_NUM_THREADS", "1");
  has_changed = Require("OMP_NUM_THREADS", "1") || has_changed;
  const std::string kernel = BlasKernelToSet(
      {std::getenv("OPENBLAS_CORETYPE"), std::getenv("SEEDBED_ENGINE_BLAS_KERNEL"), BlasKernelName(), HasAvx512()});
  if (!kernel.empty()) has_changed = Require("OPENBLAS_CORETYPE", kernel.c_str()) || has_changed;
  if (!has_changed) return;
  setenv(kAlreadyReplaced, "1", 1);
  execv("/proc/self/exe", arguments);
  // Without /proc it goes on as it is: slower, and the fingerprint says so.
  unsetenv(kAlreadyReplaced);
}

}  // namespace seedbed::engine
