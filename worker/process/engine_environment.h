#pragma once

#include <string>
#include <utility>
#include <vector>

namespace seedbed {

// How to start one engine.
struct EngineLaunch {
  std::vector<std::string> argv;                                 // argv[0]: a path, or a name that PATH has
  std::vector<std::pair<std::string, std::string>> environment;  // set, over all else
  std::vector<std::string> removed_environment;                  // of the worker's, e.g. what holds a token
  std::string working_directory;                                 // empty: where the worker was started
  // OPENBLAS_CORETYPE: "auto" (as BlasKernelFor chooses), "none" (the library's own choice), or a name that OpenBLAS
  // knows.
  std::string blas_kernel = "auto";
};

// OpenBLAS 0.3.21 knows no CPU that came after it and falls back to AVX2 there, at half the speed where AVX-512 is
// present. Returns "SkylakeX" if /proc/cpuinfo's text lists all that this kernel needs, else "".
std::string BlasKernelFor(const std::string& cpuinfo);

// The whole environment of an engine, as "NAME=value": the worker's own (`base`, the same form) with one thread for
// each library that would start more, the BLAS kernel's name unless `base` or the launch sets it, and the launch's
// changes. Descriptors 3 and 4 are named as the protocol's input and output.
std::vector<std::string> EngineEnvironment(const std::vector<std::string>& base, const EngineLaunch& launch,
                                           const std::string& cpuinfo);

// This process's environment, "NAME=value".
std::vector<std::string> CurrentEnvironment();

}  // namespace seedbed
