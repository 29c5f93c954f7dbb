#include "coordinator/orphan_files.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace seedbed {

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

}  // namespace seedbed
