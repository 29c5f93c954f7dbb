// The life of a lease: granted, waiting, trained, ended; stopped, restored or dropped on the coordinator's word.
#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "worker/agent/agent.h"
#include "worker/agent/valid_text.h"

namespace seedbed::agent {
namespace {

constexpr int kMostTimesNotStarted = 3;
// What a coordinator takes; more would be refused, and the run tried again for nothing.
constexpr size_t kMostSummaryBytes = 1 << 20;
// An engine's reason may be as long as its line, and a report longer than gRPC takes would end the stream of all runs,
// again and again. A coordinator keeps 4 KiB, so there is room for a line of the log behind it.
constexpr size_t kMostReasonBytes = 3 << 10;

std::string Named(const LeaseKey& key) {
  return absl::StrCat("run ", key.run.value(), " attempt ", key.attempt);
}

ReportedEnd ReportedEndOf(AttemptEnd end) {
  switch (end) {
    case AttemptEnd::kFinished:
      return ReportedEnd::kFinished;
    case AttemptEnd::kFailed:
      return ReportedEnd::kFailed;
    case AttemptEnd::kOutOfMemory:
      return ReportedEnd::kOutOfMemory;
    case AttemptEnd::kStalled:
      return ReportedEnd::kStalled;
    case AttemptEnd::kTimedOut:
      return ReportedEnd::kTimedOut;
    case AttemptEnd::kStopped:
    case AttemptEnd::kNotStarted:
      return ReportedEnd::kPreempted;
    case AttemptEnd::kCrashed:
      return ReportedEnd::kCrashed;
  }
  return ReportedEnd::kCrashed;
}

bool IsCuda(const std::string& device) {
  return device.rfind("cuda", 0) == 0;
}

// The engine keeps budget.seconds itself; this is the fence around it.
std::optional<absl::Duration> TimeLimit(const Json& specification) {
  const Json budget_json = specification.value("budget", Json::object());
  const Json seconds = budget_json.is_object() ? budget_json.value("seconds", Json()) : Json();
  if (!seconds.is_number()) return std::nullopt;
  const absl::Duration budget = absl::Seconds(seconds.get<double>());
  return budget + std::max(absl::Seconds(60), budget * 0.1);
}

}  // namespace

void Agent::Grant(const LeaseToStart& start, absl::Duration now) {
  const auto [entry, is_new] = leases_.try_emplace(NameOf(start.lease));
  Lease& lease = entry->second;
  if (!is_new) {
    // A grant is repeated until it is listed, with the same fence.
    return;
  }
  lease.key = start.lease;
  lease.sweep = start.sweep;
  lease.phase_since = now;
  synchronizer_.Want();
  auto specification = ParseJson(start.specification_json, absl::StrCat("the specification of ", Named(start.lease)));
  if (!specification.ok() || !specification->is_object()) {
    const std::string why =
        specification.ok() ? "the specification is not a JSON object" : std::string(specification.status().message());
    return End(lease, {ReportedEnd::kFailed, why, 1, std::nullopt}, now);
  }
  lease.specification = *std::move(specification);
  const Json trainer = lease.specification.value("trainer", Json());
  if (!trainer.is_string() || !engines_.Offers(trainer.get<std::string>())) {
    return End(lease,
               {ReportedEnd::kFailed, absl::StrCat("this worker does not offer trainer ", trainer.dump()), 1, {}}, now);
  }
  lease.pack_key = start.pack_key;
  lease.pack_limit = start.pack_limit;
  lease.final_checkpoint = start.final_checkpoint;
  if (start.resume_step) {
    lease.resume_step = start.resume_step;
    lease.step = *start.resume_step;
    lease.phase = LeasePhase::kFetching;
    lease.fetch_not_before = now;
    return;
  }
  waiting_.push_back(NameOf(start.lease));
}

void Agent::Stop(const LeaseToStop& stop, absl::Duration now) {
  const auto found = leases_.find(NameOf(stop.lease));
  // A stop for an older fence crossed a restoration.
  if (found == leases_.end() || stop.lease.fence < found->second.key.fence) return;
  if (stop.hand_back) return HandBack(found->second, stop.reason, now);
  Drop(found->first, stop.reason);
}

void Agent::Drop(LeaseName name, const std::string& why) {
  const auto found = leases_.find(name);
  Lease& lease = found->second;
  // One that has ended is struck off by the coordinator before it acknowledges the end: the ordinary way of things.
  if (lease.phase != LeasePhase::kEnded) observer_->Info(absl::StrCat(Named(lease.key), ": dropped: ", why));
  if (lease.phase == LeasePhase::kWaiting) waiting_.erase(std::find(waiting_.begin(), waiting_.end(), name));
  // Its engine's place is free when the attempt's end is told; then its files go, too.
  if (lease.attempt) {
    pool_->StopRun(lease.attempt, /*checkpoint=*/false);
  } else {
    RemoveFiles(lease);
  }
  leases_.erase(found);
  synchronizer_.Want();
}

void Agent::HandBack(Lease& lease, const std::string& reason, absl::Duration now) {
  switch (lease.phase) {
    case LeasePhase::kFetching:
      RemoveFiles(lease);
      return End(lease, {ReportedEnd::kPreempted, reason, 1, {}}, now);
    case LeasePhase::kWaiting:
      waiting_.erase(std::find(waiting_.begin(), waiting_.end(), NameOf(lease.key)));
      RemoveFiles(lease);
      return End(lease, {ReportedEnd::kPreempted, reason, 1, {}}, now);
    case LeasePhase::kTraining:
      lease.phase = LeasePhase::kStopping;
      lease.phase_since = now;
      lease.stop_reason = reason;
      lease.reading_paused = false;  // StopRun lifts it
      return pool_->StopRun(lease.attempt, /*checkpoint=*/engines_.WritesCheckpoints(lease.engine));
    case LeasePhase::kStopping:
    case LeasePhase::kSaving:
    case LeasePhase::kEnded:
      return;
  }
}

void Agent::StartWaiting(absl::Duration now) {
  // One that fits no engine's pack does not keep others waiting.
  for (size_t i = 0; i < waiting_.size();) {
    Lease& lease = leases_.at(waiting_[i]);
    const std::optional<int> engine = engines_.Choose(now, {lease.pack_key, lease.pack_limit});
    if (!engine) {
      ++i;
      continue;
    }
    waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
    StartOn(*engine, lease, now);
  }
}

void Agent::StartOn(int engine, Lease& lease, absl::Duration now) {
  if (lease.resume_step && !engines_.WritesCheckpoints(engine)) {
    RemoveFiles(lease);
    return End(lease, {ReportedEnd::kFailed, "the engine of this worker cannot go on from a checkpoint", 1, {}}, now);
  }
  if (lease.directory.empty()) {
    auto directory = files_->Create(lease.key.run, lease.key.attempt);
    if (!directory.ok()) {
      // Counted against this worker: one that cannot write takes no runs for long.
      return End(lease, {ReportedEnd::kCrashed, ValidText(directory.status().ToString()), 1, {}}, now);
    }
    lease.directory = *std::move(directory);
  }
  last_attempt_ = last_attempt_.Next();
  lease.attempt = last_attempt_;
  lease.engine = engine;
  lease.phase = LeasePhase::kTraining;
  lease.phase_since = now;
  attempts_[lease.attempt] = {NameOf(lease.key), lease.directory};
  engines_.Take(engine, lease.attempt, {lease.pack_key, lease.pack_limit});
  lease.checkpoint_base = now;
  lease.checkpoint_asked.reset();
  AttemptStart start;
  start.attempt = lease.attempt;
  start.engine = engine;
  start.specification = lease.specification;
  start.directory = lease.directory;
  if (!lease.resume_path.empty()) start.resume = lease.resume_path;
  start.final_checkpoint = lease.final_checkpoint && engines_.WritesCheckpoints(engine);
  start.time_limit = TimeLimit(lease.specification);
  pool_->StartRun(std::move(start));
  observer_->Info(absl::StrCat(Named(lease.key), " of ", lease.sweep, ": training on engine ", engine,
                               lease.resume_step ? absl::StrCat(" from step ", *lease.resume_step) : ""));
}

void Agent::HandBackStranded(absl::Duration now) {
  if (engines_.any_ready()) return;
  while (!waiting_.empty()) {
    Lease& lease = leases_.at(waiting_.front());
    if (now < std::max(no_engine_since_, lease.phase_since) + options_.engine_patience) return;
    HandBack(lease, "no engine of the worker is ready", now);
  }
}

void Agent::On(const EngineBecameReady& event, absl::Duration now) {
  const std::string& wanted = options_.required_device;
  if (!wanted.empty() && event.info.device != wanted && !(wanted == "cuda" && IsCuda(event.info.device))) {
    return GiveUp(absl::FailedPreconditionError(
                      absl::StrCat("the engine trains on ", event.info.device, ", not on ", wanted, ": see --device")),
                  now);
  }
  engines_.BecameReady(event.engine, event.info);
  if (!engine_ever_ready_) {
    engine_ever_ready_ = true;
    if (engines_.offers().empty()) {
      observer_->Warning("none of the engine's trainers is allowed here, so no run will come: see --trainers");
    }
  }
  synchronizer_.Want();
}

void Agent::On(const EngineWentDown& event, absl::Duration now) {
  engines_.WentDown(event.engine);
  if (!engines_.any_ready()) no_engine_since_ = now;
  if (stage_ >= Stage::kGoodbye) return;
  observer_->Warning(absl::StrCat("engine ", event.engine, " went down: ", event.reason));
  if (!engine_ever_ready_ && event.refused) {
    const std::string& device = options_.required_device;
    return GiveUp(
        absl::FailedPreconditionError(absl::StrCat(
            "the engine refuses to start", device.empty() ? "" : " with --device ", device, ": it ", event.reason)),
        now);
  }
  if (!engine_ever_ready_ && ++engine_failures_ >= 3 * pool_->engine_count()) {
    GiveUp(absl::UnavailableError(absl::StrCat("the engine does not start: ", event.reason)), now);
  }
}

void Agent::On(const AttemptMetrics& event, absl::Duration now) {
  Lease* lease = Find(event.attempt);
  if (lease == nullptr) return;
  lease->reports.AddRows(event, now);
  lease->step = std::max(lease->step, event.steps.back());
  BoundUnacknowledged(*lease);
}

void Agent::On(const AttemptAlive& event, absl::Duration) {
  if (Lease* lease = Find(event.attempt)) lease->step = std::max(lease->step, event.step);
}

void Agent::On(const AttemptLog& event, absl::Duration) {
  if (Lease* lease = Find(event.attempt)) lease->log.Add(event.text);
}

void Agent::On(const AttemptEnded& event, absl::Duration now) {
  const auto found = attempts_.find(event.attempt);
  if (found == attempts_.end()) return;
  const std::string directory = found->second.directory;
  Lease* lease = Find(event.attempt);
  const int engine = lease != nullptr ? lease->engine : -1;
  attempts_.erase(found);
  engines_.Release(event.attempt);
  synchronizer_.Want();
  if (lease == nullptr) {  // dropped before
    files_->Remove(directory);
    return;
  }
  lease->attempt = AttemptId();
  if (event.last_step) lease->step = std::max(lease->step, *event.last_step);
  if (event.end == AttemptEnd::kNotStarted && lease->phase == LeasePhase::kTraining && !Closing()) {
    engines_.Avoid(engine, now + absl::Seconds(1));
    return NotStarted(*lease, event.reason, now);
  }
  EndOfAttempt end{ReportedEndOf(event.end), BoundedText(event.reason, kMostReasonBytes), event.companions + 1, {}, {}};
  if (end.end == ReportedEnd::kFinished) {
    end.result = RunResult{ValidText(event.outcome), end.reason, event.last_step.value_or(lease->step),
                           CanonicalJson(event.summary)};
    if (lease->phase == LeasePhase::kTraining) {
      const absl::Duration took = now - lease->phase_since;
      typical_run_ = typical_run_ ? (*typical_run_ + took) / 2 : took;
    }
  } else if (lease->phase == LeasePhase::kStopping) {
    // It was asked to leave: however it went, that is nobody's failure.
    end.end = ReportedEnd::kPreempted;
    end.reason = lease->stop_reason;
  } else if (end.end == ReportedEnd::kFailed && lease->resume_step && absl::StartsWith(event.reason, "checkpoint")) {
    // Nobody's failure either: the next attempt goes on from the one before.
    end.end = ReportedEnd::kPreempted;
    end.unusable_checkpoint = lease->resume_step;
  } else if (end.end == ReportedEnd::kFailed && lease->resume_step &&
             absl::StartsWith(event.reason, "cannot read checkpoint")) {
    // This machine's fault: it is tried again, from the same one, and not for ever here.
    end.end = ReportedEnd::kCrashed;
  } else if (const std::string line = LastLine(event.log_tail); !line.empty()) {
    absl::StrAppend(&end.reason, "; last line of its log: ", line);
  }
  if (end.result && end.result->summary_json.size() > kMostSummaryBytes) {
    end = {ReportedEnd::kFailed,
           absl::StrCat("its summary is ", end.result->summary_json.size(), " bytes long, and at most ",
                        kMostSummaryBytes, " are taken"),
           end.pack,
           {},
           {}};
  }
  EndSoon(*lease, std::move(end), now);
}

void Agent::EndSoon(Lease& lease, EndOfAttempt end, absl::Duration now) {
  lease.reading_paused = false;
  lease.checkpoint_asked.reset();
  if (!HasUnsent(lease)) {
    RemoveFiles(lease);
    return End(lease, std::move(end), now);
  }
  lease.phase = LeasePhase::kSaving;
  lease.phase_since = now;
  lease.end = std::move(end);
}

void Agent::RemoveFiles(Lease& lease) {
  Discard(lease);
  if (lease.directory.empty()) return;
  files_->Remove(std::exchange(lease.directory, {}));
}

void Agent::NotStarted(Lease& lease, const std::string& reason, absl::Duration now) {
  lease.engine = -1;
  if (++lease.times_not_started >= kMostTimesNotStarted) {
    RemoveFiles(lease);
    return End(lease, {ReportedEnd::kPreempted, absl::StrCat("no engine took it: ", ValidText(reason)), 1, {}}, now);
  }
  lease.phase = LeasePhase::kWaiting;
  lease.phase_since = now;
  waiting_.push_front(NameOf(lease.key));
}

void Agent::On(const PoolStopped&, absl::Duration) {
  if (stage_ != Stage::kClosing)
    failure_ = absl::InternalError("the engines' supervisor stopped by itself: see its log");
  stage_ = Stage::kDone;
}

void Agent::End(Lease& lease, EndOfAttempt end, absl::Duration now) {
  const std::string text = absl::StrCat(Named(lease.key), ": ", ReportedEndName(end.end),
                                        end.result ? absl::StrCat(", ", end.result->outcome) : "", ": ", end.reason);
  if (end.end == ReportedEnd::kFinished || end.end == ReportedEnd::kPreempted) {
    observer_->Info(text);
  } else {
    observer_->Warning(text);
  }
  lease.phase = LeasePhase::kEnded;
  lease.phase_since = now;
  lease.reading_paused = false;
  lease.reports.AddEnd(std::move(end));
  synchronizer_.Want();
}

Lease* Agent::Find(AttemptId attempt) {
  const auto found = attempts_.find(attempt);
  if (found == attempts_.end()) return nullptr;
  const auto lease = leases_.find(found->second.name);
  return lease != leases_.end() && lease->second.attempt == attempt ? &lease->second : nullptr;
}

}  // namespace seedbed::agent
