#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "tests/simulation/event_queue.h"

namespace seedbed::simulation {

// What went on, so that tests can see that a fault was not only possible but happened.
struct Tally {
  int64_t events = 0;  // of the queue
  int64_t commits = 0;
  int64_t failed_commits = 0;
  int64_t decided_ahead = 0;  // commits that more was decided upon before they had ended
  int64_t coordinator_crashes = 0;
  int64_t grants = 0;
  int64_t resumed = 0;  // of these, from a checkpoint
  int64_t lost = 0;
  int64_t restored = 0;
  int64_t ended_badly = 0;
  int64_t finished = 0;
  int64_t acknowledged = 0;
  int64_t acknowledged_again = 0;
  int64_t refused = 0;
  int64_t gaps = 0;

  void Add(const Tally& other) {
    events += other.events;
    commits += other.commits;
    failed_commits += other.failed_commits;
    decided_ahead += other.decided_ahead;
    coordinator_crashes += other.coordinator_crashes;
    grants += other.grants;
    resumed += other.resumed;
    lost += other.lost;
    restored += other.restored;
    ended_badly += other.ended_badly;
    finished += other.finished;
    acknowledged += other.acknowledged;
    acknowledged_again += other.acknowledged_again;
    refused += other.refused;
    gaps += other.gaps;
  }
};

// What the parts of one simulation share.
class World {
 public:
  explicit World(bool traced) : traced_(traced) {}
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  EventQueue queue;
  Tally tally;

  // The first thing that was found wrong; the simulation stops at it.
  void Fail(std::string what) {
    Trace("VIOLATION", what);
    if (problem_.empty()) problem_ = absl::StrCat("at ", absl::FormatDuration(queue.now()), ": ", what);
  }
  template <typename... Parts>
  void Expect(bool holds, const Parts&... what) {
    if (!holds) Fail(absl::StrCat(what...));
  }
  bool failed() const { return !problem_.empty(); }
  const std::string& problem() const { return problem_; }

  template <typename... Parts>
  void Trace(const char* who, const Parts&... what) const {
    if (!traced_) return;
    std::printf("%10.4f  %-12s %s\n", absl::ToDoubleSeconds(queue.now()), who, absl::StrCat(what...).c_str());
  }
  bool traced() const { return traced_; }

  // Two simulations of one seed come to the same fingerprint.
  void Mix(uint64_t value) { fingerprint_ = (fingerprint_ ^ value) * 0x9E3779B97F4A7C15u + (fingerprint_ >> 29); }
  uint64_t fingerprint() const { return fingerprint_; }

 private:
  const bool traced_;
  std::string problem_;
  uint64_t fingerprint_ = 1;
};

}  // namespace seedbed::simulation
