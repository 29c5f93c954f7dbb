#include "cli/render/progress.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/render/format.h"
#include "cli/render/proto_json.h"
#include "cli/render/text_width.h"

namespace seedbed::cli {
namespace {

constexpr int kMostSweepLines = 6;
constexpr int kWidestBar = 40;
constexpr int kNarrowestBar = 8;
constexpr int kWidestName = 24;

// A bar of `width` columns: ended runs full, running ones half.
std::string Bar(const v1::RunCounts& counts, int width, const Style& style) {
  const int64_t total = std::max<int64_t>(1, TotalRuns(counts));
  const int ended = static_cast<int>(EndedRuns(counts) * width / total);
  // Rounded up, so that a single run of thousands shows.
  int running = static_cast<int>((counts.running() * width + total - 1) / total);
  running = std::min(running, width - ended);
  std::string full, half, empty;
  for (int i = 0; i < ended; ++i) full += "━";
  for (int i = 0; i < running; ++i) half += "╸";
  for (int i = ended + running; i < width; ++i) empty += "─";
  return absl::StrCat(Paint(style, counts.failed() > 0 ? Color::kYellow : Color::kGreen, full),
                      Paint(style, Color::kCyan, half), Paint(style, Color::kDim, empty));
}

std::string CountsText(const v1::RunCounts& counts) {
  std::string text = absl::StrCat(FormatCount(EndedRuns(counts)), "/", FormatCount(TotalRuns(counts)), " runs");
  if (counts.running() > 0) absl::StrAppend(&text, "  ", FormatCount(counts.running()), " running");
  if (counts.queued() > 0) absl::StrAppend(&text, "  ", FormatCount(counts.queued()), " queued");
  if (counts.failed() > 0) absl::StrAppend(&text, "  ", FormatCount(counts.failed()), " failed");
  if (counts.cancelled() > 0) absl::StrAppend(&text, "  ", FormatCount(counts.cancelled()), " cancelled");
  return text;
}

std::string SweepLine(const v1::SweepSummary& sweep, int name_width, int width, const Style& style) {
  const std::string name = PadRight(Truncate(Printable(sweep.name()), name_width), name_width);
  std::string counts = CountsText(sweep.runs());
  if (sweep.state() == v1::SWEEP_STATE_PAUSED) counts += "  paused";
  const int room = width - name_width - DisplayWidth(counts) - 4;
  if (room < kNarrowestBar) {
    return absl::StrCat(Paint(style, Color::kBold, name), "  ", Truncate(counts, width - name_width - 2));
  }
  return absl::StrCat(Paint(style, Color::kBold, name), "  ", Bar(sweep.runs(), std::min(room, kWidestBar), style),
                      "  ", counts);
}

// "1,200 steps/s"; empty where nothing is known of the speed: nothing runs, or it began just now.
std::string RateText(const v1::ProgressResponse& progress) {
  if (Totals(progress).running == 0 || progress.steps_per_second() <= 0) return "";
  return FormatRate(progress.steps_per_second()) + " steps/s";
}

std::string RateLine(const v1::ProgressResponse& progress, double elapsed_seconds) {
  std::vector<std::string> parts;
  const ProgressTotals totals = Totals(progress);
  if (std::string rate = RateText(progress); !rate.empty()) parts.push_back(std::move(rate));
  if (progress.has_seconds_left() && totals.ended < totals.runs) {
    parts.push_back(absl::StrCat("about ", FormatDuration(progress.seconds_left()), " left"));
  }
  parts.push_back(absl::StrCat(FormatDuration(elapsed_seconds), " so far"));
  parts.push_back(FormatPlural(progress.active_workers(), "worker"));
  return absl::StrJoin(parts, " · ");
}

}  // namespace

void ProgressState::Update(const v1::ProgressResponse& progress) {
  for (const v1::FinishedRun& run : progress.ended()) {
    recent_.push_back(run);
    if (recent_.size() > kMostRecent) recent_.pop_front();
  }
  latest_ = progress;
}

ProgressTotals Totals(const v1::ProgressResponse& progress) {
  ProgressTotals totals;
  for (const v1::SweepSummary& sweep : progress.sweeps()) {
    totals.runs += TotalRuns(sweep.runs());
    totals.ended += EndedRuns(sweep.runs());
    totals.failed += sweep.runs().failed();
    totals.cancelled += sweep.runs().cancelled();
    totals.running += sweep.runs().running();
    totals.queued += sweep.runs().queued();
  }
  return totals;
}

std::vector<std::string> RenderLiveBlock(const ProgressState& state, double elapsed_seconds, const std::string& note,
                                         const Style& style) {
  const int width = style.width > 0 ? style.width : 80;
  const v1::ProgressResponse& progress = state.latest();
  std::vector<std::string> lines;
  int name_width = 4;
  for (const v1::SweepSummary& sweep : progress.sweeps()) {
    name_width = std::max(name_width, std::min(kWidestName, DisplayWidth(Printable(sweep.name()))));
  }
  name_width = std::min(name_width, std::max(4, width / 3));
  // Sweeps with something left to do come first: they are why somebody watches.
  std::vector<const v1::SweepSummary*> sweeps;
  for (const v1::SweepSummary& sweep : progress.sweeps()) sweeps.push_back(&sweep);
  std::stable_partition(sweeps.begin(), sweeps.end(), [](const v1::SweepSummary* sweep) {
    return EndedRuns(sweep->runs()) < TotalRuns(sweep->runs());
  });
  const int shown = std::min<int>(kMostSweepLines, static_cast<int>(sweeps.size()));
  for (int i = 0; i < shown; ++i) lines.push_back(SweepLine(*sweeps[i], name_width, width, style));
  const int64_t hidden = static_cast<int64_t>(sweeps.size()) - shown;
  if (hidden > 0) lines.push_back(Truncate(absl::StrCat("and ", FormatPlural(hidden, "sweep"), " more"), width));
  if (sweeps.empty()) lines.push_back(Truncate("no sweeps yet", width));
  lines.push_back(Paint(style, Color::kDim, Truncate(RateLine(progress, elapsed_seconds), width)));
  for (const v1::FinishedRun& run : state.recent()) {
    // Cut before it is painted: a cut escape sequence would colour the rest of the screen.
    const std::string line = "  " + RenderEndedRun(run, progress.sweeps_size() > 1, Style{});
    const Color color =
        run.state() == v1::RUN_STATE_FINISHED ? ColorOfOutcome(run.outcome()) : ColorOfState(StateName(run.state()));
    lines.push_back(Paint(style, color, Truncate(line, width)));
  }
  if (!note.empty()) lines.push_back(Paint(style, Color::kYellow, Truncate(Printable(note), width)));
  return lines;
}

std::string RenderPlainStatus(const v1::ProgressResponse& progress) {
  const ProgressTotals totals = Totals(progress);
  std::string line;
  if (progress.sweeps_size() == 1) line = Printable(progress.sweeps(0).name()) + ": ";
  absl::StrAppend(&line, FormatCount(totals.ended), " of ", FormatPlural(totals.runs, "run"), " done");
  if (totals.failed > 0) absl::StrAppend(&line, " (", FormatCount(totals.failed), " failed)");
  if (totals.running > 0) absl::StrAppend(&line, ", ", FormatCount(totals.running), " running");
  if (totals.queued > 0) absl::StrAppend(&line, ", ", FormatCount(totals.queued), " queued");
  if (const std::string rate = RateText(progress); !rate.empty()) absl::StrAppend(&line, ", ", rate);
  if (progress.has_seconds_left() && totals.ended < totals.runs) {
    absl::StrAppend(&line, ", about ", FormatDuration(progress.seconds_left()), " left");
  }
  return line;
}

std::string RenderEndedRun(const v1::FinishedRun& run, bool name_sweep, const Style& style) {
  const std::string state = StateName(run.state());
  std::string line = absl::StrCat("run ", run.run_id(), " ");
  if (run.state() == v1::RUN_STATE_FINISHED && !run.outcome().empty()) {
    line += Paint(style, ColorOfOutcome(run.outcome()), Printable(run.outcome()));
  } else {
    line += Paint(style, ColorOfState(state), state);
  }
  std::vector<std::string> where;
  if (name_sweep) where.push_back(run.sweep());
  const std::string varied = FormatVaried(run.varied_json());
  if (!varied.empty()) where.push_back(varied);
  where.push_back(absl::StrCat("seed ", run.seed()));
  absl::StrAppend(&line, " (", Printable(absl::StrJoin(where, ", ")), "), ",
                  run.last_step() < 0 ? "no step" : FormatPlural(run.last_step(), "step"));
  if (run.state() == v1::RUN_STATE_FAILED && !run.reason().empty())
    absl::StrAppend(&line, ": ", Printable(run.reason()));
  return line;
}

}  // namespace seedbed::cli
