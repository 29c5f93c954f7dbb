#include "tests/simulation/worker.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

// The process and its calls to Synchronize. worker_training.cc has what becomes of a lease.
namespace seedbed::simulation {
namespace {

constexpr size_t kMostRemembered = 8;

}  // namespace

Worker::Worker(World* world, const Scenario* scenario, const Faults* faults, int node, Network* network,
               Coordinator* coordinator, Truth* truth)
    : world_(*world),
      scenario_(*scenario),
      plan_(scenario->workers[static_cast<size_t>(node)]),
      faults_(*faults),
      node_(node),
      network_(*network),
      coordinator_(*coordinator),
      truth_(*truth),
      dice_(scenario->seed, Dice::kFirstWorker + static_cast<uint64_t>(node)) {}

void Worker::Boot() {
  up_ = true;
  ++process_;
  frozen_until_ = -absl::InfiniteDuration();
  id_ = WorkerId(absl::StrCat(plan_.name, "-", process_));
  leases_.clear();
  dropped_.clear();
  number_ = 0;
  answered_number_ = 0;
  under_way_.clear();
  wanted_ = true;
  next_call_ = now();
  not_before_ = now();
  renewed_at_ = now();
  leaving_until_.reset();
  goodbye_said_ = false;
  world_.Trace("worker", id_.value(), " starts");
  Later(dice_.Time(absl::ZeroDuration(), plan_.beat), [this] { Beat(); });
}

void Worker::Kill(absl::Duration down_for) {
  if (!up_) return;
  world_.Trace("worker", id_.value(), " is killed");
  up_ = false;
  ++process_;
  leases_.clear();
  world_.queue.After(down_for, [this] { Boot(); });
}

void Worker::Leave(absl::Duration down_for) {
  if (!up_ || leaving_until_) return;
  world_.Trace("worker", id_.value(), " is told to leave");
  down_for_ = down_for;
  leaving_until_ = now() + absl::Seconds(5);
  std::vector<LeaseName> names;
  for (const auto& [name, lease] : leases_) names.push_back(name);
  // Those that wait have nothing to report: the goodbye hands them back.
  for (const LeaseName& name : names) {
    if (leases_.at(name).phase == Phase::kTraining) HandBack(leases_.at(name), "the worker was asked to stop");
  }
}

void Worker::Freeze(absl::Duration time) {
  if (!up_ || frozen_until_ > now()) return;
  world_.Trace("worker", id_.value(), " is stopped for ", absl::FormatDuration(time));
  frozen_until_ = now() + time;
}

void Worker::Arrive(int64_t process, const std::function<void()>& action) {
  if (!up_ || process != process_) return;
  if (frozen_until_ > now()) {
    world_.queue.After(frozen_until_ - now(), [this, process, action] { Arrive(process, action); });
    return;
  }
  action();
}

void Worker::Later(absl::Duration delay, std::function<void()> action) {
  world_.queue.After(delay, [this, process = process_, action = std::move(action)] { Arrive(process, action); });
}

// What brings an answer of the coordinator back to this process.
std::function<void(const std::function<void()>&)> Worker::Answers() {
  return [this, process = process_](const std::function<void()>& action) {
    network_.Send(node_, Network::kFromCoordinator, [this, process, action] { Arrive(process, action); });
  };
}

void Worker::Beat() {
  Later(plan_.beat, [this] { Beat(); });
  if (!leaving_until_) {
    Fetch();
    Train();
    // Not before one of its reports was acknowledged: until then its grant is repeated under the same fence. Nor while
    // an answer may be on its way that repeats it: that is of a call from before the worker had it.
    const bool known = !leases_.empty() && leases_.begin()->second.acknowledged > 0 &&
                       std::all_of(under_way_.begin(), under_way_.end(),
                                   [this](const auto& call) { return call.second > leases_.begin()->second.taken_at; });
    if (known && dice_.Chance(faults_.forget_lease)) Drop(leases_.begin()->first, /*told=*/false);
  }
  SendCheckpoints();
  FinishSaving();
  SendReports();
  if (plan_.impudent) ReportRubbish();
  AdvanceLeaving();
  SynchronizeIfDue();
}

void Worker::AdvanceLeaving() {
  if (!leaving_until_) return;
  const bool flushed = std::none_of(leases_.begin(), leases_.end(), [](const auto& entry) {
    return entry.second.phase == Phase::kSaving || entry.second.phase == Phase::kEnded;
  });
  if (!goodbye_said_ && (flushed || now() >= *leaving_until_)) {
    goodbye_said_ = true;
    leaving_until_ = now() + absl::Seconds(3);
    Synchronize(/*goodbye=*/true);
  } else if (goodbye_said_ && now() >= *leaving_until_) {
    Kill(down_for_);
  }
}

// --- Synchronize

void Worker::SynchronizeIfDue() {
  if (goodbye_said_) return;
  for (auto call = under_way_.begin(); call != under_way_.end();) {
    if (now() < call->second + scenario_.settings.lease_duration) {
      ++call;
      continue;
    }
    if (call->first == number_) BackOff();
    call = under_way_.erase(call);
  }
  if (under_way_.size() >= 2 || now() < not_before_) return;
  if (wanted_ || (under_way_.empty() && now() >= next_call_)) Synchronize(/*goodbye=*/false);
}

void Worker::BackOff() {
  not_before_ = now() + dice_.Time(absl::Milliseconds(100), absl::Seconds(2));
  next_call_ = not_before_;
}

void Worker::Synchronize(bool goodbye) {
  wanted_ = false;
  core::Synchronize facts;
  facts.worker = id_;
  facts.name = plan_.name;
  facts.host = "node";
  facts.device = "cpu";
  facts.version = "1";
  facts.slots = plan_.slots;
  const int wanted = leaving_until_ ? 0 : plan_.slots + plan_.prefetch;
  facts.free_slots = std::max(0, wanted - static_cast<int>(leases_.size()));
  facts.number = ++number_;
  facts.goodbye = goodbye;
  facts.trainers = {{"modular", plan_.numerics_json, {}}};
  for (const auto& [name, lease] : leases_) {
    facts.leases.push_back({lease.key, lease.step, lease.phase == Phase::kTraining});
  }
  under_way_[number_] = now();
  network_.Send(node_, Network::kToCoordinator, [this, facts, answers = Answers()] {
    coordinator_.Receive(
        SynchronizeItem{facts, [this, number = facts.number, answers](const absl::StatusOr<SynchronizeReply>& reply) {
                          answers([this, number, reply] { OnSynchronized(number, reply); });
                        }});
  });
}

void Worker::OnSynchronized(int64_t number, const absl::StatusOr<SynchronizeReply>& reply) {
  const auto call = under_way_.find(number);
  if (call == under_way_.end()) return;
  const absl::Duration begun = call->second;
  under_way_.erase(call);
  if (!reply.ok() || reply->answer.ignored) {
    if (number == number_) BackOff();
    return;
  }
  if (number < answered_number_) return;
  answered_number_ = number;
  renewed_at_ = begun;
  next_call_ = now() + reply->answer.next_call_after;
  not_before_ = now();
  if (goodbye_said_) return Kill(down_for_);
  for (const core::LeaseKey& key : reply->answer.restored) {
    const auto found = leases_.find({key.run, key.attempt});
    if (found == leases_.end() || key.fence <= found->second.key.fence) continue;
    found->second.key.fence = key.fence;
    found->second.sent = 0;
    found->second.uploading = false;
  }
  for (const core::LeaseToStop& stop : reply->answer.stop) Stop(stop);
  for (const GrantedLease& granted : reply->start) Grant(granted);
}

void Worker::Grant(const GrantedLease& granted) {
  const core::LeaseToStart& start = granted.lease;
  const auto [entry, is_new] = leases_.try_emplace({start.lease.run, start.lease.attempt});
  if (!is_new) return;  // repeated until it is listed
  world_.Trace("worker", id_.value(), " takes run ", start.lease.run.value(), " attempt ", start.lease.attempt,
               " fence ", start.lease.fence.value());
  Lease& lease = entry->second;
  lease.key = start.lease;
  lease.specification = granted.specification_json;
  lease.final_checkpoint = start.final_checkpoint;
  lease.taken_at = now();
  lease.phase_since = now();
  lease.heard_at = now();
  lease.resume_step = start.resume_step;
  lease.phase = start.resume_step ? Phase::kFetching : Phase::kWaiting;
  lease.asked_at = -absl::InfiniteDuration();
  lease.last_saved = start.resume_step.value_or(-1);
  wanted_ = true;
}

void Worker::Stop(const core::LeaseToStop& stop) {
  const auto found = leases_.find({stop.lease.run, stop.lease.attempt});
  // One for an older fence crossed a restoration.
  if (found == leases_.end() || stop.lease.fence < found->second.key.fence) return;
  if (stop.hand_back) return HandBack(found->second, "asked for");
  Drop(found->first, /*told=*/true);
}

void Worker::HandBack(Lease& lease, const char* reason) {
  if (lease.phase == Phase::kSaving || lease.phase == Phase::kEnded) return;
  core::Report::End end;
  end.end = core::AttemptEnd::kPreempted;
  end.reason = reason;
  if (lease.phase != Phase::kTraining || lease.step < 0) return End(lease, std::move(end));
  Save(lease);
  lease.end = std::move(end);
  lease.phase = Phase::kSaving;
  lease.phase_since = now();
}

void Worker::Drop(LeaseName name, bool told) {
  const auto found = leases_.find(name);
  world_.Trace("worker", id_.value(), told ? " drops run " : " forgets run ", name.first.value(), " attempt ",
               name.second);
  if (told && plan_.impudent) {
    dropped_.push_back(found->second.key);
    if (dropped_.size() > kMostRemembered) dropped_.erase(dropped_.begin());
  }
  leases_.erase(found);
  wanted_ = true;
}

}  // namespace seedbed::simulation
