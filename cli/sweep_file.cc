#include "cli/sweep_file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <random>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"

namespace seedbed::cli {
namespace {

constexpr char kMistakePayload[] = "seedbed/sweep-file-mistake";

// One byte more than a sweep file may have, so that ParseSweep refuses what is too long in its own words.
absl::StatusOr<std::string> ReadAtMost(const std::string& file, int64_t most) {
  const bool from_stdin = file == "-";
  const int descriptor = from_stdin ? STDIN_FILENO : open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    return absl::NotFoundError(absl::StrCat("cannot open the sweep file ", file, ": ", std::strerror(errno)));
  }
  std::string text;
  absl::Status status;
  while (static_cast<int64_t>(text.size()) <= most) {
    char buffer[64 << 10];
    const ssize_t got = read(descriptor, buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      status = absl::NotFoundError(absl::StrCat("cannot read the sweep file ", file, ": ", std::strerror(errno)));
    }
    if (got <= 0) break;
    text.append(buffer, static_cast<size_t>(got));
  }
  if (!from_stdin) close(descriptor);
  SEEDBED_RETURN_IF_ERROR(status);
  return text;
}

}  // namespace

absl::StatusOr<LoadedSweep> LoadSweep(const std::string& file, const std::vector<std::string>& overrides) {
  LoadedSweep loaded;
  loaded.file_name = file == "-" ? "<stdin>" : file;
  SEEDBED_ASSIGN_OR_RETURN(loaded.text, ReadAtMost(file, SweepLimits().most_file_bytes));
  absl::StatusOr<Sweep> sweep = ParseSweep(loaded.text, loaded.file_name, overrides);
  if (!sweep.ok()) {
    absl::Status mistakes(absl::StatusCode::kInvalidArgument, sweep.status().message());
    mistakes.SetPayload(kMistakePayload, absl::Cord());
    return mistakes;
  }
  loaded.sweep = *std::move(sweep);
  return loaded;
}

void PrintWarnings(const Sweep& sweep, Output& err) {
  for (const std::string& warning : sweep.warnings) err.Write(warning + "\n");
  err.Flush();
}

bool IsSweepFileMistake(const absl::Status& status) {
  return status.GetPayload(kMistakePayload).has_value();
}

std::string NewSubmissionId() {
  std::random_device random;
  return absl::StrFormat("%08x%08x%08x%08x", random(), random(), random(), random());
}

}  // namespace seedbed::cli
