#pragma once

#include <deque>
#include <string>
#include <vector>

#include "cli/render/style.h"
#include "seedbed/v1/sweep_service.pb.h"

// What `run` and `watch` show while runs train: pure functions from what the coordinator said to lines of text.
namespace seedbed::cli {

// What is known now. Not thread-safe.
class ProgressState {
 public:
  void Update(const v1::ProgressResponse& progress);
  const v1::ProgressResponse& latest() const { return latest_; }
  const std::deque<v1::FinishedRun>& recent() const { return recent_; }  // oldest first, at most kMostRecent

  static constexpr size_t kMostRecent = 5;

 private:
  v1::ProgressResponse latest_;
  std::deque<v1::FinishedRun> recent_;
};

// Sums over the sweeps.
struct ProgressTotals {
  int64_t runs = 0, ended = 0, failed = 0, cancelled = 0, running = 0, queued = 0;
};
ProgressTotals Totals(const v1::ProgressResponse& progress);

// The live block, without line ends; no line is wider than style.width (80 if that is 0). `elapsed_seconds`: since
// watching began. `note`, if not empty, is one more line, e.g. "stopping…".
std::vector<std::string> RenderLiveBlock(const ProgressState& state, double elapsed_seconds, const std::string& note,
                                         const Style& style);

// One plain line on the whole, for output that is no terminal: "goldilocks: 12 of 36 runs done, 2 running, 22 queued,
// …".
std::string RenderPlainStatus(const v1::ProgressResponse& progress);

// One line on one ended run: "run 17 grokked (weight_decay=0.3, seed 1), 3,450 steps".
std::string RenderEndedRun(const v1::FinishedRun& run, bool name_sweep, const Style& style);

}  // namespace seedbed::cli
