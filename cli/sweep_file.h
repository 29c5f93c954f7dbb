#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/output.h"
#include "common/sweep_file/sweep.h"

namespace seedbed::cli {

// A sweep file as it was read and checked.
struct LoadedSweep {
  std::string text;
  std::string file_name;  // as it was given; "<stdin>" for "-"
  Sweep sweep;
};

// Reads and checks `file` ("-" is standard input). NOT_FOUND if it cannot be read; what is wrong inside is ParseSweep's
// INVALID_ARGUMENT, one line per mistake, ready to be printed as it is.
absl::StatusOr<LoadedSweep> LoadSweep(const std::string& file, const std::vector<std::string>& overrides);

// One line each on `err`: what the file says and can hardly mean.
void PrintWarnings(const Sweep& sweep, Output& err);

// True for a status of LoadSweep that lists mistakes inside the file.
bool IsSweepFileMistake(const absl::Status& status);

// 32 hexadecimal digits, drawn anew for every submission so that a retried call is one submission.
std::string NewSubmissionId();

}  // namespace seedbed::cli
