#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>

// What /proc says of processes. It is no snapshot: processes come and go while it is read, so whoever kills by it looks
// again.
namespace seedbed {

struct ProcessEntry {
  pid_t parent = 0;
  pid_t session = 0;
  char state = '?';  // 'Z': dead, not yet reaped
};

// Of all processes that could be read.
std::map<pid_t, ProcessEntry> ReadProcessTable();

// The pid, parent, session and state in the text of a /proc/PID/stat file.
std::optional<ProcessEntry> ParseProcessStat(const std::string& stat);

// The child of `root` above `process` (or itself); 0 if `process` does not descend from `root`.
pid_t TopBelow(const std::map<pid_t, ProcessEntry>& table, pid_t root, pid_t process);

// The value of an environment variable that the process was started with; absent if it had none or may not be read.
std::optional<std::string> ReadProcessVariable(pid_t process, const std::string& name);

}  // namespace seedbed
