// One agent against a small model of the coordinator and of engines, over a network that loses, repeats and delays,
// from one seed. Whatever happens, each run must be finished exactly once, with each of its rows.
#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <random>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "worker/agent/testing/agent_world.h"

namespace seedbed::agent {
namespace {

constexpr int64_t kLastStep = 12;
constexpr absl::Duration kLease = absl::Seconds(15);

struct ModelRun {
  enum class State { kQueued, kRunning, kFinished };
  State state = State::kQueued;
  int attempt = 0;
  int64_t fence = 0;
  int64_t attempt_fence = 0;  // the last under which the attempt could report
  bool lost = false;          // the last attempt ended by losing its lease
  bool listed = false;
  absl::Duration expires;
  int64_t acknowledged = 0;
  std::vector<int64_t> rows;
  int times_finished = 0;
};

// The laws of leases and reports, as plainly as possible.
class ModelCoordinator {
 public:
  explicit ModelCoordinator(int runs) {
    for (int64_t id = 1; id <= runs; ++id) runs_[id];
  }

  SynchronizeAnswer Synchronize(const SynchronizeRequest& request, absl::Duration now) {
    SynchronizeAnswer answer;
    answer.next_call_after = absl::Seconds(5);
    answer.lease_duration = kLease;
    answer.database_id = "db1";
    Expire(now);
    answer.ignored = request.number < last_number_;
    if (answer.ignored) return answer;
    last_number_ = request.number;
    std::set<int64_t> listed;
    for (const HeldLease& held : request.leases) Judge(held.lease, now, &listed, &answer);
    for (auto& [id, run] : runs_) {
      if (run.state != ModelRun::State::kRunning || listed.count(id) > 0) continue;
      if (run.listed) {
        Requeue(run, /*lost=*/true);
      } else {
        answer.start.push_back(Granted(Key(id, run.attempt, run.fence)));
      }
    }
    for (auto& [id, run] : runs_) {
      if (static_cast<int>(answer.start.size()) >= request.free_slots) break;
      if (run.state != ModelRun::State::kQueued) continue;
      run.state = ModelRun::State::kRunning;
      ++run.attempt;
      run.attempt_fence = ++run.fence;
      run.listed = false;
      run.expires = now + kLease;
      run.acknowledged = 0;
      run.rows.clear();
      answer.start.push_back(Granted(Key(id, run.attempt, run.fence)));
    }
    return answer;
  }

  ReportAnswer Report(const agent::Report& report) {
    ModelRun& run = runs_.at(report.lease.run.value());
    ReportAnswer answer{report.lease, ReportVerdict::kAcknowledged, run.acknowledged, "stale"};
    const bool own = report.lease.attempt == run.attempt && report.lease.fence.value() == run.attempt_fence;
    if (own && report.body->sequence <= run.acknowledged) return answer;
    if (!own || run.state != ModelRun::State::kRunning) {
      answer.verdict = ReportVerdict::kRefused;
    } else if (report.body->sequence != run.acknowledged + 1) {
      answer.verdict = ReportVerdict::kGap;
    } else {
      answer.sequence = ++run.acknowledged;
      run.rows.insert(run.rows.end(), report.body->rows.steps.begin(), report.body->rows.steps.end());
      if (report.body->end) {
        Requeue(run, /*lost=*/false);
        if (report.body->end->end == ReportedEnd::kFinished) {
          run.state = ModelRun::State::kFinished;
          ++run.times_finished;
        }
      }
    }
    return answer;
  }

  // Cancelled and retried by somebody: what is held of it is void.
  void TakeBack(int64_t id) {
    ModelRun& run = runs_.at(id);
    if (run.state == ModelRun::State::kRunning) Requeue(run, /*lost=*/false);
  }

  bool AllFinished() const {
    return std::all_of(runs_.begin(), runs_.end(),
                       [](const auto& entry) { return entry.second.state == ModelRun::State::kFinished; });
  }
  const std::map<int64_t, ModelRun>& runs() const { return runs_; }

