#include "coordinator/rpc/progress_watch.h"

#include <algorithm>
#include <map>
#include <utility>

#include "common/base/status_macros.h"
#include "coordinator/operations.h"
#include "coordinator/listing.h"
#include "coordinator/rpc/convert.h"
#include "coordinator/rpc/lists.h"

namespace seedbed {
namespace {

// A message says no more ends than people can read; the counts say the rest.
constexpr int kMostEnded = 100;

bool IsDone(const v1::ProgressResponse& response) {
  return std::all_of(response.sweeps().begin(), response.sweeps().end(), [](const v1::SweepSummary& sweep) {
    return sweep.state() != v1::SWEEP_STATE_SUBMITTING && sweep.runs().queued() == 0 && sweep.runs().running() == 0;
  });
}

}  // namespace

absl::Status ProgressWatch::Resolve() {
  if (resolved_) return absl::OkStatus();
  if (!selector_.empty() && selector_ != "all") {
    SEEDBED_ASSIGN_OR_RETURN(const std::vector<SweepId> sweeps, SelectSweeps(coordinator_, selector_));
    sweeps_ = std::set<SweepId>(sweeps.begin(), sweeps.end());
  }
  resolved_ = true;
  return absl::OkStatus();
}

absl::Status ProgressWatch::Look(v1::ProgressResponse* response, bool* changed) {
  SEEDBED_RETURN_IF_ERROR(Resolve());
  *changed = false;
  const absl::Status looked = coordinator_->Inspect([&](LiveView view) {
    const double speed = view.progress.StepsPerSecond(view.now);
    if (view.progress.revision() == last_revision_ && speed == last_speed_) return;
    last_revision_ = view.progress.revision();
    last_speed_ = speed;
    *changed = true;
    FillLive(view, response);
  });
  if (absl::IsFailedPrecondition(looked)) {
    *changed = true;
    SEEDBED_RETURN_IF_ERROR(FillFromDatabase(response));
  } else if (!looked.ok()) {
    return looked;
  }
  if (*changed) {
    AddDescriptions(response);
    AddVariedParameters(response);
    response->set_done(IsDone(*response));
  }
  return absl::OkStatus();
}

void ProgressWatch::FillLive(LiveView view, v1::ProgressResponse* response) {
  std::set<SweepId> watched;
  std::map<SweepId, int64_t> waiting = view.progress.WaitingBySweep();
  for (const auto& [id, sweep] : view.state.sweeps()) {
    if (sweep.state == core::SweepState::kDeleting || (sweeps_ && sweeps_->count(id) == 0)) continue;
    watched.insert(id);
    v1::SweepSummary* summary = response->add_sweeps();
    summary->set_sweep_id(id.value());
    summary->set_name(sweep.name);
    summary->set_state(ToProto(sweep.state));
    summary->set_priority(sweep.priority);
    summary->set_configurations(static_cast<int64_t>(sweep.configurations.size()));
    ToProto(WithWaiting(sweep.counts, waiting[id]), summary->mutable_runs());
    summary->set_budget_steps(view.progress.BudgetSteps(sweep));
    const auto described = descriptions_.find(id);
    if (described == descriptions_.end() || described->second.submission_id != sweep.submission_id) {
      undescribed_[id] = sweep.submission_id;
    }
  }
  response->set_steps_per_second(view.progress.StepsPerSecond(view.now));
  const std::optional<double> left = view.progress.SecondsLeft(view.state, watched, view.now);
  if (left) response->set_seconds_left(*left);
  int64_t active = 0;
  for (const auto& [id, worker] : view.state.workers()) active += worker.state != core::WorkerState::kGone ? 1 : 0;
  response->set_active_workers(active);
  // The first message tells of no earlier ends.
  const int64_t known = last_ended_number_.value_or(view.progress.last_ended_number());
  last_ended_number_ = view.progress.last_ended_number();
  for (auto each = view.progress.ended().rbegin(); each != view.progress.ended().rend(); ++each) {
    if (each->number <= known || response->ended_size() >= kMostEnded) break;
    if (watched.count(each->sweep) == 0) continue;
    v1::FinishedRun* ended = response->add_ended();
    ended->set_run_id(each->run.value());
    const core::SweepEntry* sweep = view.state.FindSweep(each->sweep);
    if (sweep != nullptr) ended->set_sweep(sweep->name);
    ended->set_seed(each->seed);
    ended->set_state(ToProto(each->state));
    ended->set_outcome(each->outcome);
    ended->set_reason(each->reason);
    ended->set_last_step(each->last_step);
  }
  std::reverse(response->mutable_ended()->begin(), response->mutable_ended()->end());
}

absl::Status ProgressWatch::FillFromDatabase(v1::ProgressResponse* response) {
  v1::ListSweepsResponse list;
  SEEDBED_RETURN_IF_ERROR(ListSweeps(coordinator_, v1::ListSweepsRequest(), &list));
  for (v1::SweepSummary& sweep : *list.mutable_sweeps()) {
    if (!sweeps_ || sweeps_->count(SweepId(sweep.sweep_id())) > 0) *response->add_sweeps() = std::move(sweep);
  }
  return absl::OkStatus();
}

void ProgressWatch::AddDescriptions(v1::ProgressResponse* response) {
  if (!undescribed_.empty()) {
    const absl::StatusOr<std::vector<SweepRow>> rows = coordinator_->reader().ListSweeps(/*counted=*/false);
    if (!rows.ok()) return;  // the next look asks again
    for (const SweepRow& row : *rows) {
      const auto found = undescribed_.find(row.id);
      if (found != undescribed_.end()) descriptions_[row.id] = {found->second, row.description, row.created_at};
    }
    undescribed_.clear();
  }
  for (v1::SweepSummary& sweep : *response->mutable_sweeps()) {
    const auto found = descriptions_.find(SweepId(sweep.sweep_id()));
    if (found == descriptions_.end()) continue;
    sweep.set_description(found->second.text);
    sweep.set_created_at(found->second.created_at);
  }
}

void ProgressWatch::AddVariedParameters(v1::ProgressResponse* response) {
  if (response->ended().empty()) return;
  RunFilter filter;
  for (const v1::FinishedRun& run : response->ended()) filter.runs.emplace_back(run.run_id());
  filter.limit = kMostEnded;
  const absl::StatusOr<std::vector<RunRow>> rows = coordinator_->reader().ListRuns(filter);
  if (!rows.ok()) return;  // the ends are told without them
  std::map<int64_t, std::string> varied;
  for (const RunRow& row : *rows) varied[row.id.value()] = row.varied_json;
  for (v1::FinishedRun& run : *response->mutable_ended()) run.set_varied_json(varied[run.run_id()]);
}

}  // namespace seedbed
