// Checkpoints: asked of engines by the clock, sent one at a time, fetched to go on from.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/json.h"
#include "worker/agent/agent.h"
#include "worker/agent/valid_text.h"

namespace seedbed::agent {
namespace {

constexpr double kMostCostShare = 0.01;  // of the training time
constexpr absl::Duration kTryAgain = absl::Seconds(1);
constexpr absl::Duration kGivenUpAfter = absl::Minutes(5);

std::string Named(const LeaseKey& key) {
  return absl::StrCat("run ", key.run.value(), " attempt ", key.attempt);
}

std::string ResumePath(const Lease& lease) {
  return absl::StrCat(lease.directory, "/resume.checkpoint");
}

}  // namespace

// --- from engines

absl::Duration Agent::CheckpointDue(const Lease& lease) const {
  if (lease.phase != LeasePhase::kTraining || !engines_.WritesCheckpoints(lease.engine))
    return absl::InfiniteDuration();
  // One that could not be written does not come.
  if (lease.checkpoint_asked) return *lease.checkpoint_asked + std::max(kGivenUpAfter, options_.checkpoint_every);
  // As if all that train were of this one's size.
  const double bytes = static_cast<double>(lease.checkpoint_bytes) * std::max(1, engines_.taken());
  const absl::Duration interval = std::max({options_.checkpoint_every, lease.checkpoint_cost / kMostCostShare,
                                            absl::Seconds(bytes / options_.most_checkpoint_rate)});
  return lease.checkpoint_base + interval;
}

void Agent::AskForCheckpoints(absl::Duration now) {
  for (auto& [name, lease] : leases_) {
    if (CheckpointDue(lease) <= now) AskForCheckpoint(lease, now);
  }
}

void Agent::AskForCheckpoint(Lease& lease, absl::Duration now) {
  lease.checkpoint_base = now;
  lease.checkpoint_asked = now;
  pool_->Checkpoint(lease.attempt);
}

void Agent::CheckpointNow(const LeaseKey& key, absl::Duration now) {
  const auto found = leases_.find(NameOf(key));
  if (found == leases_.end() || found->second.phase != LeasePhase::kTraining) return;
  Lease& lease = found->second;
  // It is said with every answer until one is stored: one that is under way will do.
  if (lease.checkpoint_asked || HasUnsent(lease) || !engines_.WritesCheckpoints(lease.engine)) return;
  AskForCheckpoint(lease, now);
}

void Agent::On(const AttemptCheckpoint& event, absl::Duration now) {
  Lease* lease = Find(event.attempt);
  if (lease == nullptr) return;  // lies in the attempt's directory, and goes with it
  if (lease->checkpoint_asked) {
    // The engine first came to the end of its step, so this is more than what writing cost, and bounds it.
    lease->checkpoint_cost = now - *lease->checkpoint_asked;
    lease->checkpoint_asked.reset();
  }
  lease->step = std::max(lease->step, event.step);
  // All rows at or before the step have come: they are the reports up to now.
  lease->reports.Seal();
  Discard(*lease);
  lease->saved = SavedCheckpoint{event.step, lease->reports.last_sequence(), event.path, event.sha256,
                                 event.numerics.is_object() ? CanonicalJson(event.numerics) : std::string("{}")};
  lease->send_not_before = now;
}

// --- to the coordinator

void Agent::Discard(Lease& lease) {
  if (lease.saved) files_->RemoveFile(lease.saved->path);
  lease.saved.reset();
}

bool Agent::HasUnsent(const Lease& lease) const {
  return lease.saved || (sending_ && sending_->directory == lease.directory);
}

void Agent::SendCheckpoints(absl::Duration now) {
  if (sending_ || synchronizer_.LeasesInDoubt(now)) return;
  Lease* next = nullptr;
  for (auto& [name, lease] : leases_) {
    const bool ready =
        lease.saved && now >= lease.send_not_before && lease.reports.acknowledged() >= lease.saved->sequence;
    // Those first on which an end waits.
    if (ready && (next == nullptr || (lease.phase == LeasePhase::kSaving && next->phase != LeasePhase::kSaving))) {
      next = &lease;
    }
  }
  if (next == nullptr) return;
  sending_ = Sending{NameOf(next->key), next->directory, *std::exchange(next->saved, std::nullopt)};
  const SavedCheckpoint& checkpoint = sending_->checkpoint;
  link_->PutCheckpoint({options_.worker, next->key, checkpoint.step, checkpoint.sequence, checkpoint.path,
                        checkpoint.sha256, checkpoint.numerics_json});
}

void Agent::OnCheckpointPut(const CheckpointPut& put, absl::Duration now) {
  if (!sending_ || sending_->name != NameOf(put.lease) || sending_->checkpoint.step != put.step) return;
  Sending sent = *std::exchange(sending_, std::nullopt);
  const auto found = leases_.find(sent.name);
  // Dropped, or ended without it: its files are gone, or go with its attempt.
  if (found == leases_.end() || found->second.directory != sent.directory) return;
  Lease& lease = found->second;
  switch (put.fate) {
    case CheckpointFate::kStored:
      lease.checkpoint_bytes = put.bytes;
      break;
    case CheckpointFate::kTooEarly:
    case CheckpointFate::kFailed:
      if (!lease.saved) {
        lease.saved = std::move(sent.checkpoint);
        lease.send_not_before = now + kTryAgain;
        return;
      }
      break;
    case CheckpointFate::kRefused:
      // Under an older fence, if the lease was restored meanwhile.
      if (put.lease.fence != lease.key.fence && !lease.saved) {
        lease.saved = std::move(sent.checkpoint);
        return;
      }
      break;
    case CheckpointFate::kNoRoom:
    case CheckpointFate::kLost:
      observer_->Warning(
          absl::StrCat(Named(lease.key), ": its checkpoint of step ", put.step, " was not stored: ", put.reason));
      break;
  }
  files_->RemoveFile(sent.checkpoint.path);
}

absl::Duration Agent::SavePatience() const {
  const bool coordinator_is_away = synchronizer_.failures() > 0;
  return Closing() && coordinator_is_away ? options_.flush_patience : options_.save_patience;
}

void Agent::FinishSaving(absl::Duration now) {
  for (auto& [name, lease] : leases_) {
    if (lease.phase != LeasePhase::kSaving) continue;
    const bool patient = now < lease.phase_since + SavePatience();
    if (HasUnsent(lease) && patient) continue;
    if (HasUnsent(lease)) {
      observer_->Warning(absl::StrCat(Named(lease.key), ": its last checkpoint could not be stored in time"));
    }
    EndOfAttempt end = *std::exchange(lease.end, std::nullopt);
    RemoveFiles(lease);
    End(lease, std::move(end), now);
  }
}

// --- back from it

void Agent::Fetch(absl::Duration now) {
  std::vector<LeaseName> due;
  for (const auto& [name, lease] : leases_) {
    if (lease.phase == LeasePhase::kFetching && now >= lease.fetch_not_before) due.push_back(name);
  }
  for (const LeaseName& name : due) {
    Lease& lease = leases_.at(name);
    if (lease.directory.empty()) {
      auto directory = files_->Create(name.first, name.second);
      if (!directory.ok()) {
        // As for a run that is started: counted against this worker.
        End(lease, {ReportedEnd::kCrashed, ValidText(directory.status().ToString()), 1, {}}, now);
        continue;
      }
      lease.directory = *std::move(directory);
    }
    lease.fetch_not_before = absl::InfiniteDuration();
    link_->GetCheckpoint({options_.worker, lease.key, *lease.resume_step, ResumePath(lease)});
  }
}

void Agent::OnCheckpointGot(const CheckpointGot& got, absl::Duration now) {
  const auto found = leases_.find(NameOf(got.lease));
  if (found == leases_.end() || found->second.phase != LeasePhase::kFetching) return;
  Lease& lease = found->second;
  if (got.path != ResumePath(lease)) return;  // a dropped one's, of the same name in another database
  if (got.status.ok()) {
    lease.resume_path = got.path;
    lease.phase = LeasePhase::kWaiting;
    lease.phase_since = now;
    waiting_.push_back(found->first);
    return;
  }
  const bool damaged = absl::IsDataLoss(got.status) || absl::IsNotFound(got.status);
  if (!damaged && now < lease.phase_since + options_.fetch_patience) {
    lease.fetch_not_before = now + kTryAgain * std::min(8, 1 << std::min(lease.fetch_failures++, 3));
    return;
  }
  EndOfAttempt end{ReportedEnd::kPreempted,
                   absl::StrCat("the checkpoint of step ", got.step,
                                " could not be fetched: ", ValidText(std::string(got.status.message()))),
                   1,
                   {},
                   {}};
  if (damaged) end.unusable_checkpoint = got.step;
  RemoveFiles(lease);
  End(lease, std::move(end), now);
}

std::optional<absl::Duration> Agent::NextCheckpointWake(absl::Duration now) const {
  absl::Duration wake = absl::InfiniteDuration();
  for (const auto& [name, lease] : leases_) {
    if (stage_ == Stage::kWorking) {
      wake = std::min(wake, CheckpointDue(lease));
      if (lease.phase == LeasePhase::kFetching) wake = std::min(wake, lease.fetch_not_before);
    }
    if (lease.phase == LeasePhase::kSaving) wake = std::min(wake, lease.phase_since + SavePatience());
    if (lease.saved && !sending_ && lease.send_not_before > now) wake = std::min(wake, lease.send_not_before);
  }
  if (wake == absl::InfiniteDuration()) return std::nullopt;
  return wake;
}

}  // namespace seedbed::agent
