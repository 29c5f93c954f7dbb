#include "worker/engine/environment.h"

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

bool MissesAvx512() {
  if (std::getenv("OPENBLAS_CORETYPE") != nullptr || !HasAvx512()) return false;
  const std::string kernel = BlasKernelName();
  return kernel == "Haswell" || kernel == "Zen" || kernel == "Sandybridge" || kernel == "Prescott" || kernel == "Core2";
}

}  // namespace

void EnsureBlasEnvironment(char** arguments, bool choose_kernel) {
  if (std::getenv(kAlreadyReplaced) != nullptr) {
    unsetenv(kAlreadyReplaced);
    return;
  }
  bool has_changed = Require("OPENBLAS_NUM_THREADS", "1");
  has_changed = Require("OMP_NUM_THREADS", "1") || has_changed;
  if (choose_kernel && MissesAvx512()) has_changed = Require("OPENBLAS_CORETYPE", "SkylakeX") || has_changed;
  if (!has_changed) return;
  setenv(kAlreadyReplaced, "1", 1);
  execv("/proc/self/exe", arguments);
  // Without /proc it goes on as it is: slower, and the fingerprint says so.
  unsetenv(kAlreadyReplaced);
}

}  // namespace seedbed::engine
