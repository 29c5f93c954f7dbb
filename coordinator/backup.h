#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

// Copies of a data directory's results, taken from its files: a coordinator may be working on them meanwhile.
namespace seedbed {

struct BackupSize {
  int64_t bytes = 0;
  int64_t checkpoints = 0;
};

// The database as it is now, as the new file `path`. NOT_FOUND if there is no database; FAILED_PRECONDITION if `path`
// exists; RESOURCE_EXHAUSTED for a full disk.
absl::StatusOr<BackupSize> BackUpDatabase(const std::string& data_directory, const std::string& path);

// The same as `target`/results.db of the new data directory `target`, and every checkpoint's file that it names, each
// compared with its sum (DATA_LOSS). `target` appears when all is there and synced.
absl::StatusOr<BackupSize> BackUpDirectory(const std::string& data_directory, const std::string& target);

// While files are copied, links to them stand in a folder of the data directory, so that a coordinator may drop them.
// Those folders whose process is gone, and how to remove one.
std::vector<std::string> AbandonedPins(const std::string& data_directory);
bool RemovePins(const std::string& path);

}  // namespace seedbed
