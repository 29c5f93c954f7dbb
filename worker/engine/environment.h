#pragma once

#include <string>

namespace seedbed::engine {

// What decides which of its kernels OpenBLAS is to use.
struct BlasKernelChoice {
  const char* core_type = nullptr;  // OPENBLAS_CORETYPE, null where it is not set
  const char* policy = nullptr;     // SEEDBED_ENGINE_BLAS_KERNEL likewise: "none" leaves the library's choice alone
  std::string chosen;               // by the library, as BlasKernelName says it
  bool has_avx512 = false;          // of all kinds that the kernels for it need
};

// The value to give to OPENBLAS_CORETYPE: "SkylakeX" where this CPU has AVX-512 and the library chose a kernel without
// (0.3.21 does so on CPUs that came after it, and is then half as fast); "" where there is nothing to set. This is the
// one place that decides it, for engines of workers and for those that people and `seedbed verify` start: the kernel is
// part of the numerics fingerprint, and only who has loaded the library knows its choice.
std::string BlasKernelToSet(const BlasKernelChoice& choice);

// BLAS and OpenMP read their environment when they are loaded, before main. So if it does not ask for one thread, or
// for the kernel of BlasKernelToSet, this sets the variables and replaces the process by itself, once. Returns when
// there is nothing (left) to do.
void EnsureBlasEnvironment(char** arguments);

}  // namespace seedbed::engine
