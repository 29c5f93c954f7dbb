#include "worker/process/engine_session.h"

#include <algorithm>
#include <csignal>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace seedbed {
namespace {

// An engine's exit status where it cannot do what it was told; docs/engine-protocol.md.
constexpr int kRefusedSettings = 2;

constexpr size_t kLogTailBytes = 4096;
constexpr size_t kReasonTailBytes = 300;

bool LiesBelow(const std::string& path, const std::string& directory) {
  return path.size() > directory.size() + 1 && path.compare(0, directory.size(), directory) == 0 &&
         path[directory.size()] == '/' && path.find("/../") == std::string::npos;
}

std::string LastWords(const BoundedLog& log) {
  std::string tail = log.Tail(kReasonTailBytes);
  while (!tail.empty() && (tail.back() == '\n' || tail.back() == ' ')) tail.pop_back();
  return tail.empty() ? "" : absl::StrCat("; its last words: ", tail);
}

}  // namespace

EngineSession::EngineSession(int engine, const EngineLimits& limits, Host* host, const Moment& now)
    : engine_(engine),
      limits_(limits),
      host_(host),
      ready_until_(now.monotonic + limits.ready_timeout),
      idle_log_("", LogLimits{0, kLogTailBytes}) {}

void EngineSession::Start(AttemptStart start, const Moment& now) {
  const AttemptId id = start.attempt;
  const char* obstacle = nullptr;
  if (!ready()) obstacle = "the engine is not ready";
  if (ready() && attempts_.size() >= static_cast<size_t>(ready_->capacity)) obstacle = "the engine is full";
  if (obstacle != nullptr) {
    AttemptEnded ended;
    ended.attempt = id;
    ended.end = AttemptEnd::kNotStarted;
    ended.reason = obstacle;
    host_->Emit(std::move(ended));
    return;
  }
  // What the engine wrote before belongs to what it did before.
  host_->DrainLog();
  Attempt attempt;
  attempt.log = std::make_unique<BoundedLog>(start.directory + "/log.txt", limits_.log);
  attempt.silent_until = now.monotonic + limits_.stall_after;
  if (start.time_limit) attempt.time_limit_at = now.monotonic + *start.time_limit;
  attempt.start = std::move(start);
  host_->Send(StartLine(attempt.start));
  attempts_.emplace(id, std::move(attempt));
}

void EngineSession::Stop(AttemptId attempt, bool checkpoint, const Moment& now) {
  const auto found = attempts_.find(attempt);
  if (found == attempts_.end() || dying_) return;
  const bool waited = paused();
  found->second.paused = false;
  // A second stop does not give more time.
  if (!found->second.stop_until) found->second.stop_until = now.monotonic + limits_.stop_grace;
  if (waited) RestartSilence(now);
  host_->Send(StopLine(attempt, checkpoint));
}

void EngineSession::Checkpoint(AttemptId attempt) {
  if (holds(attempt) && !dying_) host_->Send(CheckpointLine(attempt));
}

void EngineSession::Shutdown(const Moment& now) {
  if (leaving_) return;
  leaving_ = true;
  leave_until_ = now.monotonic + limits_.shutdown_grace;
  if (ready_) {
    host_->Send(ShutdownLine());
  } else if (!dying_) {
    Die(AttemptEnd::kStopped, AttemptId(), "the worker shut down before the engine was ready");
  }
}

void EngineSession::OnLine(std::string_view line, const Moment& now) {
  if (dying_) return;
  absl::StatusOr<EngineMessage> message = ParseEngineMessage(line);
  absl::Status status = message.status();
  if (status.ok() && !ready_ && !std::holds_alternative<EngineReady>(*message)) {
    status = absl::InvalidArgumentError("the first message was not \"ready\"");
  }
  if (status.ok()) {
    status = std::visit([&](auto& value) { return Handle(std::move(value), now); }, *message);
  }
  if (!status.ok()) {
    OnFault(std::string(status.message()));
  }
}

