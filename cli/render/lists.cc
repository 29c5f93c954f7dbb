#include "cli/render/lists.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/render/format.h"
#include "cli/render/proto_json.h"
#include "cli/render/table.h"
#include "cli/render/text_width.h"

namespace seedbed::cli {
namespace {

constexpr Column::Align kRight = Column::Align::kRight;
constexpr Column::Align kLeft = Column::Align::kLeft;

std::string CountOrBlank(int64_t count) {
  return count == 0 ? std::string() : FormatCount(count);
}

// Seconds that a run has taken or took; "" before its start.
std::string TimeTaken(int64_t started_at, int64_t ended_at) {
  if (started_at == 0 || ended_at < started_at) return "";
  return FormatDuration(static_cast<double>(ended_at - started_at) / 1e6);
}

// Of a worker that this coordinator has not heard of only the database knows something: when it was given up.
std::string LastSeen(const v1::WorkerSummary& worker, int64_t now_microseconds) {
  if (worker.has_seconds_since_seen()) {
    return FormatAgo(now_microseconds - worker.seconds_since_seen() * 1'000'000, now_microseconds);
  }
  if (worker.state() != v1::WORKER_STATE_GONE || worker.state_changed_at() == 0) return "unknown";
  return "gone " + FormatAgo(worker.state_changed_at(), now_microseconds);
}

void AddLine(const std::string& title, const std::string& value, std::string* text) {
  if (!value.empty()) absl::StrAppend(text, PadRight(title, 14), Printable(value), "\n");
}

// With `brief`, numbers have six digits: for measurements, of which nobody reads more.
std::string RenderObject(const std::string& json, bool brief, const Style& style) {
  const OrderedJson object = ParsedOrText(json);
  if (!object.is_object() || object.empty()) return "";
  Table table({{"name", kLeft, true}, {"value", kLeft, true}});
  for (const auto& entry : object.items()) {
    std::string value = entry.value().is_null() ? "—" : FormatValue(Json::parse(entry.value().dump()));
    if (brief && entry.value().is_number_float()) value = absl::StrCat(entry.value().get<double>());
    table.Add({entry.key(), std::move(value)});
  }
  return table.Render(style);
}

}  // namespace

std::string RenderSweeps(const v1::ListSweepsResponse& sweeps, int64_t now_microseconds, const Style& style) {
  Table table({{"id", kRight},
               {"name", kLeft, true},
               {"state"},
               {"configurations", kRight},
               {"runs", kRight},
               {"done", kRight},
               {"running", kRight},
               {"queued", kRight},
               {"failed", kRight},
               {"created"},
               {"description", kLeft, true}});
  for (const v1::SweepSummary& sweep : sweeps.sweeps()) {
    const v1::RunCounts& runs = sweep.runs();
    const std::string state = StateName(sweep);
    table.Add({absl::StrCat(sweep.sweep_id()),
               {sweep.name(), Color::kBold},
               {state, ColorOfState(state)},
               FormatCount(sweep.configurations()),
               FormatCount(TotalRuns(runs)),
               FormatCount(EndedRuns(runs)),
               CountOrBlank(runs.running()),
               CountOrBlank(runs.queued()),
               {CountOrBlank(runs.failed()), Color::kRed},
               FormatAgo(sweep.created_at(), now_microseconds),
               sweep.description()});
  }
  return table.Render(style);
}

std::string RenderWorkers(const v1::ListWorkersResponse& workers, int64_t now_microseconds, const Style& style) {
  Table table({{"worker", kLeft, true},
               {"state"},
               {"host", kLeft, true},
               {"device"},
               {"slots", kRight},
               {"leased runs", kLeft, true},
               {"last seen", kRight},
               {"id"}});
  for (const v1::WorkerSummary& worker : workers.workers()) {
    const std::string state = StateName(worker.state());
    const std::vector<int64_t> runs(worker.leased_run_ids().begin(), worker.leased_run_ids().end());
    table.Add({{worker.name(), Color::kBold},
               {state, ColorOfState(state)},
               worker.host(),
               worker.device(),
               absl::StrCat(worker.slots()),
               FormatRanges(runs),
               LastSeen(worker, now_microseconds),
               worker.worker_id()});
  }
  return table.Render(style);
}

std::string RenderRun(const v1::GetRunResponse& detail, const Style& style) {
  const v1::RunSummary& run = detail.run();
  const std::string state = StateName(run.state());
  std::string text =
      absl::StrCat(Paint(style, Color::kBold, absl::StrCat("run ", run.run_id())), " of ", Printable(run.sweep()),
                   ", configuration ", run.configuration_id(), ", seed ", run.seed(), "\n");
  AddLine("varied", FormatVaried(run.varied_json()), &text);
  absl::StrAppend(&text, PadRight("state", 14), Paint(style, ColorOfState(state), state), "\n");
  if (!run.outcome().empty()) {
    absl::StrAppend(&text, PadRight("outcome", 14),
                    Paint(style, ColorOfOutcome(run.outcome()), Printable(run.outcome())), "\n");
  }
  AddLine("reason", run.reason(), &text);
  if (run.attempts() > 0) AddLine("last step", FormatStep(run.last_step()), &text);
  AddLine("worker", run.worker(), &text);
  AddLine("started", FormatTime(run.started_at()), &text);
  AddLine("ended", FormatTime(run.ended_at()), &text);
  AddLine("took", TimeTaken(run.started_at(), run.ended_at()), &text);

  const std::string summary = RenderObject(run.summary_json(), /*brief=*/true, style);
  if (!summary.empty()) absl::StrAppend(&text, "\n", Paint(style, Color::kBold, "Result"), "\n", summary);
  const std::string parameters = RenderObject(run.parameters_json(), /*brief=*/false, style);
  if (!parameters.empty()) absl::StrAppend(&text, "\n", Paint(style, Color::kBold, "Parameters"), "\n", parameters);
  if (detail.attempts_size() > 0) {
    Table table({{"attempt", kRight},
                 {"worker", kLeft, true},
                 {"started"},
                 {"took", kRight},
                 {"last step", kRight},
                 {"end"},
                 {"reason", kLeft, true}});
    for (const v1::AttemptSummary& attempt : detail.attempts()) {
      table.Add({absl::StrCat(attempt.attempt()), attempt.worker(), FormatTime(attempt.started_at()),
                 TimeTaken(attempt.started_at(), attempt.ended_at()), FormatStep(attempt.last_step()),
                 attempt.end() == v1::ATTEMPT_END_UNSPECIFIED ? "running" : EndName(attempt.end()), attempt.reason()});
    }
    absl::StrAppend(&text, "\n", Paint(style, Color::kBold, "Attempts"), "\n", table.Render(style));
  }
  return text;
}

}  // namespace seedbed::cli
