#include "worker/agent/synchronizer.h"

#include <algorithm>

namespace seedbed::agent {

std::optional<absl::Duration> Synchronizer::DueAt() const {
  if (under_way_.size() >= 2) return std::nullopt;
  if (wanted_) return std::max(last_begun_ + kLeastInterval, not_before_);
  if (!under_way_.empty() || next_call_ == absl::InfiniteDuration()) return std::nullopt;
  return std::max(next_call_, not_before_);
}

int64_t Synchronizer::Begin(absl::Duration now) {
  wanted_ = false;
  last_begun_ = now;
  next_call_ = absl::InfiniteDuration();
  under_way_.insert({++last_number_, now});
  return last_number_;
}

bool Synchronizer::Answered(int64_t number, absl::Duration next_call_after, absl::Duration lease_duration,
                            absl::Duration now) {
  const auto call = under_way_.find(Call{number, {}});
  if (call == under_way_.end()) return false;
  const absl::Duration begun = call->begun;
  under_way_.erase(call);
  if (number < answered_number_) return false;
  answered_number_ = number;
  ever_answered_ = true;
  renewed_at_ = begun;
  backoff_.Reset();
  not_before_ = -absl::InfiniteDuration();
  if (lease_duration > absl::ZeroDuration()) lease_duration_ = lease_duration;
  next_call_ = now + std::max(next_call_after, kLeastInterval);
  return true;
}

bool Synchronizer::Failed(int64_t number, absl::Duration now) {
  const auto call = under_way_.find(Call{number, {}});
  if (call == under_way_.end()) return false;
  under_way_.erase(call);
  if (number != last_number_) return false;
  not_before_ = now + backoff_.Next();
  next_call_ = not_before_;
  return true;
}

bool Synchronizer::LeasesInDoubt(absl::Duration now) const {
  return now - renewed_at_ >= lease_duration_;
}

}  // namespace seedbed::agent
