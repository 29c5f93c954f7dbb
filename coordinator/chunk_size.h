#pragma once

#include <cstdint>

#include "absl/time/time.h"

namespace seedbed {

// How many runs the next commit of a long change takes. Others wait for a chunk that is under way, so each should take
// a tenth of a second or two; but where a commit takes longer whatever it holds (a slow disk, a busy coordinator),
// small chunks only make more of them.
class ChunkSize {
 public:
  // Both at least 1.
  ChunkSize(int64_t first, int64_t most);

  int64_t runs() const { return runs_; }
  // A chunk of runs() took so long, until it was durable.
  void Took(absl::Duration time);

 private:
  const int64_t most_;
  int64_t runs_;
  // Of the chunk before; 0: there was none.
  int64_t previous_runs_ = 0;
  double previous_rate_ = 0;  // runs per second
};

}  // namespace seedbed
