#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/json.h"
#include "common/schema/run_specification.h"
#include "worker/engine/session.h"

namespace seedbed::engine {

class PackedRun;

// A run that is asked for.
struct RunRequest {
  int64_t run = 0;
  RunSpecification specification;
  std::optional<std::string> resume;  // path of a checkpoint
  std::string directory;              // where its checkpoints go, named by their step
  std::string checkpoint_file;        // if not empty, where each of them goes instead
  bool final_checkpoint = false;      // write one at the last step, before `finished`
};

struct PackSettings {
  int capacity = 1;  // runs at once
  Json numerics;     // the fingerprint, for checkpoints
  LearnerFactory make_learner = MakeLearner;
  // How long a run is trained before the next has its turn; with 0 each makes one step.
  std::chrono::milliseconds turn = std::chrono::milliseconds(50);
  // The runs are replicas of one stacked learner: they share memory, the turns are of one step, and one that finds no
  // memory takes all with it. `capacity` replicas are there however many runs there are.
  bool is_stacked = false;
  bool on_gpu = false;
  // With is_stacked: called when all have failed for memory, to make the next pack smaller.
  std::function<void()> shrink;
  // The time by which turns end and messages are due; tests have one of their own.
  std::function<std::chrono::steady_clock::time_point()> now = std::chrono::steady_clock::now;
};

// The runs that an engine trains at once, in turn, on one thread, and what it says of them in protocol messages. None
// can tell whether others are there, and one that fails, whatever it throws, ends alone (but see is_stacked). Stays on
// the thread that made it. Throws nothing.
class Pack {
 public:
  using Send = std::function<void(std::string)>;  // takes a message

  Pack(PackSettings settings, Send send);
  ~Pack();
  Pack(const Pack&) = delete;
  Pack& operator=(const Pack&) = delete;

  // Takes the run into a free place; it is built at its first turn. Without one it is answered `failed`. Every run is
  // answered by exactly one of `finished`, `stopped` and `failed`, sent when its place is free again.
  void Start(RunRequest request);
  // These two do nothing for a run that is not in the pack: it may have just ended.
  void Checkpoint(int64_t run);
  void Stop(int64_t run, bool checkpoint);
  void StopAll(bool checkpoint);

  // Gives the next run its turn. Metrics are sent in batches, all of them before the run's last message and before a
  // checkpoint; `alive` or `busy` for every run, as the protocol wants.
  void Advance();
  bool is_empty() const { return runs_.empty(); }

  // From now on there are so many places, and this is the fingerprint. Runs beyond them that are not built yet are
  // handed back, as out of memory in a pack of twice the capacity. May be called while a run is being built.
  void SetCapacity(int capacity, Json numerics);

 private:
  PackedRun* Find(int64_t run);
  std::string NoPlace(int64_t run) const;
  void HandBackWhatHasNoPlace();
  void EndAllForMemory(std::string first_message);
  // Why the run cannot be built, if the runs that are built leave it too little memory.
  absl::Status CheckMemory(const PackedRun& run) const;
  void SayThatAllLive();
  // Nothing unless it is long.
  void SayThatAllAreBusy(double seconds, const std::string& reason);

  PackSettings settings_;
  const Send send_;
  std::vector<std::unique_ptr<PackedRun>> runs_;  // in the order in which they came
  size_t next_ = 0;                               // whose turn it is
};

}  // namespace seedbed::engine
