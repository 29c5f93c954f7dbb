#include "coordinator/doctor.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/sha256.h"
#include "common/base/status_macros.h"
#include "coordinator/backup.h"
#include "coordinator/orphan_files.h"
#include "coordinator/storage/data_directory.h"
#include "coordinator/storage/reader.h"

namespace seedbed {
namespace {

using CheckpointFile = Inspection::CheckpointFile;

constexpr size_t kMostExamples = 3;
constexpr char kRemoveOrphans[] = "the next start of a coordinator removes them, and so does `seedbed doctor --repair`";

// Empty if the file is as its row says, otherwise what is wrong with it.
std::string ProblemOf(const std::string& path, const CheckpointFile& file, bool quick) {
  if (!IsCheckpointPath(file.path)) return "lies elsewhere";
  struct stat found;
  if (stat(path.c_str(), &found) != 0) return errno == ENOENT ? "is missing" : std::strerror(errno);
  if (found.st_size != file.bytes) return absl::StrCat("has ", found.st_size, " bytes instead of ", file.bytes);
  if (quick) return "";
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return std::strerror(errno);
  Sha256 sum;
  std::string piece(1 << 20, '\0');
  ssize_t count = 0;
  while ((count = read(descriptor, piece.data(), piece.size())) > 0 || (count < 0 && errno == EINTR)) {
    if (count > 0) sum.Update(std::string_view(piece).substr(0, static_cast<size_t>(count)));
  }
  const int error = errno;
  close(descriptor);
  if (count < 0) return std::strerror(error);
  return HexOf(sum.Finish()) == file.sha256 ? "" : "is damaged: its SHA-256 is another";
}

// A coordinator may have replaced the checkpoint since the database was looked at.
bool IsStillThere(const std::string& directory, const CheckpointFile& file) {
  const absl::StatusOr<std::unique_ptr<Reader>> reader = Reader::Open(DatabasePath(directory));
  if (!reader.ok()) return true;
  const absl::StatusOr<std::vector<CheckpointRow>> rows = (*reader)->ListCheckpoints(file.run);
  return !rows.ok() ||
         std::any_of(rows->begin(), rows->end(), [&file](const CheckpointRow& row) { return row.path == file.path; });
}

void AddFinding(const std::string& check, const std::string& what, std::vector<std::string> places,
                const std::string& advice, Diagnosis* diagnosis) {
  if (places.empty()) return;
  const size_t count = places.size();
  places.resize(std::min(count, kMostExamples));
  diagnosis->findings.push_back(
      {check,
       absl::StrCat(what, ": ", absl::StrJoin(places, ", "),
                    count > kMostExamples ? absl::StrCat(" and ", count - kMostExamples, " more") : ""),
       advice});
}

void CheckFiles(const DoctorOptions& options, const Inspection& inspection, Diagnosis* diagnosis) {
  std::vector<std::string> wrong;
  for (const CheckpointFile& file : inspection.checkpoints) {
    const std::string problem = ProblemOf(absl::StrCat(options.directory, "/", file.path), file, options.quick);
    if (problem.empty() || (diagnosis->used_by != 0 && !IsStillThere(options.directory, file))) continue;
    wrong.push_back(absl::StrCat(file.path, " (run ", file.run.value(), ", step ", file.step, ") ", problem));
  }
  AddFinding("checkpoint_files", "checkpoints cannot be used", std::move(wrong),
             "put the file back from a backup; without it a run that has not ended goes on from the checkpoint before, "
             "or from the start, and one that has finished keeps its results but not its weights",
             diagnosis);
}

void CheckOrphans(const DoctorOptions& options, const Inspection& inspection, Diagnosis* diagnosis) {
  // A coordinator that runs has files there that it has not committed yet.
  if (diagnosis->used_by != 0 || !inspection.knows_files) return;
  absl::flat_hash_set<std::string> referenced;
  for (const CheckpointFile& file : inspection.checkpoints) referenced.insert(file.path);
  std::vector<std::string> orphans = OrphanCheckpoints(options.directory, referenced);
  const std::vector<std::string> pins = AbandonedPins(options.directory);
  orphans.insert(orphans.end(), pins.begin(), pins.end());
  const std::vector<RunLogFile> logs = OrphanLogs(options.directory, [&inspection](RunId run) {
    const auto found = inspection.attempts.find(run);
    return found == inspection.attempts.end() ? 0 : found->second;
  });
  for (const RunLogFile& log : logs) orphans.push_back(log.path);
  if (!options.repair) {
    AddFinding("orphan_files", "files belong to nothing", std::move(orphans), kRemoveOrphans, diagnosis);
    return;
  }
  std::vector<std::string> stuck;
  for (const std::string& path : orphans) {
    if (RemovePins(path)) {
      diagnosis->removed.push_back(path);
    } else {
      stuck.push_back(path);
    }
  }
  AddFinding("orphan_files", "files belong to nothing and cannot be removed", std::move(stuck),
             "check that this user may write the directory", diagnosis);
}

}  // namespace

absl::StatusOr<Diagnosis> Diagnose(const DoctorOptions& options) {
  Diagnosis diagnosis;
  std::unique_ptr<DataLock> lock;
  struct stat found;
  // Without a database there is nothing to lock, and InspectDatabase says so.
  if (options.repair && stat(DatabasePath(options.directory).c_str(), &found) == 0) {
    SEEDBED_ASSIGN_OR_RETURN(lock, DataLock::Take(options.directory));
  } else {
    diagnosis.used_by = DataLockHolder(options.directory);
  }
  SEEDBED_ASSIGN_OR_RETURN(Inspection inspection, InspectDatabase(DatabasePath(options.directory), options.quick));
  diagnosis.findings = std::move(inspection.findings);
  diagnosis.runs = inspection.runs;
  diagnosis.rows = inspection.rows;
  diagnosis.checkpoints = static_cast<int64_t>(inspection.checkpoints.size());
  CheckFiles(options, inspection, &diagnosis);
  CheckOrphans(options, inspection, &diagnosis);
  return diagnosis;
}

}  // namespace seedbed
