#include "worker/process/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <sstream>
#include <vector>

namespace seedbed {

std::string OwnCgroupDirectory(const std::string& mountinfo, const std::string& cgroup) {
  // "ID PARENT MAJOR:MINOR ROOT MOUNT_POINT OPTIONS … - TYPE SOURCE OPTIONS": only mounts of the whole hierarchy are of
  // use.
  std::string mount_point;
  std::istringstream mounts(mountinfo);
  for (std::string line; std::getline(mounts, line);) {
    const size_t dash = line.find(" - cgroup2 ");
    if (dash == std::string::npos) continue;
    std::istringstream words(line.substr(0, dash));
    std::string id, parent, device, root, point;
    words >> id >> parent >> device >> root >> point;
    if (root == "/" && !point.empty()) mount_point = point;
  }
  if (mount_point.empty()) return "";
  std::istringstream groups(cgroup);
  for (std::string line; std::getline(groups, line);) {
    if (line.compare(0, 3, "0::") != 0) continue;
    const std::string path = line.substr(3);
    if (path.empty() || path.find("/..") == 0) return "";  // outside of what is mounted here
    return path == "/" ? mount_point : mount_point + path;
  }
  return "";
}

std::optional<ChildCgroup> ChildCgroup::Create(const std::string& parent, const std::string& name) {
  if (parent.empty()) return std::nullopt;
  const std::string directory = parent + "/" + name;
  if (mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) return std::nullopt;
  UniqueFd procs(open((directory + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
  if (!procs || access((directory + "/cgroup.kill").c_str(), W_OK) != 0) {
    rmdir(directory.c_str());
    return std::nullopt;
  }
  return ChildCgroup(directory, std::move(procs));
}

ChildCgroup::ChildCgroup(ChildCgroup&& other) noexcept
    : directory_(std::exchange(other.directory_, "")), procs_(std::move(other.procs_)) {}

ChildCgroup::~ChildCgroup() {
  if (!directory_.empty()) rmdir(directory_.c_str());
}

void ChildCgroup::Kill() const {
  UniqueFd file(open((directory_ + "/cgroup.kill").c_str(), O_WRONLY | O_CLOEXEC));
  // A failure is no loss: the caller also kills by /proc.
  if (file && write(file.get(), "1", 1) != 1) return;
}

void RemoveEmptyCgroups(const std::string& parent, const std::string& prefix) {
  if (parent.empty()) return;
  DIR* directory = opendir(parent.c_str());
  if (directory == nullptr) return;
  std::vector<std::string> left;
  while (const dirent* entry = readdir(directory)) {
    const std::string name = entry->d_name;
    if (name.compare(0, prefix.size(), prefix) == 0) left.push_back(parent + "/" + name);
  }
  closedir(directory);
  for (const std::string& path : left) rmdir(path.c_str());  // fails where a process is left, as it should
}

}  // namespace seedbed
