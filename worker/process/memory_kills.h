#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace seedbed {

// How many processes the kernel has killed for memory so far: in this process's control group (version 2) where it
// counts them, else on this machine. A rise, together with an unexplained SIGKILL, is the evidence for out of memory.
// Absent if unknown.
std::optional<int64_t> CountMemoryKills();

// The value of "oom_kill" in the text of memory.events or /proc/vmstat.
std::optional<int64_t> ParseMemoryKills(const std::string& text);

}  // namespace seedbed
