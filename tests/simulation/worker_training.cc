#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/simulation/worker.h"

// Training, and what is said of it: rows, checkpoints, ends.
namespace seedbed::simulation {
namespace {

constexpr absl::Duration kResendAfter = absl::Seconds(2);
constexpr absl::Duration kSavePatience = absl::Seconds(6);
constexpr absl::Duration kStallPatience = absl::Seconds(4);
constexpr uint64_t kRubbish = 0xBAD;

std::string Sha256Of(uint64_t state) {
  const std::string digits = absl::StrCat(absl::Hex(state, absl::kZeroPad16));
  return absl::StrCat(digits, digits, digits, digits);
}

}  // namespace

void Worker::Train() {
  int training = 0;
  for (const auto& [name, lease] : leases_) training += lease.phase == Phase::kTraining ? 1 : 0;
  for (auto& [name, lease] : leases_) {
    if (lease.phase == Phase::kWaiting && training < plan_.slots) {
      lease.phase = Phase::kTraining;
      ++training;
      if (!lease.resume_step) lease.state = truth_.Of(lease.specification).states[0];
    } else if (lease.phase == Phase::kTraining) {
      TrainOne(lease);
    }
  }
}

void Worker::TrainOne(Lease& lease) {
  if (lease.stuck_until > now()) return;
  core::Report::End end;
  if (lease.stuck_until > -absl::InfiniteDuration()) {
    end.end = core::AttemptEnd::kStalled;
    return End(lease, std::move(end));
  }
  if (dice_.Chance(faults_.end_badly)) return EndBadly(lease);
  const Course& course = truth_.Of(lease.specification);
  KeptReport report;
  for (int64_t rows = dice_.Between(1, 2); rows > 0 && lease.step < course.last_step; --rows) AddRow(lease, &report);
  if (!report.rows.steps.empty()) lease.reports.push_back(std::move(report));
  if (course.poisoned && lease.step >= 1) {
    end.end = core::AttemptEnd::kFailed;
    end.reason = "poisoned";
    return End(lease, std::move(end));
  }
  if (lease.step < course.last_step) {
    if (lease.step >= lease.last_saved + 3) Save(lease);
    return;
  }
  end.end = core::AttemptEnd::kFinished;
  end.result = course.result;
  if (!lease.final_checkpoint || lease.last_saved == lease.step) return End(lease, std::move(end));
  Save(lease);
  lease.end = std::move(end);
  lease.phase = Phase::kSaving;
  lease.phase_since = now();
}

void Worker::EndBadly(Lease& lease) {
  constexpr core::AttemptEnd kEnds[] = {core::AttemptEnd::kCrashed,  core::AttemptEnd::kOutOfMemory,
                                        core::AttemptEnd::kStalled,  core::AttemptEnd::kFailed,
                                        core::AttemptEnd::kTimedOut, core::AttemptEnd::kPreempted};
  core::Report::End end;
  end.end = kEnds[dice_.Below(6)];
  end.reason = "so it was";
  if (end.end == core::AttemptEnd::kStalled) {
    lease.stuck_until = now() + kStallPatience;
    return;
  }
  end.pack = static_cast<int>(dice_.Between(1, 3));
  End(lease, std::move(end));
}

void Worker::AddRow(Lease& lease, KeptReport* report) {
  if (lease.step >= 0) lease.state = NextState(lease.state);
  ++lease.step;
  report->rows.steps.push_back(lease.step);
  report->rows.values.push_back(RowOf(lease.state));
}

void Worker::Save(Lease& lease) {
  lease.saved = Saved{lease.step, lease.last_sequence(), lease.state};
  lease.last_saved = lease.step;
}

void Worker::End(Lease& lease, core::Report::End end) {
  lease.reports.push_back(KeptReport{{}, std::move(end)});
  lease.phase = Phase::kEnded;
  lease.phase_since = now();
  lease.saved.reset();
  wanted_ = true;
}

void Worker::FinishSaving() {
  for (auto& [name, lease] : leases_) {
    if (lease.phase != Phase::kSaving) continue;
    const bool under_way = lease.saved || lease.uploading;
    if (under_way && now() < lease.phase_since + kSavePatience) continue;
    End(lease, *std::exchange(lease.end, std::nullopt));
  }
}

// --- reports

// No answer has renewed the leases for their duration: reports would be refused, and that would end what the next
// Synchronize may still restore.
bool Worker::InDoubt() const {
  return now() - renewed_at_ >= scenario_.settings.lease_duration;
}

void Worker::SendReports() {
  if (InDoubt() && !plan_.impudent) return;
  for (auto& [name, lease] : leases_) {
    if (lease.sent > 0 && now() >= lease.heard_at + kResendAfter) lease.sent = 0;
    if (lease.sent == 0) lease.heard_at = now();
    for (; lease.sent < lease.reports.size(); ++lease.sent) {
      const KeptReport& kept = lease.reports[lease.sent];
      core::Report report;
      report.worker = id_;
      report.lease = lease.key;
      report.sequence = lease.acknowledged + static_cast<int64_t>(lease.sent) + 1;
      if (!kept.rows.steps.empty()) report.last_step = kept.rows.steps.back();
      report.end = kept.end;
      Send(report, kept.rows);
    }
  }
}

void Worker::Send(const core::Report& report, const Rows& rows) {
  network_.Send(node_, Network::kToCoordinator, [this, report, rows, answers = Answers()] {
    coordinator_.Receive(ReportItem{
        report, rows, [this, lease = report.lease, answers](const absl::StatusOr<core::ReportAnswer>& answer) {
          answers([this, lease, answer] { OnReportAnswered(lease, answer); });
        }});
  });
}

void Worker::OnReportAnswered(const core::LeaseKey& key, const absl::StatusOr<core::ReportAnswer>& answer) {
  const auto found = leases_.find({key.run, key.attempt});
  if (found == leases_.end() || !answer.ok()) return;  // what is not acknowledged is sent again
  Lease& lease = found->second;
  switch (answer->verdict) {
    case core::ReportVerdict::kAccepted:
    case core::ReportVerdict::kDuplicate:
      while (!lease.reports.empty() && lease.acknowledged < answer->acknowledged_sequence) {
        lease.reports.pop_front();
        ++lease.acknowledged;
        if (lease.sent > 0) --lease.sent;
        lease.heard_at = now();
      }
      if (lease.phase == Phase::kEnded && lease.reports.empty()) {
        leases_.erase(found);
        wanted_ = true;
      }
      return;
    case core::ReportVerdict::kRefused:
      // Of an older fence: it crossed a restoration.
      if (key.fence == lease.key.fence) Drop(found->first, /*told=*/true);
      return;
    case core::ReportVerdict::kGap:
      if (now() >= lease.heard_at + absl::Milliseconds(500)) lease.sent = 0;
      return;
  }
}

// Of a lease that is over: whatever it says must change nothing.
void Worker::ReportRubbish() {
  if (dropped_.empty() || !dice_.Chance(0.3)) return;
  core::Report report;
  report.worker = id_;
  report.lease = dropped_[dice_.Below(dropped_.size())];
  report.sequence = dice_.Between(1, 5);
  report.last_step = dice_.Between(0, 8);
  if (dice_.Chance(0.2)) {
    report.end = core::Report::End{};
    report.end->result = core::RunResult{"rubbish", "rubbish", report.last_step, "{}"};
  }
  Send(report, Rows{{report.last_step}, {kRubbish}});
}

// --- checkpoints

void Worker::SendCheckpoints() {
  if (InDoubt()) return;
  for (auto& [name, lease] : leases_) {
    if (lease.uploading && now() < lease.asked_at + kResendAfter) continue;
    lease.uploading = false;
    if (!lease.saved || lease.acknowledged < lease.saved->sequence) continue;
    lease.uploading = true;
    lease.asked_at = now();
    core::StoreCheckpoint command;
    command.worker = id_;
    command.lease = lease.key;
    command.checkpoint.step = lease.saved->step;
    command.checkpoint.sequence = lease.saved->sequence;
    command.checkpoint.sha256 = Sha256Of(lease.saved->state);
    command.checkpoint.bytes = 100 + lease.saved->step;
    command.numerics_json = plan_.numerics_json;
    const CheckpointFile file{lease.saved->step, lease.saved->state, false};
    network_.Send(node_, Network::kToCoordinator, [this, command, file, answers = Answers()] {
      coordinator_.ReceiveCheckpoint(
          command, file,
          [this, lease = command.lease, step = file.step,
           answers](const absl::StatusOr<core::CheckpointAnswer>& answer) {
            answers([this, lease, step, answer] { OnCheckpointAnswered(lease, step, answer); });
          });
    });
  }
}

void Worker::OnCheckpointAnswered(const core::LeaseKey& key, int64_t step,
                                  const absl::StatusOr<core::CheckpointAnswer>& answer) {
  const auto found = leases_.find({key.run, key.attempt});
  if (found == leases_.end() || !found->second.saved || found->second.saved->step != step) return;
  Lease& lease = found->second;
  if (!answer.ok() || answer->verdict == core::CheckpointVerdict::kTooEarly) return;  // it is sent again
  // Under an older fence, if the lease was restored meanwhile.
  if (answer->verdict == core::CheckpointVerdict::kRefused && key.fence != lease.key.fence) return;
  lease.saved.reset();
  lease.uploading = false;
}

void Worker::Fetch() {
  for (auto& [name, lease] : leases_) {
    if (lease.phase != Phase::kFetching || now() < lease.asked_at + kResendAfter) continue;
    lease.asked_at = now();
    network_.Send(
        node_, Network::kToCoordinator, [this, key = lease.key, step = *lease.resume_step, answers = Answers()] {
          coordinator_.FetchCheckpoint(key.run, step, [this, key, answers](const absl::StatusOr<CheckpointFile>& file) {
            answers([this, key, file] { OnFetched(key, file); });
          });
        });
  }
}

void Worker::OnFetched(const core::LeaseKey& key, const absl::StatusOr<CheckpointFile>& file) {
  const auto found = leases_.find({key.run, key.attempt});
  if (found == leases_.end() || found->second.phase != Phase::kFetching) return;
  if (absl::IsUnavailable(file.status())) return;  // it is asked for again
  Lease& lease = found->second;
  if (file.ok() && !file->damaged) {
    lease.phase = Phase::kWaiting;
    lease.step = file->step;
    lease.state = file->state;
    return;
  }
  core::Report::End end;
  end.end = core::AttemptEnd::kPreempted;
  end.reason = "the checkpoint could not be used";
  end.unusable_checkpoint = lease.resume_step;
  End(lease, std::move(end));
}

}  // namespace seedbed::simulation
