// What the coordinator is told of this worker, and what it answers.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/agent/agent.h"

namespace seedbed::agent {

void Agent::Synchronize(bool goodbye, absl::Duration now) {
  SynchronizeRequest request;
  request.worker = options_.worker;
  request.name = options_.name;
  request.host = options_.host;
  request.device = engines_.device();
  request.version = options_.version;
  request.slots = options_.slots_by_engine ? engines_.known_capacity() : options_.slots;
  request.free_slots = goodbye ? 0 : FreeSlots();
  if (request.free_slots > 0) request.engines = engines_.Rooms(NeedsOfWaiting());
  request.number = synchronizer_.Begin(now);
  request.trainers = engines_.offers();
  for (const auto& [name, lease] : leases_) {
    const bool training = lease.phase == LeasePhase::kTraining || lease.phase == LeasePhase::kStopping;
    request.leases.push_back({lease.key, lease.step, training});
  }
  request.goodbye = goodbye;
  request.database_id = database_id_;
  if (!synchronizer_.ever_answered()) first_request_ = request;
  if (goodbye) goodbye_number_ = request.number;
  link_->Synchronize(std::move(request), synchronizer_.timeout());
}

int Agent::FreeSlots() const {
  const int capacity = engines_.capacity();
  if (Closing() || worker_state_ == WorkerState::kDraining || worker_state_ == WorkerState::kQuarantined ||
      capacity == 0) {
    return 0;
  }
  int fetching = 0;
  for (const auto& [name, lease] : leases_) fetching += lease.phase == LeasePhase::kFetching ? 1 : 0;
  if (engines_.packs()) {
    int room = 0;
    for (const EngineRoom& engine : engines_.Rooms(NeedsOfWaiting())) room += engine.free_slots;
    return std::min(room, std::max(0, capacity - engines_.taken() - static_cast<int>(waiting_.size()) - fetching));
  }
  const int prefetch = typical_run_ && *typical_run_ < options_.short_run ? options_.most_prefetch : 0;
  return std::max(0, capacity + prefetch - engines_.taken() - static_cast<int>(waiting_.size()) - fetching);
}

std::vector<PackNeeds> Agent::NeedsOfWaiting() const {
  std::vector<PackNeeds> needs;
  for (const auto& [name, lease] : leases_) {
    if (lease.phase == LeasePhase::kWaiting || lease.phase == LeasePhase::kFetching) {
      needs.push_back({lease.pack_key, lease.pack_limit});
    }
  }
  return needs;
}

void Agent::OnAnswer(const SynchronizeAnswer& answer, absl::Duration now) {
  AdoptDatabase(answer.database_id);
  if (answer.state != worker_state_) {
    if (answer.state == WorkerState::kDraining) observer_->Info("draining: finishing what is held, taking nothing new");
    if (answer.state == WorkerState::kQuarantined) {
      observer_->Warning(
          "quarantined by the coordinator after several crashed runs in a row: taking nothing new until an operator "
          "resumes "
          "this worker");
    }
    worker_state_ = answer.state;
    synchronizer_.Want();
  }
  for (const LeaseKey& key : answer.restored) {
    const auto found = leases_.find(NameOf(key));
    if (found == leases_.end() || key.fence <= found->second.key.fence) continue;
    observer_->Info(absl::StrCat("run ", key.run.value(), " attempt ", key.attempt, ": its lease was restored"));
    found->second.key.fence = key.fence;
    found->second.reports.RewindAll();
  }
  for (const LeaseKey& key : answer.checkpoint) CheckpointNow(key, now);
  for (const LeaseToStop& stop : answer.stop) Stop(stop, now);
  for (const LeaseToStart& start : answer.start) Grant(start, now);
}

void Agent::AdoptDatabase(const std::string& database_id) {
  if (database_id.empty() || database_id == database_id_) return;
  if (!database_id_.empty()) {
    while (!leases_.empty()) Drop(leases_.begin()->first, "the coordinator now has another database");
    // What is still answered on it is the former one's, whose leases may have had the names of new ones.
    stream_open_ = false;
  }
  database_id_ = database_id;
}

}  // namespace seedbed::agent
