#include "coordinator/core/types.h"

#include <cstddef>

namespace seedbed::core {
namespace {

// Names stand in the database and in every --json output: they never change. In the order of the enumerators.
constexpr const char* kSweepStates[] = {"submitting", "active", "paused", "halted", "deleting"};
constexpr const char* kRunStates[] = {"queued", "running", "finished", "failed", "cancelled"};
constexpr const char* kAttemptEnds[] = {"finished", "failed", "crashed",   "out_of_memory", "timed_out",
                                        "stalled",  "lost",   "preempted", "cancelled"};
constexpr const char* kWorkerStates[] = {"active", "draining", "quarantined", "gone"};
constexpr const char* kKeepCheckpoints[] = {"last", "none", "all"};
constexpr const char* kNumericsPolicies[] = {"any", "strict"};

template <typename Enum, size_t N>
std::optional<Enum> FromName(const char* const (&names)[N], const std::string& name) {
  for (size_t i = 0; i < N; ++i) {
    if (name == names[i]) return static_cast<Enum>(i);
  }
  return std::nullopt;
}

static_assert(static_cast<size_t>(SweepState::kDeleting) + 1 == sizeof(kSweepStates) / sizeof(kSweepStates[0]));
static_assert(static_cast<size_t>(RunState::kCancelled) + 1 == sizeof(kRunStates) / sizeof(kRunStates[0]));
static_assert(static_cast<size_t>(AttemptEnd::kCancelled) + 1 == sizeof(kAttemptEnds) / sizeof(kAttemptEnds[0]));
static_assert(static_cast<size_t>(KeepCheckpoints::kAll) + 1 == sizeof(kKeepCheckpoints) / sizeof(kKeepCheckpoints[0]));
static_assert(static_cast<size_t>(NumericsPolicy::kStrict) + 1 ==
              sizeof(kNumericsPolicies) / sizeof(kNumericsPolicies[0]));
static_assert(static_cast<size_t>(WorkerState::kGone) + 1 == sizeof(kWorkerStates) / sizeof(kWorkerStates[0]));

}  // namespace

const char* Name(SweepState state) {
  return kSweepStates[static_cast<size_t>(state)];
}
const char* Name(RunState state) {
  return kRunStates[static_cast<size_t>(state)];
}
const char* Name(AttemptEnd end) {
  return kAttemptEnds[static_cast<size_t>(end)];
}
const char* Name(WorkerState state) {
  return kWorkerStates[static_cast<size_t>(state)];
}
const char* Name(KeepCheckpoints keep) {
  return kKeepCheckpoints[static_cast<size_t>(keep)];
}
const char* Name(NumericsPolicy policy) {
  return kNumericsPolicies[static_cast<size_t>(policy)];
}

std::optional<SweepState> SweepStateFromName(const std::string& name) {
  return FromName<SweepState>(kSweepStates, name);
}
std::optional<RunState> RunStateFromName(const std::string& name) {
  return FromName<RunState>(kRunStates, name);
}
std::optional<AttemptEnd> AttemptEndFromName(const std::string& name) {
  return FromName<AttemptEnd>(kAttemptEnds, name);
}
std::optional<WorkerState> WorkerStateFromName(const std::string& name) {
  return FromName<WorkerState>(kWorkerStates, name);
}
std::optional<KeepCheckpoints> KeepCheckpointsFromName(const std::string& name) {
  return FromName<KeepCheckpoints>(kKeepCheckpoints, name);
}
std::optional<NumericsPolicy> NumericsPolicyFromName(const std::string& name) {
  return FromName<NumericsPolicy>(kNumericsPolicies, name);
}

}  // namespace seedbed::core
