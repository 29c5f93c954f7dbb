#include "worker/process/memory_kills.h"

#include <fstream>
#include <sstream>

#include "worker/process/cgroup.h"

namespace seedbed {
namespace {

std::string ReadText(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

std::optional<int64_t> ParseMemoryKills(const std::string& text) {
  std::istringstream lines(text);
  std::string name;
  int64_t value = 0;
  while (lines >> name >> value) {
    if (name == "oom_kill") return value;
  }
  return std::nullopt;
}

std::optional<int64_t> CountMemoryKills() {
  static const std::string cgroup = OwnCgroupDirectory(ReadText("/proc/self/mountinfo"), ReadText("/proc/self/cgroup"));
  if (!cgroup.empty()) {
    if (std::optional<int64_t> kills = ParseMemoryKills(ReadText(cgroup + "/memory.events"))) return kills;
  }
  return ParseMemoryKills(ReadText("/proc/vmstat"));
}

}  // namespace seedbed
