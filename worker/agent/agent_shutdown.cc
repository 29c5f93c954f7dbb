// Leaving: stop what trains, have its end acknowledged, hand back the rest, take the engines down. Each stage has a
// bound.
#include <algorithm>
#include <utility>

#include "worker/agent/agent.h"

namespace seedbed::agent {

void Agent::BeginShutdown(const Moment& now) {
  if (stage_ != Stage::kWorking) return;
  observer_->Info("stopping: handing leases back");
  // The pool bounds the time that an engine has for obeying.
  Enter(Stage::kStopping, now.monotonic, absl::InfiniteDuration());
  for (auto& [name, lease] : leases_) {
    if (lease.phase == LeasePhase::kTraining) HandBack(lease, "the worker was asked to stop", now.monotonic);
  }
  React(now.monotonic);
}

void Agent::Abort(const Moment& now) {
  if (stage_ == Stage::kDone) return;
  Close(now.monotonic);
}

void Agent::AdvanceShutdown(absl::Duration now) {
  const auto saves = [](const auto& entry) { return entry.second.phase == LeasePhase::kSaving; };
  if (stage_ == Stage::kStopping && attempts_.empty() && std::none_of(leases_.begin(), leases_.end(), saves))
    Enter(Stage::kFlushing, now, options_.flush_patience);
  if (stage_ == Stage::kFlushing) {
    const bool flushed = std::none_of(leases_.begin(), leases_.end(),
                                      [](const auto& entry) { return entry.second.phase == LeasePhase::kEnded; });
    if (!synchronizer_.ever_answered()) {
      Close(now);
    } else if (flushed || now >= stage_deadline_) {
      // Waiting leases have nothing to report: being listed in the goodbye hands them back.
      Enter(Stage::kGoodbye, now, options_.goodbye_patience);
      Synchronize(/*goodbye=*/true, now);
    }
  }
  if (stage_ == Stage::kGoodbye && now >= stage_deadline_) Close(now);
  if (stage_ == Stage::kClosing && now >= stage_deadline_) stage_ = Stage::kDone;
}

void Agent::Enter(Stage stage, absl::Duration now, absl::Duration patience) {
  stage_ = stage;
  stage_deadline_ = now + patience;
}

void Agent::GiveUp(absl::Status why, absl::Duration now) {
  failure_ = std::move(why);
  Close(now);
}

void Agent::Close(absl::Duration now) {
  if (stage_ == Stage::kClosing || stage_ == Stage::kDone) return;
  Enter(Stage::kClosing, now, options_.pool_patience);
  pool_->Shutdown();
}

}  // namespace seedbed::agent
