#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/storage/inspection.h"

namespace seedbed {

struct DoctorOptions {
  std::string directory;  // DATA
  bool quick = false;     // SQLite's quick check, and no sums of files
  bool repair = false;    // remove what belongs to nothing; takes DATA/lock
};

struct Diagnosis {
  int64_t used_by = 0;  // process id of a coordinator that has the directory open; 0: none
  std::vector<Finding> findings;
  std::vector<std::string> removed;  // files, by `repair`
  int64_t runs = 0;
  int64_t rows = 0;
  int64_t checkpoints = 0;
};

// Examines a data directory: InspectDatabase, then the checkpoints' files (present, of their size, of their sum) and
// the files that belong to nothing. Changes nothing without `repair`, so a coordinator may be using it. Errors are
// InspectDatabase's; FAILED_PRECONDITION for `repair` while a coordinator has the lock.
absl::StatusOr<Diagnosis> Diagnose(const DoctorOptions& options);

}  // namespace seedbed
