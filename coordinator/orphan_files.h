#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "common/base/ids.h"

namespace seedbed {

// The checkpoints of DATA/checkpoints, whole or in part, that are none of `referenced` (paths below DATA): what a crash
// left between a file and its commit. Their paths.
std::vector<std::string> OrphanCheckpoints(const std::string& data_directory,
                                           const absl::flat_hash_set<std::string>& referenced);

struct RunLogFile {
  RunId run;
  int attempt = 0;
  std::string path;
};

// The logs of DATA/logs that are of no run or of an attempt that it has not had: what a crash left of runs that were
// deleted, and, where a backup was put back in place, a lost history's, to which the next attempt of that number would
// append its own. `attempts_of`: how many a run has had, 0 without such a run.
std::vector<RunLogFile> OrphanLogs(const std::string& data_directory, const std::function<int(RunId)>& attempts_of);

}  // namespace seedbed
