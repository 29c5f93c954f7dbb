#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/schema/largest_step.h"
#include "coordinator/core/attempt_end.h"
#include "coordinator/core/decide.h"
#include "coordinator/core/resume.h"

// Reports: what a worker says of a run that it trains.
namespace seedbed::core {
namespace {

absl::Status CheckReport(const Report& report) {
  const auto problem = [&](const char* what) {
    return absl::InvalidArgumentError(absl::StrCat("Report ", report.sequence, " on run ", report.lease.run.value(),
                                                   " attempt ", report.lease.attempt, " ", what));
  };
  if (report.malformed) return absl::OkStatus();  // there is nothing to check
  if (report.sequence < 1) return problem("has no sequence number; they count from 1");
  if (report.last_step < -1 || report.last_step > kLargestStep) {
    return problem("has a row below step 0 or beyond step 2^53");
  }
  if (!report.end) return absl::OkStatus();
  if (report.end->end == AttemptEnd::kCancelled) return problem("says cancelled, which only people can ask for");
  if ((report.end->end == AttemptEnd::kFinished) != report.end->result.has_value()) {
    return problem("must carry a result if it says finished, and only then");
  }
  if (report.end->result && !IsStep(report.end->result->last_step)) {
    return problem("ends below step 0 or beyond step 2^53");
  }
  return absl::OkStatus();
}

Decision Refuse(std::string reason, int64_t acknowledged_sequence = 0) {
  ReportAnswer answer;
  answer.verdict = ReportVerdict::kRefused;
  answer.acknowledged_sequence = acknowledged_sequence;
  answer.reason = std::move(reason);
  return {{}, answer};
}

// What the end of the attempt means for the run's checkpoints.
std::optional<CheckpointsDropped> DropAtEnd(const State& state, const Run& run, const Report::End& end) {
  const std::vector<Checkpoint>& checkpoints = state.CheckpointsOf(run.id);
  CheckpointsDropped dropped{run.id, {}, ""};
  if (end.end == AttemptEnd::kFinished) {
    const KeepCheckpoints keep = state.FindSweep(run.sweep)->keep_checkpoints;
    dropped.steps = OldestBeyond(checkpoints, MostAfterFinish(keep, checkpoints.size()));
  } else if (end.unusable_checkpoint) {
    const int64_t step = *end.unusable_checkpoint;
    const bool there = std::any_of(checkpoints.begin(), checkpoints.end(),
                                   [step](const Checkpoint& each) { return each.step == step; });
    if (there) dropped.steps = {step};
    dropped.damage = end.reason.empty() ? "it could not be used" : end.reason;
  }
  if (dropped.steps.empty()) return std::nullopt;
  return dropped;
}

void End(const State& state, const Run& run, const Report::End& end, std::vector<Event>* events) {
  EndFacts facts;
  facts.end = end.end;
  facts.reason = end.reason;
  facts.pack = std::max(1, end.pack);
  facts.for_good = true;  // the worker said so itself, so a listing that names it still is an old one
  facts.result = end.result;
  AttemptEnded ended = EndAttempt(state, run, std::move(facts));
  const WorkerEntry& worker = *std::get<Running>(run.state).worker;
  CountedEndsInARow in_a_row(state, worker);
  in_a_row.Add(ended);
  if (auto dropped = DropAtEnd(state, run, end)) events->push_back(*std::move(dropped));
  events->push_back(std::move(ended));
  if (auto quarantine = in_a_row.Quarantine(worker.state)) events->push_back(*std::move(quarantine));
}

Decision Accept(const State& state, const Run& run, const Report& report) {
  Decision decision;
  decision.events.push_back(ReportAcknowledged{run.id, run.attempts, report.sequence, report.last_step});
  if (report.end) End(state, run, *report.end, &decision.events);
  ReportAnswer answer;
  answer.verdict = ReportVerdict::kAccepted;
  answer.acknowledged_sequence = report.sequence;
  decision.answer = answer;
  return decision;
}

}  // namespace

absl::StatusOr<Decision> DecideOne(const State& state, const Report& report, const Moment&) {
  const absl::Status checked = CheckReport(report);
  if (!checked.ok()) return checked;
  const Run* run = state.FindRun(report.lease.run);
  if (run == nullptr) return Refuse("there is no such run");
  if (!(report.lease == LeaseOf(*run))) {
    return Refuse(absl::StrCat("its lease (attempt ", report.lease.attempt, ", fence ", report.lease.fence.value(),
                               ") was followed by another (attempt ", run->attempts, ", fence ", run->fence.value(),
                               ")"));
  }
  const int64_t acknowledged = run->last_acknowledged_sequence;
  ReportAnswer answer;
  answer.acknowledged_sequence = acknowledged;
  if (report.sequence <= acknowledged && !report.malformed) {
    answer.verdict = ReportVerdict::kDuplicate;
    return Decision{{}, answer};
  }
  if (StateOf(*run) != RunState::kRunning) {
    return Refuse(absl::StrCat("the attempt has ended (", Name(*run->last_end), ")"), acknowledged);
  }
  if (std::get<Running>(run->state).worker->id != report.worker) {
    return Refuse("the lease is another worker's", acknowledged);
  }
  if (report.malformed) {
    const Report::End end =
        report.end.value_or(Report::End{AttemptEnd::kFailed, "a report of it was malformed", 1, {}, {}});
    Decision decision = Refuse(end.reason, acknowledged);
    End(state, *run, end, &decision.events);
    return decision;
  }
  if (report.sequence != acknowledged + 1) {
    answer.verdict = ReportVerdict::kGap;
    return Decision{{}, answer};
  }
  return Accept(state, *run, report);
}

}  // namespace seedbed::core
