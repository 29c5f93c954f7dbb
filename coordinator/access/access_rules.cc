#include "coordinator/access/access_rules.h"

namespace seedbed {

const std::vector<AccessRule>& AccessRules() {
  static const auto* const rules = new std::vector<AccessRule>{
      {"SweepService/GetServerInfo", Role::kRead},    {"SweepService/SubmitSweep", Role::kSubmit},
      {"SweepService/ListSweeps", Role::kRead},       {"SweepService/ListConfigurations", Role::kRead},
      {"SweepService/ListRuns", Role::kRead},         {"SweepService/GetRun", Role::kRead},
      {"SweepService/ListWorkers", Role::kRead},      {"SweepService/ControlSweep", Role::kSubmit},
      {"SweepService/ControlWorker", Role::kAdmin},   {"SweepService/Query", Role::kRead},
      {"SweepService/ReadCheckpoint", Role::kRead},   {"SweepService/ReadLog", Role::kRead},
      {"SweepService/WatchProgress", Role::kRead},    {"WorkerService/Synchronize", Role::kWorker},
      {"WorkerService/Report", Role::kWorker},        {"WorkerService/PutCheckpoint", Role::kWorker},
      {"WorkerService/GetCheckpoint", Role::kWorker}, {kDashboard, Role::kRead},
  };
  return *rules;
}

std::optional<Role> RequiredRole(const std::string& method) {
  for (const AccessRule& rule : AccessRules()) {
    if (method == rule.method) return rule.role;
  }
  return std::nullopt;
}

std::string CommandOf(const std::string& method) {
  if (method == "SweepService/SubmitSweep") return "`seedbed submit`";
  if (method == "SweepService/ControlSweep") return "changing a sweep or its runs";
  if (method == "SweepService/ControlWorker") return "`seedbed drain`";
  if (method.rfind("SweepService/", 0) == 0) return "looking at sweeps, runs and workers";
  if (method.rfind("WorkerService/", 0) == 0) return "`seedbed-worker`";
  return method;
}

bool Includes(Role has, Role needs) {
  switch (has) {
    case Role::kAdmin:
      return true;
    case Role::kSubmit:
      return needs == Role::kSubmit || needs == Role::kRead;
    case Role::kWorker:
    case Role::kRead:
      return needs == has;
  }
  return false;
}

}  // namespace seedbed
