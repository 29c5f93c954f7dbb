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
  // Of OpenBLAS: "auto" (the engine chooses, who alone knows which one the library would take), "none" (the library's
  // own choice), or a name as in OPENBLAS_CORETYPE.
  std::string blas_kernel = "auto";
};

// The whole environment of an engine, as "NAME=value": the worker's own (`base`, the same form) with one thread for
// each library that would start more, what the launch says of the BLAS kernel, and the launch's changes. Descriptors 3
// and 4 are named as the protocol's input and output.
std::vector<std::string> EngineEnvironment(const std::vector<std::string>& base, const EngineLaunch& launch);

// This process's environment, "NAME=value".
std::vector<std::string> CurrentEnvironment();

}  // namespace seedbed
