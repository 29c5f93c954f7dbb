#pragma once

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
};

}  // namespace seedbed::cli
