#include "worker/process/engine_environment.h"

#include <unistd.h>

#include <map>

namespace seedbed {

std::vector<std::string> EngineEnvironment(const std::vector<std::string>& base, const EngineLaunch& launch) {
  std::map<std::string, std::string> variables;
  for (const std::string& entry : base) {
    const size_t equals = entry.find('=');
    if (equals != std::string::npos && equals > 0) variables[entry.substr(0, equals)] = entry.substr(equals + 1);
  }
  for (const std::string& name : launch.removed_environment) variables.erase(name);
  // Two threads on one such small run are slower than one, and at::set_num_threads does not reach OpenBLAS.
  for (const char* name : {"OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"}) variables[name] = "1";
  if (launch.blas_kernel == "none") {
    variables["SEEDBED_ENGINE_BLAS_KERNEL"] = "none";
  } else if (launch.blas_kernel != "auto") {
    variables["OPENBLAS_CORETYPE"] = launch.blas_kernel;
  }
  for (const auto& [name, value] : launch.environment) variables[name] = value;
  variables["SEEDBED_ENGINE_INPUT_FD"] = "3";
  variables["SEEDBED_ENGINE_OUTPUT_FD"] = "4";
  std::vector<std::string> entries;
  for (const auto& [name, value] : variables) entries.push_back(name + "=" + value);
  return entries;
}

std::vector<std::string> CurrentEnvironment() {
  std::vector<std::string> entries;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) entries.emplace_back(*entry);
  return entries;
}

}  // namespace seedbed
