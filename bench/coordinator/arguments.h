#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "bench/coordinator/coordinator_process.h"

namespace seedbed::bench {

// What every benchmark of the coordinator takes.
struct Arguments {
  std::string coordinator = SiblingProgram("seedbed-coordinator");
  std::string directory;  // where scratch directories are made
  bool json = false;
  bool smoke = false;
};

inline void Describe(CLI::App* app, Arguments* arguments) {
  app->add_option("--coordinator", arguments->coordinator, "the seedbed-coordinator to measure")->capture_default_str();
  app->add_option("--directory", arguments->directory,
                  "make scratch directories here: on the disk that is to be measured (default: $TMPDIR, or /tmp)");
  app->add_flag("--json", arguments->json, "print one JSON object instead of a table");
  app->add_flag("--smoke", arguments->smoke, "as small as it gets: shows that it works, and nothing else");
}

}  // namespace seedbed::bench
