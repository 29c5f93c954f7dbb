#pragma once

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "coordinator/core/scheduler.h"

// Decide, one command at a time. Private to the core: others call Decide.
namespace seedbed::core {

absl::StatusOr<Decision> DecideOne(const State& state, const BeginSubmission& command, const Moment& now);
absl::StatusOr<Decision> DecideOne(const State& state, const AddConfigurations& command, const Moment& now);
absl::StatusOr<Decision> DecideOne(const State& state, const ChangeVaried& command, const Moment& now);
absl::StatusOr<Decision> DecideOne(const State& state, const CompleteSubmission& command, const Moment& now);
absl::StatusOr<Decision> DecideOne(const State& state, const ExtendSeeds& command, const Moment& now);
absl::StatusOr<Decision> DecideOne(const State& state, const PauseSweep& command, const Moment& now);
absl::StatusOr<Decision> DecideOne(const State& state, const ResumeSweep& command, const Moment& now);
absl::StatusOr<Decision> DecideOne(const State& state, const CancelRuns& command, const Moment& now);
absl::StatusOr<Decision> DecideOne(const State& state, const RetryRuns& command, const Moment& now);
absl::StatusOr<Decision> DecideOne(const State& state, const DeleteSweep& command, const Moment& now);
absl::StatusOr<Decision> DecideOne(const State& state, const DrainWorker& command, const Moment& now);
absl::StatusOr<Decision> DecideOne(const State& state, const ResumeWorker& command, const Moment& now);
absl::StatusOr<Decision> DecideOne(const State& state, const Synchronize& command, const Moment& now);
absl::StatusOr<Decision> DecideOne(const State& state, const Report& command, const Moment& now);
absl::StatusOr<Decision> DecideOne(const State& state, const StoreCheckpoint& command, const Moment& now);
absl::StatusOr<Decision> DecideOne(const State& state, const RequestCheckpoints& command, const Moment& now);
absl::StatusOr<Decision> DecideOne(const State& state, const Tick& command, const Moment& now);
absl::StatusOr<Decision> DecideOne(const State& state, const VoidLeases& command, const Moment& now);

// The sweep, if commands may still be given to it: NOT_FOUND if there is none, FAILED_PRECONDITION if it is being
// deleted.
absl::StatusOr<const SweepEntry*> UsableSweep(const State& state, SweepId id);

}  // namespace seedbed::core
