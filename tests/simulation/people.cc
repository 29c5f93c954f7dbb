#include "tests/simulation/people.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"

namespace seedbed::simulation {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(3);  // with one call, before it is made again
constexpr absl::Duration kSettleEvery = absl::Seconds(3);
constexpr absl::Duration kAskAgainAfter = absl::Seconds(25);
constexpr int kPointsPerChunk = 2;

std::string ParametersOf(const SweepPlan& plan, int point) {
  return absl::StrCat("{", point == plan.poisoned_point ? "\"poison\":1," : "", "\"x\":", point, "}");
}

}  // namespace

struct People::Call {
  core::Command command;
  Then then;
  bool answered = false;
};

People::People(World* world, const Scenario* scenario, Network* network, Coordinator* coordinator,
               const Database* database, Truth* truth)
    : world_(*world),
      scenario_(*scenario),
      network_(*network),
      coordinator_(*coordinator),
      database_(*database),
      truth_(*truth),
      dice_(scenario->seed, Dice::kPeople),
      node_(static_cast<int>(scenario->workers.size())) {}

void People::Ask(core::Command command, Then then) {
  Send(std::make_shared<Call>(Call{std::move(command), std::move(then)}));
}

void People::Send(const std::shared_ptr<Call>& call) {
  if (call->answered) return;
  network_.Send(node_, Network::kToCoordinator, [this, call] {
    coordinator_.Receive(CommandItem{call->command, [this, call](const absl::StatusOr<core::Answer>& answer) {
                                       network_.Send(node_, Network::kFromCoordinator, [call, answer] {
                                         if (call->answered || absl::IsUnavailable(answer.status())) return;
                                         call->answered = true;
                                         if (call->then) call->then(answer);
                                       });
                                     }});
  });
  world_.queue.After(kPatience, [this, call] { Send(call); });
}

// --- submitting

void People::SubmitAll() {
  for (const SweepPlan& plan : scenario_.sweeps) {
    world_.queue.After(plan.submitted_at, [this, &plan] { Submit(plan); });
  }
}

void People::Submit(const SweepPlan& plan) {
  core::BeginSubmission begin;
  begin.submission_id = absl::StrCat("submission-", ++submissions_);
  begin.name = plan.name;
  begin.template_json = R"({"budget":{"steps":8},"trainer":"modular"})";
  begin.fixed_json = begin.template_json;
  begin.metric_json = "null";
  begin.priority = plan.priority;
  begin.max_concurrent = plan.max_concurrent;
  begin.retries = plan.retries;
  begin.keep_checkpoints = plan.keep_checkpoints;
  begin.numerics = plan.numerics;
  world_.Trace("people", "submit ", plan.name, " as ", begin.submission_id);
  Ask(begin, [this, &plan, submission = begin.submission_id](const absl::StatusOr<core::Answer>& answer) {
    if (!answer.ok()) return;
    const auto& begun = std::get<core::BeginSubmissionAnswer>(*answer);
    if (!begun.already_complete) AddPoints(plan, begun.sweep, 0, submission);
  });
}

void People::AddPoints(const SweepPlan& plan, SweepId sweep, int from, const std::string& submission) {
  if (from >= plan.points) return Ask(core::CompleteSubmission{sweep, submission}, nullptr);
  core::AddConfigurations add;
  add.sweep = sweep;
  const int to = std::min(plan.points, from + kPointsPerChunk);
  for (int point = from; point < to; ++point) {
    core::NewConfiguration configuration;
    configuration.parameters_json = ParametersOf(plan, point);
    configuration.varied_json = configuration.parameters_json;
    configuration.digest = DigestOf(configuration.parameters_json);
    configuration.pack_key = Digest{7, 7};
    add.configurations.push_back(std::move(configuration));
  }
  for (int64_t seed = 0; seed < plan.seeds; ++seed) add.seeds.push_back(seed);
  Ask(add, [this, &plan, sweep, to, submission](const absl::StatusOr<core::Answer>& answer) {
    if (answer.ok()) AddPoints(plan, sweep, to, submission);
  });
}

// --- this and that

void People::InChunks(core::Command command) {
  Ask(command, [this, command](const absl::StatusOr<core::Answer>& answer) mutable {
    if (!answer.ok() || !std::get<core::ChunkAnswer>(*answer).more) return;
    if (auto* extend = std::get_if<core::ExtendSeeds>(&command)) {
      extend->from_ordinal = std::get<core::ChunkAnswer>(*answer).next;
    }
    InChunks(command);
  });
}

