#include "worker/agent/engine_slots.h"

#include <algorithm>
#include <utility>

#include "common/base/json.h"

namespace seedbed::agent {
namespace {

bool SameOffers(const std::vector<TrainerOffer>& a, const std::vector<TrainerOffer>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const TrainerOffer& x, const TrainerOffer& y) {
    return x.trainer == y.trainer && x.numerics_json == y.numerics_json && x.pack_parameters == y.pack_parameters;
  });
}

}  // namespace

EngineSlots::EngineSlots(int engines, int slots, std::vector<std::string> allowed)
    : engines_(static_cast<size_t>(engines)), slots_(slots), allowed_(std::move(allowed)) {}

bool EngineSlots::BecameReady(int engine, const EngineReady& info) {
  Engine& entry = engines_[Index(engine)];
  entry.ready = true;
  entry.capacity = info.capacity;
  entry.checkpoints = info.checkpoints;
  std::vector<TrainerOffer> offers;
  for (const std::string& trainer : info.trainers) {
    if (!allowed_.empty() && std::find(allowed_.begin(), allowed_.end(), trainer) == allowed_.end()) continue;
    offers.push_back({trainer, CanonicalJson(info.numerics), info.pack_parameters});
  }
  const bool changed = !SameOffers(offers, offers_) || device_ != info.device;
  offers_ = std::move(offers);
  device_ = info.device;
  return changed;
}

void EngineSlots::WentDown(int engine) {
  engines_[Index(engine)].ready = false;
}

int EngineSlots::RoomFor(const Engine& engine, const PackNeeds& needs) {
  if (!engine.ready) return 0;
  int most = engine.capacity;
  if (needs.limit > 0) most = std::min(most, needs.limit);
  for (const auto& [attempt, present] : engine.attempts) {
    if (present.key != needs.key) return 0;
    if (present.limit > 0) most = std::min(most, present.limit);
  }
  return std::max(0, most - static_cast<int>(engine.attempts.size()));
}

std::optional<int> EngineSlots::Choose(absl::Duration now, const PackNeeds& needs) const {
  if (taken() >= slots_) return std::nullopt;
  std::optional<int> best;
  int most_room = 0;
  bool best_has_company = false;
  for (size_t i = 0; i < engines_.size(); ++i) {
    const Engine& engine = engines_[i];
    const int room = RoomFor(engine, needs);
    const bool has_company = !engine.attempts.empty();
    if (engine.avoid_until > now || room == 0 || (best_has_company && !has_company)) continue;
    if (has_company == best_has_company && room <= most_room) continue;
    most_room = room;
    best_has_company = has_company;
    best = static_cast<int>(i);
  }
  return best;
}

bool EngineSlots::packs() const {
  return std::any_of(engines_.begin(), engines_.end(),
                     [](const Engine& engine) { return engine.ready && engine.capacity > 1; });
}

std::vector<EngineRoom> EngineSlots::Rooms(const std::vector<PackNeeds>& waiting) const {
  std::vector<EngineRoom> rooms;
  if (!packs()) return rooms;
  EngineSlots filled = *this;
  int64_t placed = 0;
  for (const PackNeeds& needs : waiting) {
    // An engine that is avoided for a moment will take it then.
    const std::optional<int> engine = filled.Choose(absl::InfiniteDuration(), needs);
    if (!engine) return rooms;
    filled.Take(*engine, AttemptId(--placed), needs);
  }
  for (const Engine& engine : filled.engines_) {
    if (!engine.ready) continue;
    EngineRoom room;
    room.occupied = static_cast<int>(engine.attempts.size());
    if (room.occupied > 0) room.pack_key = engine.attempts.begin()->second.key;
    room.free_slots = RoomFor(engine, {room.pack_key, 0});
    rooms.push_back(std::move(room));
  }
  return rooms;
}

int EngineSlots::known_capacity() const {
  int sum = 0;
  for (const Engine& engine : engines_) sum += engine.capacity;
  return std::min(sum, slots_);
}

void EngineSlots::Release(AttemptId attempt) {
  for (Engine& engine : engines_) engine.attempts.erase(attempt);
}

std::optional<absl::Duration> EngineSlots::AvoidedUntil(absl::Duration now) const {
  std::optional<absl::Duration> first;
  for (const Engine& engine : engines_) {
    if (engine.ready && engine.avoid_until > now && (!first || engine.avoid_until < *first)) first = engine.avoid_until;
  }
  return first;
}

int EngineSlots::capacity() const {
  int sum = 0;
  for (const Engine& engine : engines_) sum += engine.ready ? engine.capacity : 0;
  return std::min(sum, slots_);
}

int EngineSlots::taken() const {
  int sum = 0;
  for (const Engine& engine : engines_) sum += static_cast<int>(engine.attempts.size());
  return sum;
}

bool EngineSlots::any_ready() const {
  return std::any_of(engines_.begin(), engines_.end(), [](const Engine& engine) { return engine.ready; });
}

bool EngineSlots::Offers(const std::string& trainer) const {
  return std::any_of(offers_.begin(), offers_.end(),
                     [&](const TrainerOffer& offer) { return offer.trainer == trainer; });
}

}  // namespace seedbed::agent
