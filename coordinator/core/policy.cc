#include "coordinator/core/policy.h"

#include <algorithm>
#include <limits>
#include <map>

namespace seedbed::core {
namespace {

// Draws runs in the policy's order from a snapshot, counting its own draws as running.
class Picker {
 public:
  Picker(const State& state, const std::vector<TrainerOffer>& trainers, const std::vector<RunId>& already_running,
         const std::function<bool(const Run&)>& suits)
      : state_(state), suits_(suits) {
    for (const TrainerOffer& offer : trainers) {
      if (!trainers_.insert(offer.trainer).second) continue;
      const auto& ready = state.ready(offer.trainer);
      sources_.push_back({ready.begin(), ready.end()});
    }
    for (const RunId id : already_running) {
      const Run* run = state.FindRun(id);
      if (run == nullptr) continue;
      Draw& draw = Touch(*state.FindSweep(run->sweep));
      taken_.insert(id);
      CountOne(draw);
    }
  }

  // The best sweep that has a run left; nullptr if none has.
  const SweepEntry* Best() {
    for (;;) {
      BringInBetterSource();
      if (order_.empty()) return nullptr;
      Draw& draw = draws_.at(order_.begin()->sweep);
      while (draw.next != draw.sweep->queue.end() && (taken_.count(draw.next->run) > 0 || !Suits(draw.next->run))) {
        ++draw.next;
      }
      if (draw.next != draw.sweep->queue.end()) return draw.sweep;
      Retire(draw);
    }
  }

  RunId TakeNext(const SweepEntry& sweep) {
    Draw& draw = draws_.at(sweep.id);
    const RunId run = draw.next->run;
    taken_.insert(run);
    CountOne(draw);
    return run;
  }

  // Takes up to `most` runs of one pack key, in an engine that has `occupied` already and may have `capacity`. Sweeps
  // whose priority is below `least_priority` get nothing.
  void TakeCompatible(const Digest& pack_key, int most, int occupied, int capacity, int64_t least_priority,
                      std::vector<RunId>* runs) {
    if (most <= 0 || occupied >= capacity) return;
    std::vector<SweepRank> candidates;
    for (auto it = state_.sweeps_by_pack().lower_bound({pack_key, SweepId()});
         it != state_.sweeps_by_pack().end() && it->first == pack_key; ++it) {
      const SweepEntry& sweep = *state_.FindSweep(it->second);
      if (!sweep.rank || trainers_.count(sweep.trainer) == 0 || sweep.priority < least_priority) continue;
      candidates.push_back(Touch(sweep).rank);
    }
    std::sort(candidates.begin(), candidates.end());
    for (const SweepRank& rank : candidates) {
      Draw& draw = draws_.at(rank.sweep);
      const QueuePosition first{std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::min(), RunId()};
      for (auto it = draw.sweep->queue_by_pack.lower_bound({pack_key, first});
           it != draw.sweep->queue_by_pack.end() && it->first == pack_key; ++it) {
        if (most == 0 || occupied == capacity) return;
        if (!HasRoom(draw)) break;
        const RunId id = it->second.run;
        const int limit = state_.FindRun(id)->pack_limit;
        if (taken_.count(id) > 0 || (limit > 0 && occupied + 1 > limit) || !Suits(id)) continue;
        if (limit > 0) capacity = std::min(capacity, limit);
        taken_.insert(id);
        CountOne(draw);
        runs->push_back(id);
        --most;
        ++occupied;
      }
    }
  }

 private:
  struct Draw {
    const SweepEntry* sweep = nullptr;
    SweepRank rank;
    bool waiting = false;  // stands in order_
    absl::btree_set<QueuePosition>::const_iterator next;
  };
  struct Source {
    absl::btree_set<SweepRank>::const_iterator next;
    absl::btree_set<SweepRank>::const_iterator end;
  };

  static bool HasRoom(const Draw& draw) {
    return !draw.sweep->max_concurrent || draw.rank.running < *draw.sweep->max_concurrent;
  }

  Draw& Touch(const SweepEntry& sweep) {
    const auto [place, is_new] = draws_.try_emplace(sweep.id);
    Draw& draw = place->second;
    if (is_new) {
      draw.sweep = &sweep;
      draw.rank = {sweep.priority, sweep.counts.running, sweep.id};
      draw.next = sweep.queue.begin();
      draw.waiting = sweep.rank.has_value();
      if (draw.waiting) order_.insert(draw.rank);
    }
    return draw;
  }

  bool Suits(RunId id) const { return !suits_ || suits_(*state_.FindRun(id)); }

  void Retire(Draw& draw) {
    order_.erase(draw.rank);
    draw.waiting = false;
  }

  void CountOne(Draw& draw) {
    const bool waiting = draw.waiting;
    if (waiting) Retire(draw);
    ++draw.rank.running;
    if (waiting && HasRoom(draw)) {
      draw.waiting = true;
      order_.insert(draw.rank);
    }
  }

  // Sweeps nothing was drawn from stand in the state's own order: only the first of them can be the best.
  void BringInBetterSource() {
    const Source* best = nullptr;
    for (Source& source : sources_) {
      while (source.next != source.end && draws_.count(source.next->sweep) > 0) ++source.next;
      if (source.next != source.end && (best == nullptr || *source.next < *best->next)) best = &source;
    }
    if (best != nullptr && (order_.empty() || *best->next < *order_.begin()))
      Touch(*state_.FindSweep(best->next->sweep));
  }

  const State& state_;
  const std::function<bool(const Run&)>& suits_;
  std::set<std::string> trainers_;
  std::vector<Source> sources_;
  std::map<SweepId, Draw> draws_;  // sweeps that were drawn from or looked at
  std::set<SweepRank> order_;      // those of them that may give another run
  absl::flat_hash_set<RunId> taken_;
};

}  // namespace

bool HasWork(const State& state, const std::vector<TrainerOffer>& trainers) {
  return std::any_of(trainers.begin(), trainers.end(),
                     [&](const TrainerOffer& offer) { return !state.ready(offer.trainer).empty(); });
}

std::vector<RunId> PickRuns(const State& state, const std::vector<TrainerOffer>& trainers,
                            const std::vector<EngineRoom>& engines, int most, const std::vector<RunId>& already_running,
                            const std::function<bool(const Run&)>& suits) {
  Picker picker(state, trainers, already_running, suits);
  std::vector<RunId> runs;
  const auto left = [&] { return most - static_cast<int>(runs.size()); };
  for (const EngineRoom& engine : engines) {
    const int room = std::min(engine.free_slots, left());
    if (room <= 0) continue;
    const int capacity = engine.occupied + engine.free_slots;
    const SweepEntry* best = picker.Best();
    if (engine.pack_key) {
      // An engine with a pack is left to run empty when something more urgent waits that it cannot take.
      const int64_t least = best == nullptr ? std::numeric_limits<int64_t>::min() : best->priority;
      picker.TakeCompatible(*engine.pack_key, room, engine.occupied, capacity, least, &runs);
      continue;
    }
    if (best == nullptr) continue;
    const Run& first = *state.FindRun(picker.TakeNext(*best));
    runs.push_back(first.id);
    const int limit = first.pack_limit > 0 ? std::min<int>(first.pack_limit, capacity) : capacity;
    picker.TakeCompatible(state.FindConfiguration(first.configuration)->pack_key, room - 1, engine.occupied + 1, limit,
                          std::numeric_limits<int64_t>::min(), &runs);
  }
  return runs;
}

}  // namespace seedbed::core