 private:
  void Judge(const LeaseKey& lease, absl::Duration now, std::set<int64_t>* listed, SynchronizeAnswer* answer) {
    ModelRun& run = runs_.at(lease.run.value());
    const bool same = lease.attempt == run.attempt;
    if (same && run.state == ModelRun::State::kQueued && run.lost && lease.fence.value() == run.attempt_fence) {
      run.state = ModelRun::State::kRunning;
      run.attempt_fence = ++run.fence;
    }
    if (!same || run.state != ModelRun::State::kRunning) {
      answer->stop.push_back({lease, "over", false});
      return;
    }
    if (lease.fence.value() != run.fence) answer->restored.push_back(Key(lease.run.value(), run.attempt, run.fence));
    run.listed = true;
    run.expires = now + kLease;
    listed->insert(lease.run.value());
  }
  void Expire(absl::Duration now) {
    for (auto& [id, run] : runs_) {
      if (run.state == ModelRun::State::kRunning && run.expires <= now) Requeue(run, /*lost=*/true);
    }
  }
  static void Requeue(ModelRun& run, bool lost) {
    run.state = ModelRun::State::kQueued;
    run.lost = lost;
    ++run.fence;
  }

  std::map<int64_t, ModelRun> runs_;
  int64_t last_number_ = 0;
};

class Simulation {
 public:
  Simulation(uint64_t seed, int slots, int runs) : random_(seed), world_(slots), coordinator_(runs), slots_(slots) {}

  void Run() {
    for (int engine = 0; engine < slots_; ++engine) After(Delay(100), [this, engine] { world_.EngineReady(engine); });
    const absl::Duration calm_from = Now() + absl::Minutes(3);  // then nothing is lost any more, so that it ends
    const absl::Duration most = Now() + absl::Hours(1);
    while (Now() < most && !(coordinator_.AllFinished() && world_.agent->lease_count() == 0)) {
      calm_ = Now() >= calm_from;
      Collect();
      absl::Duration next = queue_.empty() ? absl::InfiniteDuration() : queue_.begin()->first;
      if (const auto wake = world_.agent->NextWake(world_.clock.Now())) next = std::min(next, *wake);
      ASSERT_NE(next, absl::InfiniteDuration()) << "nothing would ever happen again";
      world_.clock.Advance(std::max(absl::ZeroDuration(), next - Now()));
      if (!queue_.empty() && queue_.begin()->first <= Now()) {
        auto event = std::move(queue_.begin()->second);
        queue_.erase(queue_.begin());
        event();
      } else {
        world_.agent->OnTime(world_.clock.Now());
      }
    }
    Check();
    Clear();
  }

 private:
  struct Training {
    int64_t next_step = 0;
    bool paused = false;
    bool stopping = false;
  };

  absl::Duration Now() const { return world_.clock.Now().monotonic; }
  bool Chance(double probability) {
    return !calm_ && std::uniform_real_distribution<double>(0, 1)(random_) < probability;
  }
  absl::Duration Delay(int most_milliseconds) {
    return absl::Milliseconds(std::uniform_int_distribution<int>(1, most_milliseconds)(random_));
  }
  void After(absl::Duration delay, std::function<void()> event) { queue_.emplace(Now() + delay, std::move(event)); }

