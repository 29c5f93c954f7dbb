#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace seedbed::cli {

// What was asked of `seedbed run`.
struct EmbeddedOptions {
  std::string file;
  std::vector<std::string> overrides;
  int workers = 1;
  std::optional<int> slots;  // of each worker; default: the CPUs, shared out
  std::string device = "auto";
  std::string pack = "auto";               // runs that an engine trains together
  std::optional<double> checkpoint_every;  // seconds; default: the worker's
  std::string http;                        // HOST:PORT of the dashboard; empty: none
  std::optional<int64_t> least_free_disk;  // MiB; default: the coordinator's
};

}  // namespace seedbed::cli
