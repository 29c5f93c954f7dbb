#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cli/output.h"
#include "cli/render/progress.h"
#include "cli/render/style.h"

namespace seedbed::cli {

// Progress on an output as it comes: one block redrawn in place on a terminal, plain lines elsewhere (each ended run,
// and the whole every ten seconds). Times are the caller's. Not thread-safe.
class ProgressDisplay {
 public:
  enum class Mode { kLive, kPlain, kJsonLines };
  ProgressDisplay(Output& output, const Style& style, Mode mode, absl::Time now);

  void Update(const v1::ProgressResponse& progress, absl::Time now);
  // Call a few times a second: redraws the block (the time that passed), or prints the line that is due.
  void Tick(absl::Time now);
  // A line on the whole that stays, e.g. "interrupted: stopping". Empty: none.
  void SetNote(const std::string& note, absl::Time now);
  // Leaves a live block as it stands, with the cursor below it.
  void Finish(absl::Time now);
  void set_width(int width) { style_.width = width; }

 private:
  void Draw(absl::Time now);

  Output& output_;
  Style style_;
  const Mode mode_;
  const absl::Time started_;
  absl::Time last_line_;
  ProgressState state_;
  bool heard_ = false;
  bool changed_since_line_ = false;
  std::string note_;
  int drawn_lines_ = 0;
};

}  // namespace seedbed::cli
