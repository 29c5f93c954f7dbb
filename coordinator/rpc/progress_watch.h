#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "coordinator/coordinator.h"
#include "seedbed/v1/sweep_service.pb.h"

namespace seedbed {

// What one watcher has been told so far. Not thread-safe; blocks on reads.
class ProgressWatch {
 public:
  // `selector`: see selector.h; empty: all sweeps, later ones too. `coordinator` outlives this.
  ProgressWatch(Coordinator* coordinator, std::string selector)
      : coordinator_(coordinator), selector_(std::move(selector)) {}

  // Fills `response` with how things stand, and with the runs that ended since the last call that did so. `*changed`
  // is false if nothing did; then the response says nothing new.
  absl::Status Look(v1::ProgressResponse* response, bool* changed);

 private:
  absl::Status Resolve();
  void FillLive(LiveView view, v1::ProgressResponse* response);
  absl::Status FillFromDatabase(v1::ProgressResponse* response);
  void AddDescriptions(v1::ProgressResponse* response);
  void AddVariedParameters(v1::ProgressResponse* response);

  // What only the database has of a sweep; it changes with a submission alone.
  struct Description {
    std::string submission_id;
    std::string text;
    int64_t created_at = 0;
  };

  Coordinator* const coordinator_;
  const std::string selector_;
  std::optional<std::set<SweepId>> sweeps_;  // none: all
  bool resolved_ = false;
  std::map<SweepId, Description> descriptions_;
  std::map<SweepId, std::string> undescribed_;  // their submission ids
  std::optional<int64_t> last_ended_number_;
  int64_t last_revision_ = -1;
  double last_speed_ = -1;
};

}  // namespace seedbed
