#include "worker/process/engine_environment.h"

#include <unistd.h>

#include <map>
#include <set>
#include <sstream>

namespace seedbed {

std::string BlasKernelFor(const std::string& cpuinfo) {
  std::istringstream lines(cpuinfo);
  for (std::string line; std::getline(lines, line);) {
    if (line.compare(0, 5, "flags") != 0) continue;
    std::istringstream words(line.substr(line.find(':') + 1));
    std::set<std::string> flags;
    for (std::string word; words >> word;) flags.insert(word);
    for (const char* needed : {"avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd"}) {
      if (flags.count(needed) == 0) return "";
    }
    return "SkylakeX";
  }
  return "";
}

std::vector<std::string> EngineEnvironment(const std::vector<std::string>& base, const EngineLaunch& launch,
                                           const std::string& cpuinfo) {
  std::map<std::string, std::string> variables;
  for (const std::string& entry : base) {
    const size_t equals = entry.find('=');
    if (equals != std::string::npos && equals > 0) variables[entry.substr(0, equals)] = entry.substr(equals + 1);
  }
  for (const std::string& name : launch.removed_environment) variables.erase(name);
  // Two threads on one such small run are slower than one, and at::set_num_threads does not reach OpenBLAS.
  for (const char* name : {"OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"}) variables[name] = "1";
  if (launch.blas_kernel != "auto" && launch.blas_kernel != "none") {
    variables["OPENBLAS_CORETYPE"] = launch.blas_kernel;
  } else if (launch.blas_kernel == "auto" && variables.count("OPENBLAS_CORETYPE") == 0) {
    if (const std::string kernel = BlasKernelFor(cpuinfo); !kernel.empty()) variables["OPENBLAS_CORETYPE"] = kernel;
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