  // What the agent has done since the last time.
  void Collect() {
    while (!world_.link.calls.empty()) Carry(world_.Call());
    while (!world_.link.streams.empty()) {
      stream_ = world_.StreamOpened();
      stream_at_ = Now();
      if (Chance(0.3)) {
        After(Delay(20'000), [this, stream = stream_] { world_.StreamBreaks(stream); });
      }
    }
    while (!world_.link.reports.empty()) Carry(world_.Reported());
    while (!world_.pool.starts.empty()) Start(world_.Started());
    while (!world_.pool.commands.empty()) Obey(world_.Commanded());
  }

  void Carry(SynchronizeRequest request) {
    const int64_t number = request.number;
    if (Chance(0.15)) {  // the request is lost
      After(Chance(0.5) ? kLease : Delay(50),
            [this, number] { world_.Answer(number, absl::UnavailableError("lost")); });
      return;
    }
    After(Delay(Chance(0.1) ? 20'000 : 30), [this, request, number] {
      if (Chance(0.1)) coordinator_.TakeBack(std::uniform_int_distribution<int64_t>(1, 8)(random_));
      const SynchronizeAnswer answer = coordinator_.Synchronize(request, Now());
      if (Chance(0.15)) {  // the answer is
        After(Delay(50), [this, number] { world_.Answer(number, absl::UnavailableError("lost")); });
        return;
      }
      After(Delay(30), [this, number, answer] { world_.Answer(number, answer); });
      if (Chance(0.2)) After(Delay(3000), [this, number, answer] { world_.Answer(number, answer); });
    });
  }

  // In order on one stream; lost only with it.
  void Carry(Report report) {
    stream_at_ = std::max(stream_at_ + absl::Nanoseconds(1), Now() + Delay(30));
    After(stream_at_ - Now(), [this, report = std::move(report), stream = stream_] {
      if (stream != stream_ || report.body->sequence == 0) return;
      if (Chance(0.05)) return;  // its commit failed
      const ReportAnswer answer = coordinator_.Report(report);
      answers_at_ = std::max(answers_at_ + absl::Nanoseconds(1), Now() + Delay(30));
      After(answers_at_ - Now(), [this, stream, answer] {
        world_.agent->OnLinkEvent(ReportAnswered{stream, answer}, world_.clock.Now());
      });
    });
  }

  void Start(AttemptStart start) {
    const int64_t attempt = start.attempt.value();
    EXPECT_TRUE(training_.try_emplace(attempt).second);
    EXPECT_LE(training_.size(), static_cast<size_t>(slots_)) << "more attempts than slots";
    ScheduleStep(attempt);
  }
  void ScheduleStep(int64_t attempt) {
    After(Delay(2000), [this, attempt] { Step(attempt); });
  }
  void Step(int64_t attempt) {
    const auto found = training_.find(attempt);
    if (found == training_.end()) return;
    Training& training = found->second;
    if (training.stopping || Chance(0.02)) {
      const auto end = training.stopping ? AttemptEnd::kStopped : AttemptEnd::kCrashed;
      training_.erase(found);
      return world_.Ended(attempt, end);
    }
    if (!training.paused) world_.Metrics(attempt, {training.next_step++});
    if (training.next_step <= kLastStep) return ScheduleStep(attempt);
    training_.erase(found);
    world_.Ended(attempt, AttemptEnd::kFinished, kLastStep);
  }
  void Obey(const std::string& command) {
    const auto found = training_.find(std::stoll(command.substr(command.rfind(' '))));
    if (found == training_.end()) return;
    if (command[0] == 's') found->second.stopping = true;
    if (command[0] == 'p') found->second.paused = true;
    if (command[0] == 'r') found->second.paused = false;
  }

  void Check() {
    std::vector<int64_t> all_rows(kLastStep + 1);
    std::iota(all_rows.begin(), all_rows.end(), 0);
    for (const auto& [id, run] : coordinator_.runs()) {
      EXPECT_EQ(run.times_finished, 1) << "run " << id;
      EXPECT_EQ(run.rows, all_rows) << "run " << id;
    }
    EXPECT_EQ(world_.agent->lease_count(), 0u);
    EXPECT_EQ(world_.files.held.size(), training_.size()) << "directories are left";
  }
  void Clear() {
    world_.link.calls.clear();
    world_.link.streams.clear();
    world_.link.reports.clear();
    world_.pool.commands.clear();
  }

  std::mt19937_64 random_;
  World world_;
  ModelCoordinator coordinator_;
  const int slots_;
  std::multimap<absl::Duration, std::function<void()>> queue_;
  std::map<int64_t, Training> training_;
  int64_t stream_ = 0;
  absl::Duration stream_at_;
  absl::Duration answers_at_;
  bool calm_ = false;
};

TEST(AgentAtRandom, EveryRunIsFinishedOnceWithAllItsRows) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Simulation(seed, 1 + static_cast<int>(seed % 3), 8).Run();
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace seedbed::agent
