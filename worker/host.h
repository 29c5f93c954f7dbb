#pragma once

#include <string>

// What this process may use of its machine.
namespace seedbed {

// CPUs that this process may run on: its affinity, limited by the cgroups' quotas (rounded down). At least 1.
int AvailableCpus();

// The smallest quota on the way from a process's cgroup to the root, in CPUs; infinity if there is none. `proc_cgroup`
// is the text of /proc/self/cgroup, `root` is where cgroups are mounted. Knows version 2 (cpu.max) and version 1
// (cpu/cpu.cfs_*).
double CgroupCpuQuota(const std::string& proc_cgroup, const std::string& root);

// This machine's name as it may stand in a worker's name.
std::string HostName();

// 128 random bits as 32 hexadecimal digits.
std::string RandomId();

// Raises the limit on open files to what is allowed: at 1,024, connections and pipes soon fail.
void RaiseFileLimit();

// The directory of the running program, without a slash at the end.
std::string ProgramDirectory();

}  // namespace seedbed
