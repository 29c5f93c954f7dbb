#include "bench/coordinator/lease_holder.h"

#include <algorithm>
#include <utility>

namespace seedbed::bench {

LeaseHolder::LeaseHolder(const CoordinatorProcess& coordinator, std::string id, int slots)
    : connection_(coordinator), id_(std::move(id)), slots_(slots) {}

LeaseHolder::~LeaseHolder() {
  Quit();
}

void LeaseHolder::Synchronize(OnAnswer on_answer) {
  v1::SynchronizeRequest request = FactsOf(id_, slots_);
  double began = 0;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (calling_ || quit_) return;
    calling_ = true;
    request.set_number(++number_);
    request.set_free_slots(slots_ - static_cast<int>(leases_.size()));
    for (const v1::LeaseKey& lease : leases_) {
      v1::HeldLease* held = request.add_leases();
      *held->mutable_lease() = lease;
      held->set_training(true);
    }
    began = Seconds();
  }
  SynchronizeCall::Start(&connection_, std::move(request),
                         [this, began, on_answer = std::move(on_answer)](const v1::SynchronizeResponse* response) {
                           OnSynchronized(response, began, on_answer);
                         });
}

void LeaseHolder::OnSynchronized(const v1::SynchronizeResponse* response, double began, const OnAnswer& on_answer) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (response == nullptr && !quit_) Check(absl::UnavailableError(id_ + "'s call failed"), "synchronise");
    if (response != nullptr) {
      last_answer_ = Seconds();
      latencies_.push_back(last_answer_ - began);
      for (const v1::LeaseToStart& start : response->start()) {
        const auto same = [&](const v1::LeaseKey& held) { return held.run_id() == start.lease().run_id(); };
        if (std::none_of(leases_.begin(), leases_.end(), same)) leases_.push_back(start.lease());
      }
      for (const v1::LeaseToStop& stop : response->stop()) {
        const auto same = [&](const v1::LeaseKey& held) { return held.run_id() == stop.lease().run_id(); };
        leases_.erase(std::remove_if(leases_.begin(), leases_.end(), same), leases_.end());
      }
    }
  }
  if (on_answer && response != nullptr) on_answer();
  const std::lock_guard<std::mutex> lock(mutex_);
  calling_ = false;
  changed_.notify_all();
}

void LeaseHolder::TakeAll() {
  while (true) {
    Synchronize(nullptr);
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return !calling_; });
    if (quit_ || static_cast<int>(leases_.size()) >= slots_) return;
  }
}

void LeaseHolder::Quit() {
  std::unique_lock<std::mutex> lock(mutex_);
  quit_ = true;
  changed_.wait(lock, [this] { return !calling_; });
}

std::vector<v1::LeaseKey> LeaseHolder::leases() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return leases_;
}

std::vector<double> LeaseHolder::TakeLatencies() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return std::exchange(latencies_, {});
}

double LeaseHolder::last_answer() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return last_answer_;
}

}  // namespace seedbed::bench