void People::AskForSomething() {
  const SweepPlan& plan = scenario_.sweeps[dice_.Below(scenario_.sweeps.size())];
  const core::SweepEntry* sweep = database_.FindSweepByName(plan.name);
  const uint64_t what = dice_.Below(10);
  if (what >= 8) {
    const WorkerPlan& worker = scenario_.workers[dice_.Below(scenario_.workers.size())];
    for (const auto& [id, row] : database_.workers()) {
      if (row.name != worker.name || row.state == core::WorkerState::kGone) continue;
      world_.Trace("people", what == 8 ? "drain " : "resume ", id.value());
      if (what == 8) return Ask(core::DrainWorker{id}, nullptr);
      return Ask(core::ResumeWorker{id}, nullptr);
    }
    return;
  }
  if (sweep == nullptr || sweep->state == core::SweepState::kSubmitting) return;
  const int64_t most = dice_.Between(1, 4);
  world_.Trace("people", "ask ", plan.name, " for request ", what);
  switch (what) {
    case 0:
      return Ask(core::PauseSweep{sweep->id, false}, nullptr);
    case 1:
      return Ask(core::PauseSweep{sweep->id, true}, nullptr);
    case 2:
    case 3:
      return Ask(core::ResumeSweep{sweep->id}, nullptr);
    case 4:
      return InChunks(core::CancelRuns{sweep->id, {}, most});
    case 5:
      return InChunks(core::RetryRuns{sweep->id, {}, dice_.Chance(0.5), dice_.Chance(0.5), dice_.Chance(0.5), most});
    case 6:
      return InChunks(core::ExtendSeeds{sweep->id, plan.seeds_in_end, 0, most});
    default:
      if (plan.deleted) return InChunks(core::DeleteSweep{sweep->id, most});
      return Submit(plan);
  }
}

// --- until all is done

void People::Settle() {
  for (const SweepPlan& plan : scenario_.sweeps) SettleSweep(plan);
  for (const auto& [id, worker] : database_.workers()) {
    const bool held_back =
        worker.state == core::WorkerState::kDraining || worker.state == core::WorkerState::kQuarantined;
    if (held_back) Ask(core::ResumeWorker{id}, nullptr);
  }
  world_.queue.After(kSettleEvery, [this] { Settle(); });
}

void People::SettleSweep(const SweepPlan& plan) {
  const core::SweepEntry* sweep = database_.FindSweepByName(plan.name);
  const auto not_asked_lately = [&](const char* what) {
    const auto [asked, is_new] = asked_at_.emplace(absl::StrCat(plan.name, " ", what), world_.queue.now());
    if (!is_new && world_.queue.now() < asked->second + kAskAgainAfter) return false;
    asked->second = world_.queue.now();
    return true;
  };
  if (plan.deleted) {
    if (sweep != nullptr && not_asked_lately("delete")) InChunks(core::DeleteSweep{sweep->id});
    return;
  }
  const bool is_whole = sweep != nullptr && sweep->state != core::SweepState::kSubmitting &&
                        std::count_if(database_.runs().begin(), database_.runs().end(), [&](const auto& entry) {
                          return entry.second.sweep == sweep->id;
                        }) >= plan.points * plan.seeds;
  if (!is_whole) {
    if (not_asked_lately("submit")) Submit(plan);
    return;
  }
  if (sweep->state != core::SweepState::kActive) Ask(core::ResumeSweep{sweep->id}, nullptr);
  if (not_asked_lately("extend")) InChunks(core::ExtendSeeds{sweep->id, plan.seeds_in_end});
  SettleRuns(plan, *sweep);
}

void People::SettleRuns(const SweepPlan& plan, const core::SweepEntry& sweep) {
  core::RetryRuns retry;
  retry.sweep = sweep.id;
  for (const auto& [id, run] : database_.runs()) {
    if (run.sweep != sweep.id) continue;
    const bool gave_up = run.state == core::RunState::kFailed && !truth_.Of(run.specification).poisoned;
    if (gave_up || run.state == core::RunState::kCancelled) retry.runs.push_back(id);
  }
  retry.keep_rows = dice_.Chance(0.5);
  if (!retry.runs.empty()) {
    world_.Trace("people", "retry ", retry.runs.size(), " runs of ", plan.name);
    InChunks(retry);
  }
}

std::string People::Missing() const {
  for (const SweepPlan& plan : scenario_.sweeps) {
    const core::SweepEntry* sweep = database_.FindSweepByName(plan.name);
    if (plan.deleted && sweep != nullptr) return absl::StrCat(plan.name, " is still there");
    if (plan.deleted) continue;
    if (sweep == nullptr) return absl::StrCat(plan.name, " is not there");
    int64_t runs = 0;
    for (const auto& [id, run] : database_.runs()) {
      if (run.sweep != sweep->id) continue;
      ++runs;
      const auto end = truth_.Of(run.specification).poisoned ? core::RunState::kFailed : core::RunState::kFinished;
      if (run.state != end) {
        return absl::StrCat("run ", id.value(), " ('", run.specification, "') is ", core::Name(run.state), " after ",
                            run.attempts.size(), " attempts; its sweep is ", core::Name(sweep->state));
      }
    }
    const int64_t planned = plan.points * plan.seeds_in_end;
    if (runs != planned) return absl::StrCat(plan.name, " has ", runs, " runs instead of ", planned);
  }
  return "";
}

}  // namespace seedbed::simulation
