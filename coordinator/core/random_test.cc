#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/philox.h"
#include "coordinator/core/scene.h"
#include "gtest/gtest.h"

// Thousands of random commands, with lost answers, vanishing workers, repeated reports and restarts. After each the
// state's invariants hold (Scene checks them), and so does a model kept beside it, which sees events and answers only.
namespace seedbed::core {
namespace {

class Model {
 public:
  // Looks at what one command did.
  void See(const std::vector<Event>& events) {
    for (const Event& event : events) std::visit([this](const auto& e) { SeeOne(e); }, event);
  }

  // Rows of a report were written and acknowledged.
  void Written(RunId run) { EXPECT_EQ(holders_.count(run), 1u) << "rows of run " << run << " without a lease"; }

  void Compare(const State& state) {
    int64_t running = 0;
    int64_t finished = 0;
    int64_t total = 0;
    for (const auto& [id, sweep] : state.sweeps()) {
      running += sweep.counts.running;
      finished += sweep.counts.finished;
      total += sweep.counts.total();
    }
    EXPECT_EQ(running, static_cast<int64_t>(holders_.size()));
    EXPECT_EQ(finished, static_cast<int64_t>(finished_.size()));
    EXPECT_EQ(total, static_cast<int64_t>(fences_.size()));
  }

  int64_t finished_ever = 0;
  int64_t restored_ever = 0;
  int64_t lost_ever = 0;
  int64_t resumed_ever = 0;

 private:
  void RaiseFence(RunId run, Fence fence) {
    EXPECT_GT(fence, fences_.at(run)) << "fence of run " << run;
    fences_[run] = fence;
  }
  void Hold(const LeaseKey& lease, const WorkerId& worker) {
    RaiseFence(lease.run, lease.fence);
    EXPECT_TRUE(holders_.emplace(lease.run, worker).second) << "run " << lease.run << " has two live leases";
    EXPECT_EQ(finished_.count(lease.run), 0u) << "run " << lease.run << " was finished";
  }

  void SeeOne(const RunAdded& e) { EXPECT_TRUE(fences_.emplace(e.run, Fence()).second); }
  void SeeOne(const AttemptGranted& e) {
    Hold(e.lease, e.worker);
    EXPECT_EQ(e.lease.attempt, ++attempts_[e.lease.run]) << "attempts are numbered without gaps";
    const std::set<int64_t>& steps = checkpoints_[e.lease.run];
    // All workers of this test have one fingerprint.
    EXPECT_EQ(e.resume_step, steps.empty() ? std::nullopt : std::optional<int64_t>(*steps.rbegin()))
        << "run " << e.lease.run << " goes on from its newest checkpoint";
    if (e.resume_step) ++resumed_ever;
    DropBeyond(e.lease.run, e.resume_step.value_or(-1));
  }
  void SeeOne(const LeaseRestored& e) {
    Hold(e.lease, e.worker);
    ++restored_ever;
  }
  void SeeOne(const AttemptEnded& e) {
    RaiseFence(e.run, e.next_fence);
    EXPECT_EQ(holders_.erase(e.run), 1u);
    if (e.end == AttemptEnd::kLost) ++lost_ever;
    if (e.next_state != RunState::kFinished) return;
    EXPECT_TRUE(finished_.insert(e.run).second) << "run " << e.run << " finished twice";
    ++finished_ever;
  }
  void SeeOne(const CheckpointStored& e) {
    EXPECT_EQ(holders_.count(e.run), 1u) << "a checkpoint of run " << e.run << " without a lease";
    EXPECT_TRUE(checkpoints_[e.run].insert(e.checkpoint.step).second);
  }
  void SeeOne(const CheckpointsDropped& e) {
    for (const int64_t step : e.steps) EXPECT_EQ(checkpoints_[e.run].erase(step), 1u);
  }
  void DropBeyond(RunId run, int64_t step) {
    std::set<int64_t>& steps = checkpoints_[run];
    steps.erase(steps.upper_bound(step), steps.end());
  }
  void SeeOne(const RunStateChanged& e) {
    RaiseFence(e.run, e.next_fence);
    if (e.delete_rows) DropBeyond(e.run, -1);
  }
  void SeeOne(const RunsDeleted& e) {
    for (const RunId run : e.runs) {
      EXPECT_EQ(holders_.count(run), 0u);
      EXPECT_EQ(fences_.erase(run), 1u);
      finished_.erase(run);
      checkpoints_.erase(run);
    }
  }
  template <typename Other>
  void SeeOne(const Other&) {}

