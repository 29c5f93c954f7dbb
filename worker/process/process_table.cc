#include "worker/process/process_table.h"

#include <dirent.h>
#include <fcntl.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "worker/process/unique_fd.h"

namespace seedbed {
namespace {

std::optional<std::string> ReadWholeFile(const std::string& path, size_t most) {
  UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return std::nullopt;
  std::string text;
  char buffer[4096];
  while (text.size() < most) {
    const ssize_t got = read(file.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text.append(buffer, static_cast<size_t>(got));
  }
  return text;
}

}  // namespace

std::optional<ProcessEntry> ParseProcessStat(const std::string& stat) {
  // "PID (NAME) STATE PPID PGRP SESSION …": the name may hold spaces and parentheses, so count from the last one.
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  ProcessEntry entry;
  int group = 0;
  if (sscanf(stat.c_str() + name_end + 1, " %c %d %d %d", &entry.state, &entry.parent, &group, &entry.session) != 4) {
    return std::nullopt;
  }
  return entry;
}

std::map<pid_t, ProcessEntry> ReadProcessTable() {
  std::map<pid_t, ProcessEntry> table;
  DIR* directory = opendir("/proc");
  if (directory == nullptr) return table;
  while (const dirent* entry = readdir(directory)) {
    char* end = nullptr;
    const long pid = strtol(entry->d_name, &end, 10);
    if (pid <= 0 || *end != '\0') continue;
    const std::optional<std::string> stat = ReadWholeFile(std::string("/proc/") + entry->d_name + "/stat", 4096);
    if (!stat) continue;
    if (std::optional<ProcessEntry> parsed = ParseProcessStat(*stat)) table[static_cast<pid_t>(pid)] = *parsed;
  }
  closedir(directory);
  return table;
}

pid_t TopBelow(const std::map<pid_t, ProcessEntry>& table, pid_t root, pid_t process) {
  // A table read while processes move could hold a loop; no real chain is longer than the table.
  for (size_t hops = 0; hops <= table.size(); ++hops) {
    const auto found = table.find(process);
    if (found == table.end()) return 0;
    if (found->second.parent == root) return process;
    process = found->second.parent;
  }
  return 0;
}

std::optional<std::string> ReadProcessVariable(pid_t process, const std::string& name) {
  const std::optional<std::string> text = ReadWholeFile("/proc/" + std::to_string(process) + "/environ", 4 << 20);
  if (!text) return std::nullopt;
  const std::string wanted = name + "=";
  for (size_t start = 0; start < text->size();) {
    size_t end = text->find('\0', start);
    if (end == std::string::npos) end = text->size();
    if (text->compare(start, wanted.size(), wanted) == 0) {
      return text->substr(start + wanted.size(), end - start - wanted.size());
    }
    start = end + 1;
  }
  return std::nullopt;
}

}  // namespace seedbed
