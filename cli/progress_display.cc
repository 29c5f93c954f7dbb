#include "cli/progress_display.h"

#include "absl/strings/str_cat.h"
#include "cli/render/format.h"
#include "cli/render/proto_json.h"
#include "cli/render/text_width.h"

namespace seedbed::cli {
namespace {

constexpr absl::Duration kPlainInterval = absl::Seconds(10);
constexpr int kMostEndedLines = 20;  // of one message; thousands of short runs would only scroll by

}  // namespace

ProgressDisplay::ProgressDisplay(Output& output, const Style& style, Mode mode, absl::Time now)
    : output_(output), style_(style), mode_(mode), started_(now), last_line_(absl::InfinitePast()) {}

void ProgressDisplay::Update(const v1::ProgressResponse& progress, absl::Time now) {
  state_.Update(progress);
  heard_ = true;
  changed_since_line_ = true;
  if (mode_ == Mode::kLive) {
    Draw(now);
    return;
  }
  if (mode_ == Mode::kJsonLines) {
    output_.Write(Dump(ToJson(progress)) + "\n");
    output_.Flush();
    return;
  }
  int printed = 0;
  for (const v1::FinishedRun& run : progress.ended()) {
    if (++printed > kMostEndedLines) {
      output_.Write(
          absl::StrCat("and ", FormatPlural(progress.ended_size() - kMostEndedLines, "run"), " more ended\n"));
      break;
    }
    output_.Write(RenderEndedRun(run, progress.sweeps_size() > 1, Style{}) + "\n");
  }
  Tick(now);
  output_.Flush();
}

void ProgressDisplay::Tick(absl::Time now) {
  if (!heard_) return;
  if (mode_ == Mode::kLive) {
    Draw(now);
  } else if (mode_ == Mode::kPlain && changed_since_line_ && now - last_line_ >= kPlainInterval) {
    last_line_ = now;
    changed_since_line_ = false;
    output_.Write(RenderPlainStatus(state_.latest()) + "\n");
    output_.Flush();
  }
}

void ProgressDisplay::SetNote(const std::string& note, absl::Time now) {
  if (note == note_) return;
  note_ = note;
  if (mode_ == Mode::kLive) {
    Draw(now);
  } else if (mode_ == Mode::kPlain && !note.empty()) {
    output_.Write(Printable(note) + "\n");
    output_.Flush();
  }
}

void ProgressDisplay::Finish(absl::Time now) {
  if (mode_ == Mode::kLive && heard_) Draw(now);
  drawn_lines_ = 0;
}

void ProgressDisplay::Draw(absl::Time now) {
  const std::vector<std::string> lines = RenderLiveBlock(state_, absl::ToDoubleSeconds(now - started_), note_, style_);
  std::string text;
  if (drawn_lines_ > 0) absl::StrAppend(&text, "\x1b[", drawn_lines_, "A");
  // Each line is cleared behind its text rather than before it, so that the block does not flicker.
  for (const std::string& line : lines) absl::StrAppend(&text, "\r", line, "\x1b[K\n");
  text += "\x1b[J";
  drawn_lines_ = static_cast<int>(lines.size());
  output_.Write(text);
  output_.Flush();
}

}  // namespace seedbed::cli