  std::map<RunId, Fence> fences_;
  std::map<RunId, WorkerId> holders_;
  std::map<RunId, int> attempts_;
  std::set<RunId> finished_;
  std::map<RunId, std::set<int64_t>> checkpoints_;  // by step
};

class Chaos {
 public:
  explicit Chaos(uint64_t seed) : random_(seed, 1) {}

  void Run(int commands) {
    for (int i = 0; i < commands && !::testing::Test::HasFailure(); ++i) {
      Step();
      model_.Compare(scene_.state);
    }
  }

  // No more chaos: every sweep that is left completes.
  void Settle() {
    for (const SweepId id : SweepIds()) {
      const SweepState state = scene_.state.FindSweep(id)->state;
      if (state == SweepState::kDeleting) Do(DeleteSweep{id});
      if (state == SweepState::kPaused || state == SweepState::kHalted) Do(ResumeSweep{id});
    }
    workers_.clear();
    AddWorker();
    for (int i = 0; i < 20'000 && Open() > 0 && !::testing::Test::HasFailure(); ++i) {
      SceneWorker& worker = *workers_.back();
      Synchronize(worker, false);
      if (!worker.held.empty()) EndOne(worker, AttemptEnd::kFinished);
      if (i % 5 == 0) Pass(1);
    }
    EXPECT_EQ(Open(), 0);
    model_.Compare(scene_.state);
  }

  const Model& model() const { return model_; }

 private:
  uint64_t Below(uint64_t bound) { return random_.NextBelow(bound); }

  std::vector<SweepId> SweepIds() const {
    std::vector<SweepId> ids;
    for (const auto& [id, sweep] : scene_.state.sweeps()) ids.push_back(id);
    return ids;
  }
  int64_t Open() const {
    int64_t open = 0;
    for (const auto& [id, sweep] : scene_.state.sweeps()) {
      if (sweep.state != SweepState::kSubmitting) open += sweep.counts.queued + sweep.counts.running;
    }
    return open;
  }

  Decision Do(const Command& command) {
    Decision decision = scene_.Do(command);
    model_.See(scene_.last_events);
    return decision;
  }
  // For commands that the moment may forbid.
  void Try(const Command& command) {
    const auto decision = Decide(scene_.state, command, scene_.clock.Now());
    if (decision.ok()) Do(command);
  }

  void Step() {
    const uint64_t dice = Below(100);
    if (workers_.empty() || dice < 3) return AddWorker();
    SceneWorker& worker = *workers_[Below(workers_.size())];
    if (dice < 38) return Synchronize(worker, Below(8) == 0);
    if (dice < 66) return ReportSomething(worker);
    if (dice < 76) return Pass(1 + Below(4));
    if (dice < 78) return Pass(20);
    if (dice < 80) return RepeatOldReport();
    if (dice < 82) return Leave(worker);
    if (dice < 83) return scene_.Restart();
    if (dice < 84) return Do(VoidLeases{{worker.id}}), DropWorker(worker.id);
    if (dice < 85) return Try(DrainWorker{worker.id});
    if (dice < 87) return Try(ResumeWorker{worker.id});
    PeopleStep();
  }

