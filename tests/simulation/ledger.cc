#include "tests/simulation/ledger.h"

#include <algorithm>
#include <iterator>
#include <variant>
#include <vector>

namespace seedbed::simulation {

using core::AttemptEnd;

// --- leases

void Ledger::Loaded(const core::State& state, absl::Duration now) {
  last_tick_ = now;
  lease_deadlines_.clear();
  worker_deadlines_.clear();
  for (const auto& [id, sweep] : state.sweeps()) {
    for (const RunId run : sweep.running) lease_deadlines_[run] = now + lease_duration();
  }
  for (const auto& [id, worker] : state.workers()) worker_deadlines_[id] = now + lease_duration();
  for (const auto& [attempt, sequence] : acknowledged_) {
    const RunRow* run = database_.FindRun(attempt.first);
    if (run == nullptr) continue;
    const int64_t durable = run->attempts.at(static_cast<size_t>(attempt.second) - 1).acknowledged_sequence;
    world_.Expect(durable >= sequence, "report ", sequence, " of run ", attempt.first.value(), " attempt ",
                  attempt.second, " was acknowledged, and is lost: the database has ", durable);
  }
}

void Ledger::Heard(const core::State& state, const core::Synchronize& facts, absl::Duration now) {
  worker_deadlines_[facts.worker] = now + lease_duration();
  for (const core::HeldLease& held : facts.leases) {
    const core::Run* run = state.FindRun(held.lease.run);
    if (run == nullptr || held.lease.attempt != run->attempts) continue;
    const auto* running = std::get_if<core::Running>(&run->state);
    if (running != nullptr && running->worker->id == facts.worker) lease_deadlines_[run->id] = now + lease_duration();
  }
}

void Ledger::Decided(const core::Event& event, absl::Duration now) {
  if (const auto* granted = std::get_if<core::AttemptGranted>(&event)) {
    lease_deadlines_[granted->lease.run] = now + lease_duration();
  } else if (const auto* restored = std::get_if<core::LeaseRestored>(&event)) {
    lease_deadlines_[restored->lease.run] = now + lease_duration();
  }
}

void Ledger::DecidedByTick(const core::State& state, const core::Event& event, absl::Duration now) {
  const auto* ended = std::get_if<core::AttemptEnded>(&event);
  if (ended == nullptr) return;
  const WorkerId& worker = std::get<core::Running>(state.FindRun(ended->run)->state).worker->id;
  const absl::Duration deadline = std::min(lease_deadlines_[ended->run], worker_deadlines_[worker]);
  world_.Expect(deadline <= now, "the lease of run ", ended->run.value(), " ran out ",
                absl::FormatDuration(deadline - now), " too early");
}

void Ledger::Ticked(const core::State& state, const core::Tick& tick, absl::Duration now) {
  const absl::Duration gap = now - last_tick_;
  last_tick_ = now;
  const bool is_long = gap > settings_.suspension_gap;
  if (is_long && !tick.heard_meanwhile) {
    for (auto& [run, deadline] : lease_deadlines_) deadline += gap;
    for (auto& [worker, deadline] : worker_deadlines_) deadline += gap;
    return;
  }
  for (const WorkerId& id : tick.answered_now) {
    const core::WorkerEntry* worker = is_long ? state.FindWorker(id) : nullptr;
    if (worker == nullptr || worker->state == core::WorkerState::kGone) continue;
    worker_deadlines_[id] = now + lease_duration();
    for (const RunId run : worker->leases) lease_deadlines_[run] = now + lease_duration();
  }
  for (const auto& [id, sweep] : state.sweeps()) {
    for (const RunId run : sweep.running) {
      world_.Expect(lease_deadlines_[run] > now, "run ", run.value(), " is running, but its lease ran out ",
                    absl::FormatDuration(now - lease_deadlines_[run]), " ago");
    }
  }
}

// --- what is durable

void Ledger::Committed(const Batch& batch) {
  for (const MetricRows& rows : batch.metrics) CheckRows(rows);
  for (const core::Event& event : batch.events) {
    std::visit([this](const auto& e) { See(e); }, event);
    if (world_.failed()) return;
  }
}

void Ledger::CheckRows(const MetricRows& rows) {
  const auto known = specifications_.find(rows.run);
  if (known == specifications_.end()) return world_.Fail("rows of a run that is not there");
  const Course& course = truth_.Of(known->second);
  for (size_t i = 0; i < rows.rows.steps.size(); ++i) {
    const int64_t step = rows.rows.steps[i];
    const bool right =
        step >= 0 && step <= course.last_step && rows.rows.values[i] == course.rows[static_cast<size_t>(step)];
    world_.Expect(right, "the row of run ", rows.run.value(), " step ", step, " is not what training gives");
  }
}

void Ledger::CheckAllRows(const RunRow& run, int64_t last) {
  const Course& course = truth_.Of(run.specification);
  world_.Expect(last <= course.last_step, "run ", run.id.value(), " has a step ", last, " beyond its last");
  world_.Expect(static_cast<int64_t>(run.steps.size()) == last + 1, "run ", run.id.value(), " has ", run.steps.size(),
                " rows up to step ", last);
  if (world_.failed()) return;
  int64_t expected = 0;
  for (const auto& [step, value] : run.steps) {
    world_.Expect(step == expected && value == course.rows[static_cast<size_t>(expected)], "run ", run.id.value(),
                  " has at step ", step, " not the row of step ", expected);
    ++expected;
  }
}

void Ledger::CheckNumerics(const RunRow& run, const core::AttemptGranted& e) {
  if (database_.sweeps().at(run.sweep).numerics != core::NumericsPolicy::kStrict) return;
  const core::Checkpoint* checkpoint = database_.FindCheckpoint(run.id, *e.resume_step);
  const core::WorkerEntry& worker = database_.workers().at(e.worker);
  world_.Expect(checkpoint != nullptr && checkpoint->numerics == DigestOf(worker.trainers.at(0).numerics_json), "run ",
                run.id.value(), " of a strict sweep goes on from a checkpoint of another fingerprint");
}

void Ledger::RaiseFence(RunId run, Fence fence) {
  world_.Expect(fence > fences_[run], "the fence of run ", run.value(), " becomes ", fence.value(), " and was ",
                fences_[run].value());
  fences_[run] = fence;
}

void Ledger::See(const core::AttemptGranted& e) {
  ++world_.tally.grants;
  if (e.resume_step) ++world_.tally.resumed;
  RaiseFence(e.lease.run, e.lease.fence);
  const RunRow* run = database_.FindRun(e.lease.run);
  if (run == nullptr || run->state != core::RunState::kRunning || run->fence != e.lease.fence) return;  // more came
  CheckAllRows(*run, e.resume_step.value_or(-1));
  if (e.resume_step) CheckNumerics(*run, e);
}

void Ledger::See(const core::LeaseRestored& e) {
  ++world_.tally.restored;
  RaiseFence(e.lease.run, e.lease.fence);
}

void Ledger::See(const core::AttemptEnded& e) {
  RaiseFence(e.run, e.next_fence);
  if (e.end == AttemptEnd::kLost) ++world_.tally.lost;
  if (core::CountsAgainstRun(e.end) && e.end != AttemptEnd::kLost) ++world_.tally.ended_badly;
  if (e.end != AttemptEnd::kFinished) return;
  ++world_.tally.finished;
  const auto known = specifications_.find(e.run);
  if (known == specifications_.end()) return world_.Fail("a result of a run that is not there");
  const Course& course = truth_.Of(known->second);
  world_.Expect(results_.emplace(known->second, *e.result).second, "a second result of '", known->second, "'");
  world_.Expect(!course.poisoned && e.result->outcome == course.result.outcome &&
                    e.result->last_step == course.result.last_step &&
                    e.result->summary_json == course.result.summary_json,
                "the result of '", known->second, "' is not what training gives");
  // If it is there no more, it was deleted in the same batch.
  if (const RunRow* run = database_.FindRun(e.run)) CheckAllRows(*run, course.last_step);
}

void Ledger::See(const core::RunsDeleted& e) {
  for (const RunId run : e.runs) {
    results_.erase(specifications_[run]);
    specifications_.erase(run);
  }
}

void Ledger::See(const core::CheckpointStored& e) {
  const core::Checkpoint* checkpoint = database_.FindCheckpoint(e.run, e.checkpoint.step);
  if (checkpoint == nullptr || checkpoint->path != e.checkpoint.path) return;  // dropped in the same batch
  const RunRow& run = *database_.FindRun(e.run);
  const Course& course = truth_.Of(run.specification);
  const auto file = database_.files.find(checkpoint->path);
  world_.Expect(file != database_.files.end() && file->second.step == checkpoint->step &&
                    checkpoint->step <= course.last_step &&
                    file->second.state == course.states[static_cast<size_t>(checkpoint->step)],
                "the checkpoint of run ", e.run.value(), " step ", checkpoint->step, " is not what training gives");
  const auto beyond = run.steps.upper_bound(checkpoint->step);
  world_.Expect(std::distance(run.steps.begin(), beyond) == checkpoint->step + 1, "run ", e.run.value(),
                " has a checkpoint of step ", checkpoint->step, " and not all rows up to it");
}

// --- answers

void Ledger::Promise(const WorkerId& worker, const core::LeaseKey& lease) {
  const auto [held, is_new] =
      holders_.emplace(std::make_pair(lease.run, lease.fence), std::make_pair(worker, lease.attempt));
  world_.Expect(is_new || held->second == std::make_pair(worker, lease.attempt), "fence ", lease.fence.value(),
                " of run ", lease.run.value(), " was given to ", held->second.first.value(), " attempt ",
                held->second.second, " and to ", worker.value(), " attempt ", lease.attempt);
  const RunRow* run = database_.FindRun(lease.run);
  if (run == nullptr) return;
  const bool durable = static_cast<int>(run->attempts.size()) >= lease.attempt && run->fence >= lease.fence &&
                       run->attempts[static_cast<size_t>(lease.attempt) - 1].worker == worker;
  world_.Expect(durable, "a lease of run ", lease.run.value(), " attempt ", lease.attempt,
                " was given out before it was durable");
}

void Ledger::Answered(const WorkerId& worker, const core::SynchronizeAnswer& answer) {
  for (const core::LeaseToStart& start : answer.start) Promise(worker, start.lease);
  for (const core::LeaseKey& lease : answer.restored) Promise(worker, lease);
}

void Ledger::Answered(const core::StoreCheckpoint& command, const core::CheckpointAnswer& answer) {
  const bool stored =
      answer.verdict == core::CheckpointVerdict::kStored || answer.verdict == core::CheckpointVerdict::kDuplicate;
  const RunRow* run = stored ? database_.FindRun(command.lease.run) : nullptr;
  if (run == nullptr || run->checkpoints.empty()) return;  // dropped since
  const core::Checkpoint& newest = run->checkpoints.back();
  world_.Expect(database_.files.count(newest.path) == 1, "a checkpoint of run ", run->id.value(), " step ",
                command.checkpoint.step, " was said to be stored, and that of step ", newest.step, " has no file");
}

void Ledger::Answered(const core::Report& report, const Rows& rows, const core::ReportAnswer& answer) {
  switch (answer.verdict) {
    case core::ReportVerdict::kRefused:
      ++world_.tally.refused;
      return;
    case core::ReportVerdict::kGap:
      ++world_.tally.gaps;
      return;
    case core::ReportVerdict::kDuplicate:
      ++world_.tally.acknowledged_again;
      break;
    case core::ReportVerdict::kAccepted:
      ++world_.tally.acknowledged;
      break;
  }
  const core::LeaseKey& lease = report.lease;
  const RunRow* run = database_.FindRun(lease.run);
  if (run == nullptr) return;  // deleted since
  const bool there = static_cast<int>(run->attempts.size()) >= lease.attempt;
  const int64_t durable = there ? run->attempts[static_cast<size_t>(lease.attempt) - 1].acknowledged_sequence : -1;
  world_.Expect(durable >= answer.acknowledged_sequence, "report ", answer.acknowledged_sequence, " of run ",
                lease.run.value(), " attempt ", lease.attempt, " was acknowledged before it was durable");
  int64_t& told = acknowledged_[{lease.run, lease.attempt}];
  told = std::max(told, answer.acknowledged_sequence);
  // A new attempt, or a retry, may have deleted them in the same batch.
  const bool kept = run->state == core::RunState::kRunning || run->state == core::RunState::kFinished;
  if (answer.verdict != core::ReportVerdict::kAccepted || !kept || !there ||
      static_cast<int>(run->attempts.size()) != lease.attempt) {
    return;
  }
  for (const int64_t step : rows.steps) {
    world_.Expect(run->steps.count(step) == 1, "the row of step ", step, " of run ", lease.run.value(),
                  " was acknowledged and is not there");
  }
}

}  // namespace seedbed::simulation
