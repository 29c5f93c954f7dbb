#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/engine/checkpoint_file.h"

namespace seedbed::engine {

// Writes the parameters of a checkpoint to `path` as Python's torch.load(path, weights_only=True) opens them: a dict
// from the names that the model has as a PyTorch module to tensors in the run's precision, each with a storage of its
// own. What stood at `path` is replaced whole or not at all. Errors name the path.
absl::Status ExportForPython(const Checkpoint& checkpoint, const std::string& path);

// `seedbed-engine export CHECKPOINT OUT.pt`. Returns the exit status: 0 written, 1 failed, 2 wrong usage.
int RunExportCommand(const std::vector<std::string>& arguments);

extern const char kExportUsage[];

}  // namespace seedbed::engine