  void PeopleStep() {
    const std::vector<SweepId> ids = SweepIds();
    const uint64_t dice = Below(13);
    if (ids.size() < 3 || dice < 2) return Submit();
    const SweepId id = ids[Below(ids.size())];
    const SweepEntry& sweep = *scene_.state.FindSweep(id);
    switch (dice) {
      case 2:
        return Try(PauseSweep{id, Below(2) == 0});
      case 3:
      case 4:
        return Try(ResumeSweep{id});
      case 5:
        return Try(CancelRuns{id, {}, static_cast<int64_t>(1 + Below(5))});
      case 6:
        if (sweep.running.empty()) return;
        return Try(CancelRuns{id, {*sweep.running.begin()}});
      case 7: {
        RetryRuns retry{id, {}};
        retry.include_cancelled = Below(2) == 0;
        retry.most = static_cast<int64_t>(1 + Below(5));
        return Try(retry);
      }
      case 8:
        if (sweep.state != SweepState::kDeleting && Below(4) != 0) return;
        return Try(DeleteSweep{id, static_cast<int64_t>(1 + Below(6))});
      case 9:
        return Try(ExtendSeeds{id, static_cast<int64_t>(1 + Below(4))});
      default:
        return Grow(sweep);
    }
  }

  void Submit() {
    SweepOptions options;
    options.points = static_cast<int>(1 + Below(5));
    options.seeds = static_cast<int64_t>(1 + Below(3));
    options.priority = static_cast<int64_t>(Below(2));
    if (Below(3) == 0) options.max_concurrent = static_cast<int64_t>(1 + Below(4));
    options.retries = static_cast<int>(Below(3));
    options.packs = static_cast<int>(Below(3));
    options.keep_checkpoints = static_cast<KeepCheckpoints>(Below(3));
    options.numerics = static_cast<NumericsPolicy>(Below(2));
    const std::string name = absl::StrCat("sweep-", ++names_);
    const auto begun = Do(Scene::Begin(name, "s", options));
    const SweepId id = std::get<BeginSubmissionAnswer>(begun.answer).sweep;
    Do(Scene::Add(id, 0, options));
    if (Below(5) != 0) Do(CompleteSubmission{id, "s"});
  }

  void Grow(const SweepEntry& sweep) {
    const std::string submission = absl::StrCat("grow-", ++names_);
    const SweepId id = sweep.id;
    SweepOptions options;
    options.points = static_cast<int>(1 + Below(6));
    options.seeds = static_cast<int64_t>(1 + Below(3));
    options.max_concurrent = sweep.max_concurrent;
    Try(Scene::Begin(sweep.name, submission, options));
    Try(Scene::Add(id, 0, options));
    Try(CompleteSubmission{id, submission});
  }

  void AddWorker() {
    workers_.push_back(
        std::make_unique<SceneWorker>(scene_, absl::StrCat("w", ++names_), static_cast<int>(1 + Below(4))));
    if (Below(2) == 0) {
      EngineRoom engine;
      engine.free_slots = 2;
      workers_.back()->engines = {engine, engine};
    }
  }
  void DropWorker(WorkerId id) {
    for (auto it = workers_.begin(); it != workers_.end(); ++it) {
      if ((*it)->id == id) {
        workers_.erase(it);
        return;
      }
    }
  }

  void Synchronize(SceneWorker& worker, bool answer_lost) {
    const Decision decision = Do(worker.Facts());
    const auto& answer = std::get<SynchronizeAnswer>(decision.answer);
    if (answer_lost) return;
    worker.Take(answer);
    for (const LeaseToStop& stop : answer.stop) {
      if (stop.hand_back && worker.held.count(stop.lease.run) > 0 && Below(2) == 0) {
        EndLease(worker, stop.lease.run, AttemptEnd::kPreempted, 1);
      }
    }
  }

  void SendReport(SceneWorker& worker, Report report) {
    const auto answer = std::get<ReportAnswer>(Do(report).answer);
    sent_.push_back(report);
    if (answer.verdict == ReportVerdict::kAccepted && !report.end) model_.Written(report.lease.run);
    EXPECT_NE(answer.verdict, ReportVerdict::kGap) << "run " << report.lease.run;
    if (answer.verdict == ReportVerdict::kRefused) worker.held.erase(report.lease.run);
  }

  void EndLease(SceneWorker& worker, RunId run, AttemptEnd end, int pack) {
    Report report = worker.NextReport(run);
    report.end = Report::End{};
    report.end->end = end;
    report.end->pack = pack;
    if (end == AttemptEnd::kFinished) report.end->result = RunResult{};
    const auto& checkpoints = scene_.state.CheckpointsOf(run);
    if (end == AttemptEnd::kPreempted && !checkpoints.empty() && Below(2) == 0) {
      report.end->unusable_checkpoint = checkpoints.back().step;
    }
    SendReport(worker, report);
    worker.held.erase(run);
  }

