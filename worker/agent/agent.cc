#include "worker/agent/agent.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"

namespace seedbed::agent {
namespace {

// Errors that trying again does not mend, if the very first call gets one: a wrong token, another program at that
// address.
bool IsHopeless(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kUnimplemented:
      return true;
    default:
      return false;
  }
}

std::string InSeconds(absl::Duration duration) {
  return absl::FormatDuration(absl::Trunc(duration, absl::Seconds(1)));
}

}  // namespace

const char* ReportedEndName(ReportedEnd end) {
  switch (end) {
    case ReportedEnd::kFinished:
      return "finished";
    case ReportedEnd::kFailed:
      return "failed";
    case ReportedEnd::kCrashed:
      return "crashed";
    case ReportedEnd::kOutOfMemory:
      return "out_of_memory";
    case ReportedEnd::kTimedOut:
      return "timed_out";
    case ReportedEnd::kStalled:
      return "stalled";
    case ReportedEnd::kPreempted:
      return "preempted";
  }
  return "unknown";
}

Agent::Agent(AgentOptions options, CoordinatorLink* link, EnginePool* pool, AttemptFiles* files,
             AgentObserver* observer, std::function<double()> uniform)
    : options_(std::move(options)),
      link_(link),
      pool_(pool),
      files_(files),
      observer_(observer),
      synchronizer_(uniform),
      engines_(pool->engine_count(), options_.slots, options_.trainers),
      stream_backoff_(absl::Milliseconds(200), absl::Seconds(5), std::move(uniform)) {}

void Agent::OnLinkEvent(LinkEvent event, const Moment& now) {
  const absl::Duration at = now.monotonic;
  if (auto* answered = std::get_if<SynchronizeAnswered>(&event)) {
    const bool usable = answered->answer.ok() && !answered->answer->ignored;
    if (usable) {
      const SynchronizeAnswer& answer = *answered->answer;
      const bool first = !synchronizer_.ever_answered();
      if (synchronizer_.Answered(answered->number, answer.next_call_after, answer.lease_duration, at)) {
        if (first) {
          observer_->Registered(first_request_);
          // A call that registers is answered at once; the next one may be held open until there is work.
          synchronizer_.Want();
        }
        if (const std::optional<absl::Duration> lasted = no_answer_.End(at)) {
          observer_->Info(absl::StrCat("the coordinator answers again, after ", InSeconds(*lasted)));
        }
        OnAnswer(answer, at);
        if (stage_ == Stage::kGoodbye && answered->number >= goodbye_number_) Close(at);
      }
    } else {
      const absl::Status status = answered->answer.ok()
                                      ? absl::AbortedError("the coordinator has seen a later call of this worker")
                                      : answered->answer.status();
      if (synchronizer_.Failed(answered->number, at)) {
        TellOfTrouble(status, at);
        if (!synchronizer_.ever_answered() && IsHopeless(status)) GiveUp(status, at);
        // The leases that could not be handed back will expire: that costs the coordinator some seconds and nothing
        // else.
        if (stage_ == Stage::kGoodbye && answered->number >= goodbye_number_) Close(at);
      }
    }
  } else if (auto* report = std::get_if<ReportAnswered>(&event)) {
    if (stream_open_ && report->stream == stream_) OnReportAnswer(report->answer, at);
  } else if (auto* put = std::get_if<CheckpointPut>(&event)) {
    OnCheckpointPut(*put, at);
  } else if (auto* got = std::get_if<CheckpointGot>(&event)) {
    OnCheckpointGot(*got, at);
  } else {
    OnStreamBroken(std::get<ReportStreamBroken>(event), at);
  }
  React(at);
}

void Agent::TellOfTrouble(const absl::Status& status, absl::Duration now) {
  if (!no_answer_.IsDue(now)) return;
  const absl::Duration lasts = no_answer_.Lasts(now);
  std::string text = absl::StrCat("synchronizing failed", lasts > absl::ZeroDuration() ? " for " : "",
                                  lasts > absl::ZeroDuration() ? InSeconds(lasts) : "", ": ", status.ToString());
  if (synchronizer_.ever_answered() && IsHopeless(status)) {
    absl::StrAppend(&text,
                    ". This worker was accepted before, so its token was revoked or replaced, or the coordinator was: "
                    "start the worker again with what is right now. Until then it asks on, and its runs go to others.");
  } else if (!leases_.empty()) {
    absl::StrAppend(&text, ". What trains goes on, and its results are kept here until the coordinator answers.");
  }
  observer_->Warning(text);
}

void Agent::OnEngineEvent(EngineEvent event, const Moment& now) {
  std::visit([&](const auto& engine_event) { On(engine_event, now.monotonic); }, event);
  React(now.monotonic);
}

void Agent::OnTime(const Moment& now) {
  React(now.monotonic);
}

void Agent::React(absl::Duration now) {
  if (stage_ == Stage::kWorking) {
    Fetch(now);
    StartWaiting(now);
    HandBackStranded(now);
    AskForCheckpoints(now);
  }
  if (stage_ != Stage::kClosing && stage_ != Stage::kDone) {
    SendCheckpoints(now);
    FinishSaving(now);
    SendReports(now);  // last: an end that waited for its checkpoint is reported at once
    const std::optional<absl::Duration> due = synchronizer_.DueAt();
    if (stage_ != Stage::kGoodbye && due && *due <= now) Synchronize(/*goodbye=*/false, now);
  }
  AdvanceShutdown(now);
}

std::optional<absl::Duration> Agent::NextWake(const Moment& now) const {
  if (done()) return std::nullopt;
  absl::Duration wake = stage_deadline_;
  if (stage_ != Stage::kClosing) {
    if (stage_ != Stage::kGoodbye) wake = std::min(wake, synchronizer_.DueAt().value_or(absl::InfiniteDuration()));
    wake = std::min(wake, NextReportWake(now.monotonic).value_or(absl::InfiniteDuration()));
    wake = std::min(wake, NextCheckpointWake(now.monotonic).value_or(absl::InfiniteDuration()));
  }
  if (stage_ == Stage::kWorking && !waiting_.empty()) {
    wake = std::min(wake, engines_.AvoidedUntil(now.monotonic).value_or(absl::InfiniteDuration()));
    if (!engines_.any_ready()) {
      const Lease& oldest = leases_.at(waiting_.front());
      wake = std::min(wake, std::max(no_engine_since_, oldest.phase_since) + options_.engine_patience);
    }
  }
  if (wake == absl::InfiniteDuration()) return std::nullopt;
  return wake;
}

}  // namespace seedbed::agent
