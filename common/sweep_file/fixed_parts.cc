#include <map>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/sweep_file/sweep.h"

namespace seedbed {
namespace {

// Leaves by their path: "budget.steps", "stop[0].at_least".
void Flatten(const Json& value, const std::string& path, std::map<std::string, std::string>* leaves) {
  if (value.is_object() && !value.empty()) {
    for (const auto& [key, element] : value.items()) {
      Flatten(element, path.empty() ? key : absl::StrCat(path, ".", key), leaves);
    }
    return;
  }
  if (value.is_array() && !value.empty()) {
    for (size_t i = 0; i < value.size(); ++i) Flatten(value[i], absl::StrCat(path, "[", i, "]"), leaves);
    return;
  }
  (*leaves)[path] = value.is_string() ? value.get<std::string>() : CanonicalJson(value);
}

std::map<std::string, std::string> LeavesOf(const std::string& json) {
  std::map<std::string, std::string> leaves;
  const absl::StatusOr<Json> parsed = ParseJson(json, "a sweep's fixed part");
  if (parsed.ok()) {
    Flatten(*parsed, "", &leaves);
  } else {
    leaves[""] = json;  // shown as it is: that it differs is what matters
  }
  return leaves;
}

}  // namespace

std::string DiffFixedParts(const std::string& old_fixed_json, const std::string& new_fixed_json) {
  const std::map<std::string, std::string> old_leaves = LeavesOf(old_fixed_json);
  const std::map<std::string, std::string> new_leaves = LeavesOf(new_fixed_json);
  std::set<std::string> paths;
  for (const auto& [path, text] : old_leaves) paths.insert(path);
  for (const auto& [path, text] : new_leaves) paths.insert(path);
  std::string diff;
  for (const std::string& path : paths) {
    const auto before = old_leaves.find(path);
    const auto after = new_leaves.find(path);
    if (before != old_leaves.end() && after != new_leaves.end() && before->second == after->second) continue;
    if (before != old_leaves.end()) absl::StrAppend(&diff, "- ", path, ": ", before->second, "\n");
    if (after != new_leaves.end()) absl::StrAppend(&diff, "+ ", path, ": ", after->second, "\n");
  }
  return diff;
}

}  // namespace seedbed
