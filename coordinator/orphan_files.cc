#include "coordinator/orphan_files.h"

#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "coordinator/run_logs.h"

namespace seedbed {
namespace {

std::optional<RunLogFile> RunLogAt(const std::string& data_directory, const std::string& name) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(absl::StripSuffix(name, ".log"), '-');
  int64_t run = 0;
  RunLogFile file;
  if (!absl::SimpleAtoi(parts.first, &run) || !absl::SimpleAtoi(parts.second, &file.attempt)) return std::nullopt;
  file.run = RunId(run);
  file.path = RunLogs::Path(data_directory, file.run, file.attempt);
  // Whoever else put a file there, with a name like it, keeps it.
  if (file.path != absl::StrCat(data_directory, "/logs/", name)) return std::nullopt;
  return file;
}

}  // namespace

std::vector<std::string> OrphanCheckpoints(const std::string& data_directory,
                                           const absl::flat_hash_set<std::string>& referenced) {
  namespace fs = std::filesystem;
  constexpr char kFolder[] = "checkpoints/";
  std::error_code error;
  std::vector<std::string> orphans;
  for (fs::directory_iterator each(absl::StrCat(data_directory, "/", kFolder), error), end; !error && each != end;
       each.increment(error)) {
    const std::string name = each->path().filename().string();
    const bool ours = absl::EndsWith(name, ".checkpoint") || absl::EndsWith(name, ".checkpoint.part");
    if (ours && !referenced.contains(absl::StrCat(kFolder, name))) orphans.push_back(each->path().string());
  }
  return orphans;
}

std::vector<RunLogFile> OrphanLogs(const std::string& data_directory, const std::function<int(RunId)>& attempts_of) {
  namespace fs = std::filesystem;
  std::error_code error;
  std::vector<RunLogFile> orphans;
  for (fs::directory_iterator each(absl::StrCat(data_directory, "/logs"), error), end; !error && each != end;
       each.increment(error)) {
    std::optional<RunLogFile> file = RunLogAt(data_directory, each->path().filename().string());
    if (file && file->attempt > attempts_of(file->run)) orphans.push_back(*std::move(file));
  }
  return orphans;
}

}  // namespace seedbed
