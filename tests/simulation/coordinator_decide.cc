#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/simulation/coordinator.h"
#include "tests/simulation/truth.h"

// What one command does to the state, and who is told about it.
namespace seedbed::simulation {
namespace {

bool HasNews(const core::SynchronizeAnswer& answer) {
  return answer.ignored || !answer.start.empty() || !answer.stop.empty() || !answer.restored.empty() ||
         answer.state != core::WorkerState::kActive;
}

bool AnythingQueued(const core::State& state) {
  for (const auto& [id, sweep] : state.sweeps()) {
    if (sweep.state == core::SweepState::kActive && sweep.counts.queued > 0) return true;
  }
  return false;
}

}  // namespace

void Coordinator::Plant(core::Command* command) const {
  if (scenario_.planted != Planted::kFencingOff) return;
  const auto pass_off = [this](WorkerId* worker, core::LeaseKey* lease) {
    const core::Run* run = state_->FindRun(lease->run);
    const auto* running = run == nullptr ? nullptr : std::get_if<core::Running>(&run->state);
    if (running == nullptr) return;
    *worker = running->worker->id;
    *lease = core::LeaseOf(*run);
  };
  if (auto* report = std::get_if<core::Report>(command)) pass_off(&report->worker, &report->lease);
  if (auto* checkpoint = std::get_if<core::StoreCheckpoint>(command)) pass_off(&checkpoint->worker, &checkpoint->lease);
}

bool Coordinator::PlantedAway(const core::Command& command, const core::Event& event) const {
  return scenario_.planted == Planted::kExpiryIgnored && std::holds_alternative<core::Tick>(command) &&
         (std::holds_alternative<core::AttemptEnded>(event) || std::holds_alternative<core::WorkerStateChanged>(event));
}

absl::StatusOr<core::Answer> Coordinator::DecideAndApply(core::Command command, Turn* turn) {
  turn->registered = false;
  turn->durable = false;
  Plant(&command);
  const Moment now = Now();
  absl::StatusOr<core::Decision> decision = core::Decide(*state_, command, now);
  world_.Mix(command.index() * 1000 + (decision.ok() ? decision->events.size() : 999));
  world_.Mix(static_cast<uint64_t>(absl::ToInt64Nanoseconds(now.monotonic)));
  if (!decision.ok()) return decision.status();
  const auto* tick = std::get_if<core::Tick>(&command);
  bool changed = false;
  for (core::Event& event : decision->events) {
    if (PlantedAway(command, event)) continue;
    if (tick != nullptr) {
      ledger_.DecidedByTick(*state_, event, now.monotonic);
    } else {
      ledger_.Decided(event, now.monotonic);
    }
    if (world_.traced() && core::IsDurable(event)) world_.Trace("core", core::Describe(event));
    Observe(event, turn);
    state_->Apply(event);
    changed = changed || !std::holds_alternative<core::ClockTicked>(event);
    if (!core::IsDurable(event)) continue;
    turn->durable = true;
    turn->batch.events.push_back(std::move(event));
  }
  if (const auto* facts = std::get_if<core::Synchronize>(&command)) {
    const bool ignored = std::get<core::SynchronizeAnswer>(decision->answer).ignored;
    if (!facts->held_open && !facts->goodbye && !ignored) ledger_.Heard(*state_, *facts, now.monotonic);
  }
  if (tick != nullptr) ledger_.Ticked(*state_, *tick, now.monotonic);
  if (changed) {
    const absl::Status checked = state_->CheckInvariants();
    world_.Expect(checked.ok(), checked.ToString());
  }
  return std::move(decision->answer);
}

void Coordinator::Observe(const core::Event& event, Turn* turn) {
  const auto concern = [&](RunId id) {
    const core::Run* run = state_->FindRun(id);
    if (run == nullptr) return;
    if (const auto* running = std::get_if<core::Running>(&run->state)) turn->concerned.push_back(running->worker->id);
  };
  if (const auto* ended = std::get_if<core::AttemptEnded>(&event)) {
    turn->work_may_exist = true;
    if (ended->end != core::AttemptEnd::kFinished) concern(ended->run);
  } else if (const auto* changed = std::get_if<core::SweepStateChanged>(&event)) {
    turn->work_may_exist = turn->work_may_exist || changed->to == core::SweepState::kActive;
    if (changed->to != core::SweepState::kHalted) return;
    for (const RunId id : state_->FindSweep(changed->sweep)->running) concern(id);
  } else if (const auto* run = std::get_if<core::RunStateChanged>(&event)) {
    turn->work_may_exist = turn->work_may_exist || run->to == core::RunState::kQueued;
  } else if (const auto* worker = std::get_if<core::WorkerStateChanged>(&event)) {
    turn->concerned.push_back(worker->worker);
  } else if (std::holds_alternative<core::WorkerRegistered>(event)) {
    turn->registered = true;
  } else if (std::holds_alternative<core::RunAdded>(event) || std::holds_alternative<core::SweepExtended>(event)) {
    turn->work_may_exist = true;
  }
}

void Coordinator::DoReport(ReportItem item, Turn* turn) {
  const absl::StatusOr<core::Answer> decided = DecideAndApply(item.report, turn);
  absl::StatusOr<core::ReportAnswer> result = absl::InternalError("the core answered a report with something else");
  if (!decided.ok()) {
    result = decided.status();
  } else {
    result = std::get<core::ReportAnswer>(*decided);
    if (result->verdict == core::ReportVerdict::kAccepted) {
      if (!item.rows.steps.empty()) turn->batch.metrics.push_back({item.report.lease.run, item.rows});
      HeldCalls::Call* held = item.report.end ? held_.Find(item.report.worker) : nullptr;
      if (held != nullptr) {
        std::vector<core::HeldLease>& leases = held->command.leases;
        for (size_t i = leases.size(); i > 0; --i) {
          if (leases[i - 1].lease == item.report.lease) leases.erase(leases.begin() + static_cast<int64_t>(i) - 1);
        }
      }
    }
  }
  turn->answers.push_back([this, item = std::move(item), result = std::move(result)](const absl::Status& commit) {
    if (commit.ok() && result.ok()) ledger_.Answered(item.report, item.rows, *result);
    item.done(commit.ok() ? result : absl::StatusOr<core::ReportAnswer>(commit));
  });
}

void Coordinator::DoCommand(CommandItem item, Turn* turn) {
  absl::StatusOr<core::Answer> answer = DecideAndApply(std::move(item.command), turn);
  turn->answers.push_back([done = std::move(item.done), answer = std::move(answer)](const absl::Status& commit) {
    done(commit.ok() ? answer : absl::StatusOr<core::Answer>(commit));
  });
}

void Coordinator::DoSynchronize(SynchronizeItem item, Turn* turn) {
  const core::Synchronize& command = item.command;
  const HeldCalls::Call* older = held_.Find(command.worker);
  if (older != nullptr && older->command.number <= command.number) {
    HeldCalls::Call call = *held_.Take(command.worker);
    AnswerLater(turn, command.worker, std::move(call.done), std::move(call.answer));
  }
  const absl::StatusOr<core::Answer> decided = DecideAndApply(command, turn);
  const bool registered = turn->registered;
  const bool durable = turn->durable;
  world_.Expect(decided.ok(), "a Synchronize fails: ", decided.status().ToString());
  if (!decided.ok()) return;
  core::SynchronizeAnswer answer = std::get<core::SynchronizeAnswer>(*decided);
  const bool wants_more = command.free_slots > 0 && !command.goodbye && !registered;
  if (!wants_more || HasNews(answer)) {
    const WorkerId worker = command.worker;
    // It changed nothing that is stored, and it tells nothing that could be taken back.
    if (!durable && !HasNews(answer)) return item.done(Compose(worker, std::move(answer)));
    return AnswerLater(turn, worker, std::move(item.done), std::move(answer));
  }
  HeldCalls::Call call;
  call.deadline = Now().monotonic + scenario_.settings.lease_duration / 3;
  call.answer = std::move(answer);
  call.answer.next_call_after = absl::ZeroDuration();
  call.command = std::move(item.command);
  call.command.held_open = true;
  call.done = std::move(item.done);
  held_.Hold(std::move(call));
}

void Coordinator::WakeHeld(Turn* turn) {
  const bool everybody = turn->work_may_exist && AnythingQueued(*state_);
  const std::vector<WorkerId> concerned = std::exchange(turn->concerned, {});
  for (const WorkerId& worker : held_.Waiting(everybody, concerned)) {
    const HeldCalls::Call* call = held_.Find(worker);
    const absl::StatusOr<core::Answer> decided = DecideAndApply(call->command, turn);
    const auto* answer = decided.ok() ? std::get_if<core::SynchronizeAnswer>(&*decided) : nullptr;
    if (answer != nullptr && !HasNews(*answer)) continue;
    HeldCalls::Call taken = *held_.Take(worker);
    AnswerLater(turn, worker, std::move(taken.done), answer != nullptr ? *answer : std::move(taken.answer));
  }
}

void Coordinator::AnswerLater(Turn* turn, const WorkerId& worker, SynchronizeDone done,
                              core::SynchronizeAnswer answer) {
  turn->answered.push_back(worker);
  turn->answers.push_back(
      [this, worker, done = std::move(done), answer = std::move(answer)](const absl::Status& commit) {
        done(commit.ok() ? Compose(worker, answer) : absl::StatusOr<SynchronizeReply>(commit));
      });
}

void Coordinator::AnswerOverdue() {
  if (held_.empty()) return;
  for (HeldCalls::Call& call : held_.TakeOverdue(Now().monotonic)) {
    call.done(Compose(call.command.worker, std::move(call.answer)));
  }
}

SynchronizeReply Coordinator::Compose(const WorkerId& worker, core::SynchronizeAnswer answer) {
  ledger_.Answered(worker, answer);
  SynchronizeReply reply;
  std::vector<core::LeaseToStart> start;
  for (const core::LeaseToStart& lease : answer.start) {
    const core::SweepEntry* sweep = state_->FindSweep(lease.sweep);
    const core::Run* run = state_->FindRun(lease.lease.run);
    // Ended or deleted by a command that was decided since.
    if (sweep == nullptr || run == nullptr || run->fence != lease.lease.fence) continue;
    const ConfigurationRow* configuration = database_.FindConfiguration(lease.configuration);
    world_.Expect(configuration != nullptr, "a lease of run ", run->id.value(),
                  " was given out before its configuration was durable");
    if (configuration == nullptr) continue;
    GrantedLease granted;
    granted.lease = lease;
    granted.sweep_name = sweep->name;
    granted.specification_json = SpecificationOf(sweep->name, configuration->parameters_json, lease.seed);
    reply.start.push_back(std::move(granted));
    start.push_back(lease);
  }
  answer.start = std::move(start);
  reply.answer = std::move(answer);
  return reply;
}

}  // namespace seedbed::simulation
