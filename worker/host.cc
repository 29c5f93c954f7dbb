#include "worker/host.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace seedbed {
namespace {

constexpr double kNoQuota = std::numeric_limits<double>::infinity();

std::string ReadText(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// "200000 100000" (2 CPUs) or "max 100000".
double QuotaFromCpuMax(const std::string& text) {
  std::istringstream in(text);
  double quota = 0;
  double period = 0;
  if (!(in >> quota >> period) || quota <= 0 || period <= 0) return kNoQuota;
  return quota / period;
}

double QuotaFromVersion1(const std::string& directory) {
  return QuotaFromCpuMax(
      absl::StrCat(ReadText(directory + "/cpu.cfs_quota_us"), " ", ReadText(directory + "/cpu.cfs_period_us")));
}

int AffinityCpus() {
  // Machines may have more CPUs than cpu_set_t holds: the kernel says so by EINVAL.
  for (int most = CPU_SETSIZE; most <= (1 << 20); most *= 2) {
    cpu_set_t* set = CPU_ALLOC(static_cast<size_t>(most));
    const size_t bytes = CPU_ALLOC_SIZE(static_cast<size_t>(most));
    const int error = sched_getaffinity(0, bytes, set);
    const int count = error == 0 ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (error == 0) return count;
  }
  return static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
}

}  // namespace

double CgroupCpuQuota(const std::string& proc_cgroup, const std::string& root) {
  double least = std::min(QuotaFromCpuMax(ReadText(root + "/cpu.max")), QuotaFromVersion1(root + "/cpu"));
  std::istringstream lines(proc_cgroup);
  for (std::string line; std::getline(lines, line);) {
    // hierarchy:controllers:path
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const bool version2 = controllers == ",,";
    if (!version2 && controllers.find(",cpu,") == std::string::npos) continue;
    for (std::string path = line.substr(second + 1); path.size() > 1; path.erase(path.rfind('/'))) {
      least = std::min(least, version2 ? QuotaFromCpuMax(ReadText(root + path + "/cpu.max"))
                                       : QuotaFromVersion1(root + "/cpu" + path));
      if (path.rfind('/') == std::string::npos) break;
    }
  }
  return least;
}

int AvailableCpus() {
  const double quota = CgroupCpuQuota(ReadText("/proc/self/cgroup"), "/sys/fs/cgroup");
  const int affinity = AffinityCpus();
  return std::max(1, quota < affinity ? static_cast<int>(std::floor(quota)) : affinity);
}

std::string HostName() {
  char buffer[256] = {};
  if (gethostname(buffer, sizeof(buffer) - 1) != 0 || buffer[0] == '\0') return "worker";
  std::string name = buffer;
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '.' && c != '_') c = '-';
  }
  if (!std::isalnum(static_cast<unsigned char>(name[0]))) name[0] = 'w';
  return name.substr(0, 100);
}

std::string RandomId() {
  std::random_device random;  // the kernel's generator
  std::string id;
  for (int i = 0; i < 4; ++i) absl::StrAppendFormat(&id, "%08x", random());
  return id;
}

void RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

std::string ProgramDirectory() {
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? "." : program.parent_path().string();
}

}  // namespace seedbed
