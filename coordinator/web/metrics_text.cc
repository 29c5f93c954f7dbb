#include "coordinator/web/metrics_text.h"

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/listing.h"

namespace seedbed {
namespace {

// Writes the format. Values of labels are ours (names of states) or hexadecimal: none needs to be escaped.
class Writer {
 public:
  void Begin(const std::string& name, const std::string& type, const std::string& help) {
    name_ = "seedbed_" + name;
    absl::StrAppend(&text_, "# HELP ", name_, " ", help, "\n# TYPE ", name_, " ", type, "\n");
  }
  void Add(double value, const std::string& label = "") {
    absl::StrAppend(&text_, name_, label.empty() ? "" : absl::StrCat("{", label, "}"), " ", value, "\n");
  }
  void Add(int64_t value, const std::string& label = "") {
    absl::StrAppend(&text_, name_, label.empty() ? "" : absl::StrCat("{", label, "}"), " ", value, "\n");
  }
  std::string Take() { return std::move(text_); }

 private:
  std::string name_;
  std::string text_;
};

// The word of the command line and the API for an active sweep whose runs have all ended.
constexpr char kDone[] = "done";

struct Counted {
  core::RunCounts runs;
  std::map<std::string, int64_t> sweeps;   // by state, as lists name it
  std::map<std::string, int64_t> workers;  // likewise
  int64_t slots = 0;                       // of workers that are not gone
  int64_t leases = 0;
  double steps_per_second = 0;
};

// Every state is there, with 0 if nothing is in it: a series that comes and goes is of little use.
void NameStates(Counted* counted) {
  for (const core::SweepState state : {core::SweepState::kSubmitting, core::SweepState::kActive,
                                       core::SweepState::kPaused, core::SweepState::kHalted}) {
    counted->sweeps[core::Name(state)] = 0;
  }
  counted->sweeps[kDone] = 0;
  for (const core::WorkerState state :
       {core::WorkerState::kActive, core::WorkerState::kDraining, core::WorkerState::kQuarantined}) {
    counted->workers[core::Name(state)] = 0;
  }
}

Counted Count(LiveView view) {
  Counted counted;
  NameStates(&counted);
  std::map<SweepId, int64_t> waiting = view.progress.WaitingBySweep();
  for (const auto& [id, sweep] : view.state.sweeps()) {
    if (sweep.state == core::SweepState::kDeleting) continue;
    const core::RunCounts runs = WithWaiting(sweep.counts, waiting[id]);
    const bool done = sweep.state == core::SweepState::kActive && runs.queued + runs.running == 0;
    ++counted.sweeps[done ? kDone : core::Name(sweep.state)];
    counted.runs.queued += runs.queued;
    counted.runs.running += runs.running;
    counted.runs.finished += runs.finished;
    counted.runs.failed += runs.failed;
    counted.runs.cancelled += runs.cancelled;
  }
  for (const auto& [id, worker] : view.state.workers()) {
    counted.leases += static_cast<int64_t>(worker.leases.size());
    if (worker.state == core::WorkerState::kGone) continue;
    ++counted.workers[core::Name(worker.state)];
    counted.slots += worker.slots;
  }
  counted.steps_per_second = view.progress.StepsPerSecond(view.now);
  return counted;
}

void WriteCounted(const Counted& counted, Writer* out) {
  out->Begin("runs", "gauge", "Runs by state.");
  out->Add(counted.runs.queued, "state=\"queued\"");
  out->Add(counted.runs.running, "state=\"running\"");
  out->Add(counted.runs.finished, "state=\"finished\"");
  out->Add(counted.runs.failed, "state=\"failed\"");
  out->Add(counted.runs.cancelled, "state=\"cancelled\"");
  out->Begin("sweeps", "gauge", "Sweeps by state.");
  for (const auto& [state, count] : counted.sweeps) out->Add(count, absl::StrCat("state=\"", state, "\""));
  out->Begin("workers", "gauge", "Workers that are not gone, by state.");
  for (const auto& [state, count] : counted.workers) out->Add(count, absl::StrCat("state=\"", state, "\""));
  out->Begin("slots", "gauge", "Runs for which these workers have room.");
  out->Add(counted.slots);
  out->Begin("leases", "gauge", "Live leases.");
  out->Add(counted.leases);
  out->Begin("steps_per_second", "gauge", "Updates of all runs, over the last ten seconds.");
  out->Add(counted.steps_per_second);
}

}  // namespace

std::string MetricsText(Coordinator* coordinator, absl::Time now) {
  const CoordinatorInfo info = coordinator->Info();
  Writer out;
  out.Begin("info", "gauge", "Always 1; the labels say which coordinator this is.");
  out.Add(int64_t{1}, absl::StrCat("version=\"", info.version, "\",database_id=\"", info.database_id, "\""));
  out.Begin("epoch", "gauge", "Starts of a coordinator on this database.");
  out.Add(info.epoch);
  out.Begin("uptime_seconds", "gauge", "Since this coordinator started.");
  out.Add(absl::ToDoubleSeconds(now - absl::FromUnixMicros(info.started_at)));
  out.Begin("commits_total", "counter", "Commits of this coordinator.");
  out.Add(info.commits);
  out.Begin("degraded", "gauge", "1 while commits fail: reads only.");
  out.Add(int64_t{info.degraded});
  out.Begin("metrics_held", "gauge", "1 while the disk is nearly full and rows of metrics wait.");
  out.Add(int64_t{info.metrics_held});
  out.Begin("write_ahead_log_bytes", "gauge", "Size of the database's write-ahead log.");
  out.Add(info.write_ahead_log_bytes);
  Counted counted;
  const absl::Status looked = coordinator->Inspect([&counted](LiveView view) { counted = Count(view); });
  if (looked.ok()) WriteCounted(counted, &out);
  return out.Take();
}

}  // namespace seedbed