void EngineSession::OnFault(const std::string& fault) {
  if (!dying_) Die(AttemptEnd::kCrashed, AttemptId(), absl::StrCat("broke the engine protocol: ", fault));
}

void EngineSession::OnOutputEnd(const Moment& now) {
  output_ended_until_ = now.monotonic + limits_.shutdown_grace;
}

void EngineSession::OnLog(std::string_view text) {
  if (attempts_.empty()) {
    idle_log_.Append(text);
    return;
  }
  for (auto& [id, attempt] : attempts_) {
    std::string written = attempt.log->Append(text);
    if (!written.empty()) host_->Emit(AttemptLog{id, std::move(written)});
  }
}

bool EngineSession::paused() const {
  if (leaving_ || dying_) return false;
  bool wanted = false;
  for (const auto& [id, attempt] : attempts_) {
    // Its answer comes on the channel of all.
    if (attempt.stop_until) return false;
    wanted = wanted || attempt.paused;
  }
  return wanted;
}

void EngineSession::SetPaused(AttemptId id, bool wanted, const Moment& now) {
  const auto found = attempts_.find(id);
  if (found == attempts_.end() || (wanted && found->second.stop_until)) return;
  const bool before = paused();
  found->second.paused = wanted;
  if (before && !paused()) RestartSilence(now);
}

void EngineSession::RestartSilence(const Moment& now) {
  for (auto& [id, attempt] : attempts_) Heard(&attempt, now);
}

absl::StatusOr<EngineSession::Attempt*> EngineSession::Find(AttemptId attempt, const char* type) {
  const auto found = attempts_.find(attempt);
  if (found != attempts_.end()) return &found->second;
  return absl::InvalidArgumentError(
      absl::StrCat("message \"", type, "\" is of run ", attempt.value(), ", which this engine does not train"));
}

void EngineSession::Heard(Attempt* attempt, const Moment& now) {
  attempt->silent_until = std::max(attempt->silent_until, now.monotonic + limits_.stall_after);
}

absl::Status EngineSession::Handle(EngineReady ready, const Moment&) {
  if (ready_ &&
      (ready.engine != ready_->engine || ready.device != ready_->device || ready.trainers != ready_->trainers)) {
    return absl::InvalidArgumentError("a second \"ready\" of another engine, device or trainers");
  }
  ready_ = std::move(ready);
  if (!leaving_) host_->Emit(EngineBecameReady{engine_, *ready_});
  return absl::OkStatus();
}

absl::Status EngineSession::Handle(AttemptMetrics metrics, const Moment& now) {
  SEEDBED_ASSIGN_OR_RETURN(Attempt * attempt, Find(metrics.attempt, "metrics"));
  if (attempt->last_step && metrics.steps.front() <= *attempt->last_step) {
    return absl::InvalidArgumentError(absl::StrCat("message \"metrics\": step ", metrics.steps.front(), " of run ",
                                                   metrics.attempt.value(), " came after step ", *attempt->last_step));
  }
  attempt->last_step = metrics.steps.back();
  attempt->silent_until = now.monotonic + limits_.stall_after;
  made_progress_ = true;
  host_->Emit(std::move(metrics));
  return absl::OkStatus();
}

absl::Status EngineSession::Handle(AttemptAlive alive, const Moment& now) {
  SEEDBED_ASSIGN_OR_RETURN(Attempt * attempt, Find(alive.attempt, "alive"));
  attempt->silent_until = now.monotonic + limits_.stall_after;
  made_progress_ = true;
  host_->Emit(alive);
  return absl::OkStatus();
}

absl::Status EngineSession::Handle(EngineBusy busy, const Moment& now) {
  SEEDBED_ASSIGN_OR_RETURN(Attempt * attempt, Find(busy.attempt, "busy"));
  attempt->silent_until = now.monotonic + busy.duration + limits_.stall_after;
  // A stop waits for the same thing, e.g. a checkpoint that is being written; but no longer than announced.
  if (attempt->stop_until) {
    attempt->stop_until = std::max(*attempt->stop_until, now.monotonic + busy.duration + limits_.stop_grace);
  }
  return absl::OkStatus();
}

