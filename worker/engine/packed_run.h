#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "worker/engine/measures.h"
#include "worker/engine/pack.h"
#include "worker/engine/session.h"

namespace seedbed::engine {

// Private to Pack: one of its runs, from being asked for to its last message. Methods return that message where they
// may end the run; it is then of no further use. None throws.
class PackedRun {
 public:
  using SteadyClock = std::chrono::steady_clock;

  // Called when so many seconds may pass on the pack's thread before anything more is said.
  using Announce = std::function<void(double seconds, const std::string& reason)>;

  PackedRun(RunRequest request, const PackSettings& settings, const Pack::Send& send, Announce announce);

  int64_t run() const { return request_.run; }
  const RunSpecification& specification() const { return request_.specification; }
  bool is_built() const { return session_ != nullptr; }
  // About how much memory it takes, and about how long it takes at most until it is built, or read
  // from its checkpoint; 0 if the parameters are wrong.
  double needed_bytes() const { return needed_bytes_; }
  double build_seconds() const { return full_step_seconds_ + (request_.resume ? checkpoint_seconds_ : 0); }
  double step_seconds() const { return step_seconds_; }  // of the last step

  void WantCheckpoint() { wants_checkpoint_ = true; }
  void WantStop(bool checkpoint);
  // Whether it is to end before anything is built for it. A run that is resumed is built first: where it stands is not
  // known before.
  bool EndsUnbuilt() const { return wants_stop_ && !is_built() && !request_.resume; }

  std::optional<std::string> Build();
  // Trains until it ends or `until` is reached, at least one step.
  std::optional<std::string> Train(SteadyClock::time_point until);
  std::string Stopped();
  std::string Failed(const absl::Status& status);
  // Whether Failed was for lack of memory.
  bool has_lacked_memory() const { return has_lacked_memory_; }

  // Sends rows that have waited long enough, and whether it was long ago that anything was said of the run.
  bool SendWhatIsDue(SteadyClock::time_point now);
  void SayAlive(SteadyClock::time_point now);
  void SayBusy(double seconds, const std::string& reason, SteadyClock::time_point now);

 private:
  void Flush(SteadyClock::time_point now);
  void Say(std::string message, SteadyClock::time_point now);
  std::optional<std::string> MeasureIfDue();
  void WriteCheckpoint();
  template <typename F>
  std::optional<std::string> Guarded(F train);

  const RunRequest request_;
  const PackSettings& settings_;
  const Pack::Send& send_;
  const Announce announce_;
  double needed_bytes_ = 0;
  double full_step_seconds_ = 0;   // about what a step with all measures takes at most
  double checkpoint_seconds_ = 0;  // about what its checkpoints take at most on a slow disk
  double save_seconds_ = 0;        // what the last one took
  std::unique_ptr<Session> session_;
  int64_t last_step_ = 0;  // the last that was measured
  bool wants_checkpoint_ = false;
  bool wants_stop_ = false;
  bool has_lacked_memory_ = false;
  std::vector<MetricRow> rows_;  // not sent yet
  SteadyClock::time_point last_batch_, last_said_;
  double step_seconds_ = 0;
};

}  // namespace seedbed::engine