  void EndOne(SceneWorker& worker, AttemptEnd end) {
    auto lease = worker.held.begin();
    std::advance(lease, Below(worker.held.size()));
    EndLease(worker, lease->first, end, static_cast<int>(1 + Below(4)));
  }

  void ReportSomething(SceneWorker& worker) {
    if (worker.held.empty()) return;
    const uint64_t dice = Below(20);
    if (dice < 10) {
      auto lease = worker.held.begin();
      std::advance(lease, Below(worker.held.size()));
      return SendReport(worker, worker.NextReport(lease->first));
    }
    if (dice < 14) return SaveOne(worker);
    if (dice == 14) {  // forgets one
      worker.held.erase(worker.held.begin());
      return;
    }
    constexpr AttemptEnd kEnds[] = {AttemptEnd::kFinished,    AttemptEnd::kFinished, AttemptEnd::kFinished,
                                    AttemptEnd::kFailed,      AttemptEnd::kCrashed,  AttemptEnd::kStalled,
                                    AttemptEnd::kOutOfMemory, AttemptEnd::kTimedOut, AttemptEnd::kPreempted};
    EndOne(worker, kEnds[Below(9)]);
  }

  void SaveOne(SceneWorker& worker) {
    auto lease = worker.held.begin();
    std::advance(lease, Below(worker.held.size()));
    const StoreCheckpoint command = worker.NextCheckpoint(lease->first, static_cast<int64_t>(Below(1000)));
    Do(command);
    // Sent again because its answer was lost.
    if (Below(3) == 0) {
      EXPECT_NE(std::get<CheckpointAnswer>(Do(command).answer).verdict, CheckpointVerdict::kStored);
    }
  }

  void RepeatOldReport() {
    if (sent_.empty()) return;
    const Report& report = sent_[Below(sent_.size())];
    const auto answer = std::get<ReportAnswer>(Do(report).answer);
    // Whatever was sent was judged then: a repetition is acknowledged or refused, and changes nothing.
    EXPECT_TRUE(answer.verdict == ReportVerdict::kDuplicate || answer.verdict == ReportVerdict::kRefused);
    EXPECT_TRUE(scene_.last_events.empty());
  }

  void Leave(SceneWorker& worker) {
    if (Below(2) == 0) {
      core::Synchronize facts = worker.Facts();
      facts.goodbye = true;
      Do(facts);
    }
    DropWorker(worker.id);
  }

  void Pass(uint64_t seconds) {
    // Mostly as a running coordinator ticks; now and then it was suspended.
    const bool suspended = Below(10) == 0;
    for (uint64_t i = 0; i < (suspended ? 1 : seconds); ++i) {
      scene_.clock.Advance(absl::Seconds(suspended ? static_cast<int64_t>(seconds) : 1));
      Do(Tick{});
    }
  }

  Scene scene_;
  Model model_;
  PhiloxStream random_;
  std::vector<std::unique_ptr<SceneWorker>> workers_;
  std::vector<Report> sent_;
  int names_ = 0;
};

TEST(Random, ThousandsOfCommandsKeepTheLaws) {
  int64_t finished = 0;
  int64_t restored = 0;
  int64_t lost = 0;
  int64_t resumed = 0;
  for (uint64_t seed = 1; seed <= 20 && !HasFailure(); ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Chaos chaos(seed);
    chaos.Run(1'500);
    chaos.Settle();
    finished += chaos.model().finished_ever;
    restored += chaos.model().restored_ever;
    lost += chaos.model().lost_ever;
    resumed += chaos.model().resumed_ever;
  }
  // The chaos reached what it is meant to reach.
  EXPECT_GT(finished, 1'000);
  EXPECT_GT(lost, 1'000);
  EXPECT_GT(restored, 100);
  EXPECT_GT(resumed, 100);
}

}  // namespace
}  // namespace seedbed::core