absl::Status EngineSession::Handle(AttemptCheckpoint checkpoint, const Moment& now) {
  SEEDBED_ASSIGN_OR_RETURN(Attempt * attempt, Find(checkpoint.attempt, "checkpoint"));
  if (!LiesBelow(checkpoint.path, attempt->start.directory)) {
    return absl::InvalidArgumentError(
        absl::StrCat("message \"checkpoint\": ", checkpoint.path, " does not lie below ", attempt->start.directory));
  }
  Heard(attempt, now);
  host_->Emit(std::move(checkpoint));
  return absl::OkStatus();
}

absl::Status EngineSession::Handle(EngineFinished finished, const Moment&) {
  SEEDBED_ASSIGN_OR_RETURN(Attempt * attempt, Find(finished.attempt, "finished"));
  made_progress_ = true;
  AttemptEnded ended;
  // At the limit the engine was told to stop; one that finished just then has finished.
  ended.end = AttemptEnd::kFinished;
  ended.reason = std::move(finished.reason);
  ended.outcome = std::move(finished.outcome);
  ended.last_step = finished.last_step;
  ended.summary = std::move(finished.summary);
  if (attempt->last_step && *attempt->last_step > finished.last_step) {
    return absl::InvalidArgumentError(absl::StrCat("message \"finished\": last_step ", finished.last_step, " of run ",
                                                   finished.attempt.value(), " lies before its metrics' step ",
                                                   *attempt->last_step));
  }
  End(finished.attempt, std::move(ended));
  return absl::OkStatus();
}

absl::Status EngineSession::Handle(EngineStopped stopped, const Moment&) {
  SEEDBED_ASSIGN_OR_RETURN(Attempt * attempt, Find(stopped.attempt, "stopped"));
  if (!attempt->stop_until && !leaving_) {
    return absl::InvalidArgumentError(
        absl::StrCat("message \"stopped\": run ", stopped.attempt.value(), " was not asked to stop"));
  }
  made_progress_ = true;
  AttemptEnded ended;
  ended.end = attempt->timed_out ? AttemptEnd::kTimedOut : AttemptEnd::kStopped;
  ended.reason = attempt->timed_out ? "time limit" : "stopped";
  ended.last_step = stopped.last_step;
  End(stopped.attempt, std::move(ended));
  return absl::OkStatus();
}

absl::Status EngineSession::Handle(EngineFailed failed, const Moment&) {
  SEEDBED_RETURN_IF_ERROR(Find(failed.attempt, "failed").status());
  made_progress_ = true;
  AttemptEnded ended;
  ended.end = failed.out_of_memory ? AttemptEnd::kOutOfMemory : AttemptEnd::kFailed;
  ended.reason = std::move(failed.reason);
  ended.companions = std::max(0, failed.pack - 1);
  End(failed.attempt, std::move(ended));
  return absl::OkStatus();
}

void EngineSession::Tick(const Moment& now) {
  if (leaving_) {
    if (!dying_ && now.monotonic >= leave_until_) {
      Die(AttemptEnd::kStopped, AttemptId(), "did not leave when told to shut down");
    }
    return;
  }
  if (dying_) return;
  if (!ready_ && now.monotonic >= ready_until_) {
    Die(AttemptEnd::kCrashed, AttemptId(),
        absl::StrCat("was not ready within ", absl::FormatDuration(limits_.ready_timeout)));
    return;
  }
  if (output_ended_until_ && now.monotonic >= *output_ended_until_) {
    Die(AttemptEnd::kCrashed, AttemptId(), "closed its output but did not end");
    return;
  }
  const bool waits = paused();
  for (auto& [id, attempt] : attempts_) {
    if (attempt.stop_until && now.monotonic >= *attempt.stop_until) {
      Die(attempt.timed_out ? AttemptEnd::kTimedOut : AttemptEnd::kCrashed, id,
          absl::StrCat("did not stop within ", absl::FormatDuration(limits_.stop_grace)));
      return;
    }
    if (!waits && now.monotonic >= attempt.silent_until) {
      Die(AttemptEnd::kStalled, id, "said nothing of the run in time");
      return;
    }
    if (!attempt.timed_out && attempt.time_limit_at && now.monotonic >= *attempt.time_limit_at) {
      attempt.timed_out = true;
      Stop(id, /*checkpoint=*/false, now);
    }
  }
}

