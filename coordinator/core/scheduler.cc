#include "coordinator/core/scheduler.h"

#include "absl/strings/str_cat.h"
#include "coordinator/core/decide.h"

namespace seedbed::core {

absl::StatusOr<Decision> Decide(const State& state, const Command& command, const Moment& now) {
  return std::visit([&](const auto& one) { return DecideOne(state, one, now); }, command);
}

absl::StatusOr<const SweepEntry*> UsableSweep(const State& state, SweepId id) {
  const SweepEntry* sweep = state.FindSweep(id);
  if (sweep == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("There is no sweep ", id.value(), "; `seedbed sweeps` lists those there are"));
  }
  if (sweep->state == SweepState::kDeleting) {
    return absl::FailedPreconditionError(
        absl::StrCat("Sweep '", sweep->name, "' is being deleted; only deleting it further is possible"));
  }
  return sweep;
}

}  // namespace seedbed::core
