#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "common/base/ids.h"

namespace seedbed {

// One thing that is wrong, in words for people.
struct Finding {
  std::string check;   // what was looked at, a short name for programs: "integrity", "state", "finished_rows", …
  std::string what;    // what is wrong, and where
  std::string advice;  // what to do next
};

// What a look at a database found. Nothing is changed by it.
struct Inspection {
  struct CheckpointFile {
    RunId run;
    int64_t step = 0;
    std::string path;    // below the data directory
    std::string sha256;  // lower-case hexadecimal digits
    int64_t bytes = 0;
  };
  std::vector<Finding> findings;
  int64_t runs = 0;
  int64_t rows = 0;                          // of `steps`
  bool knows_files = false;                  // what files belong to could be read: all below
  std::vector<CheckpointFile> checkpoints;   // rows of that table
  absl::flat_hash_map<RunId, int> attempts;  // of each run that had one, how many
};

// Looks at the file itself (SQLite's integrity check; only its quick one if `quick`), at its schema and foreign keys,
// at the laws that hold between its rows, and loads the state as a coordinator does. Damage is a finding, not an error.
// Reads one snapshot on a read-only connection, so a coordinator may be writing. NOT_FOUND if there is no file;
// FAILED_PRECONDITION for a file of another version or program.
absl::StatusOr<Inspection> InspectDatabase(const std::string& database_path, bool quick);

}  // namespace seedbed