void EngineSession::ExtendDeadlines(absl::Duration by) {
  ready_until_ += by;
  leave_until_ += by;
  for (auto& [id, attempt] : attempts_) {
    attempt.silent_until += by;
    if (attempt.stop_until) *attempt.stop_until += by;
  }
}

void EngineSession::Die(AttemptEnd end, AttemptId culprit, std::string reason) {
  dying_ = Death{end, culprit, std::move(reason)};
  host_->Kill();
}

void EngineSession::OnNotSpawned(const std::string& reason) {
  end_reason_ = absl::StrCat("could not be started: ", reason);
  EndAll(leaving_ ? AttemptEnd::kStopped : AttemptEnd::kCrashed, end_reason_, static_cast<int>(attempts_.size()) - 1);
}

void EngineSession::OnExit(const ProcessExited& exit, bool memory_kills_rose) {
  const int companions = static_cast<int>(attempts_.size()) - 1;
  if (dying_) {
    const Death death = *dying_;
    end_reason_ = absl::StrCat("was killed: it ", death.reason);
    if (!holds(death.culprit)) {
      EndAll(death.end, absl::StrCat("the engine ", death.reason), companions);
      return;
    }
    AttemptEnded ended;
    ended.end = death.end;
    ended.reason = absl::StrCat("the engine ", death.reason);
    ended.companions = companions;
    End(death.culprit, std::move(ended));
    EndAll(AttemptEnd::kCrashed,
           absl::StrCat("the engine was killed: it ", death.reason, " (run ", death.culprit.value(), " beside this)"),
           companions);
    return;
  }
  end_reason_ = DescribeExit(exit);
  refused_ = !ready_ && exit.signal == 0 && exit.exit_status == kRefusedSettings;
  if (leaving_) {
    EndAll(AttemptEnd::kStopped, "the worker shut down", companions);
    return;
  }
  const bool out_of_memory = exit.signal == SIGKILL && memory_kills_rose;
  if (out_of_memory) absl::StrAppend(&end_reason_, ", and the kernel killed a process for memory");
  const std::string reason = absl::StrCat("the engine ", end_reason_);
  if (attempts_.empty()) absl::StrAppend(&end_reason_, LastWords(idle_log_));
  EndAll(out_of_memory ? AttemptEnd::kOutOfMemory : AttemptEnd::kCrashed, reason, companions);
}

void EngineSession::EndAll(AttemptEnd end, const std::string& reason, int companions) {
  while (!attempts_.empty()) {
    AttemptEnded ended;
    ended.end = end;
    ended.reason = reason;
    ended.companions = companions;
    End(attempts_.begin()->first, std::move(ended));
  }
}

void EngineSession::End(AttemptId id, AttemptEnded ended) {
  host_->DrainLog();
  Attempt& attempt = attempts_.at(id);
  ended.attempt = id;
  if (!ended.last_step) ended.last_step = attempt.last_step;
  ended.companions = std::max(ended.companions, static_cast<int>(attempts_.size()) - 1);
  ended.log_path = attempt.log->path();
  ended.log_tail = attempt.log->Tail(kLogTailBytes);
  if (std::string rest = attempt.log->Close(); !rest.empty()) host_->Emit(AttemptLog{id, std::move(rest)});
  attempts_.erase(id);
  host_->Emit(std::move(ended));
}

}  // namespace seedbed
