#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "worker/agent/agent.h"

// An agent between fakes that record what it does and do nothing by themselves. What is recorded must be taken by the
// test: the world fails a test that leaves something behind.
namespace seedbed::agent {

class RecordingLink final : public CoordinatorLink {
 public:
  void Synchronize(SynchronizeRequest request, absl::Duration) override { calls.push_back(std::move(request)); }
  void OpenReports(int64_t stream) override { streams.push_back(stream); }
  void SendReport(Report report) override { reports.push_back(std::move(report)); }
  int64_t ReportBytesWaiting() const override { return bytes_waiting; }
  void PutCheckpoint(CheckpointUpload upload) override { uploads.push_back(std::move(upload)); }
  void GetCheckpoint(CheckpointDownload download) override { downloads.push_back(std::move(download)); }

  std::deque<SynchronizeRequest> calls;
  std::deque<int64_t> streams;
  std::deque<Report> reports;
  int64_t bytes_waiting = 0;
  std::deque<CheckpointUpload> uploads;
  std::deque<CheckpointDownload> downloads;
};

class RecordingPool final : public EnginePool {
 public:
  explicit RecordingPool(int engines) : engines_(engines) {}
  int engine_count() const override { return engines_; }
  void Start(EventHandler) override {}
  void StartRun(AttemptStart start) override { starts.push_back(std::move(start)); }
  void StopRun(AttemptId attempt, bool checkpoint) override {
    commands.push_back((checkpoint ? "stop with checkpoint " : "stop ") + std::to_string(attempt.value()));
  }
  void Checkpoint(AttemptId attempt) override { commands.push_back("checkpoint " + std::to_string(attempt.value())); }
  void PauseReading(AttemptId attempt) override { commands.push_back("pause " + std::to_string(attempt.value())); }
  void ResumeReading(AttemptId attempt) override { commands.push_back("resume " + std::to_string(attempt.value())); }
  void Shutdown() override { commands.push_back("shutdown"); }

  std::deque<AttemptStart> starts;
  std::deque<std::string> commands;

 private:
  int engines_;
};

class RecordingFiles final : public AttemptFiles {
 public:
  absl::StatusOr<std::string> Create(RunId run, int attempt) override {
    if (!failure.ok()) return failure;
    held.push_back(absl::StrCat("/attempts/", run.value(), "-", attempt, "-", ++made));
    return held.back();
  }
  void Remove(const std::string& directory) override {
    held.erase(std::remove(held.begin(), held.end(), directory), held.end());
  }

  void RemoveFile(const std::string& path) override { removed.push_back(path); }

  absl::Status failure;
  int made = 0;
  std::vector<std::string> held;
  std::vector<std::string> removed;  // single files
};

class RecordingObserver final : public AgentObserver {
 public:
  void Registered(const SynchronizeRequest&) override { ++registrations; }
  void Info(const std::string& text) override { infos.push_back(text); }
  void Warning(const std::string& text) override { warnings.push_back(text); }

  int registrations = 0;
  std::vector<std::string> infos;
  std::vector<std::string> warnings;
};

inline const char* kSpecification =
    R"({"trainer":"modular","parameters":{},"seed":0,"budget":{"steps":10,"seconds":null},"stop":[],)"
    R"("metrics":{"log_every":1,"evaluate_every":1}})";

inline LeaseKey Key(int64_t run, int attempt = 1, int64_t fence = 1) {
  return {RunId(run), attempt, Fence(fence)};
}

inline LeaseToStart Granted(LeaseKey key, std::string specification = kSpecification) {
  LeaseToStart start;
  start.lease = key;
  start.sweep = "sweep";
  start.specification_json = std::move(specification);
  return start;
}

class World {
 public:
  // Without `checkpoint_every` no engine is asked for one.
  explicit World(int slots = 1, AgentOptions options = {}, absl::Duration checkpoint_every = absl::InfiniteDuration())
      : pool(slots) {
    options.checkpoint_every = checkpoint_every;
    options.worker = WorkerId("w1");
    options.name = "node-1";
    options.host = "node";
    options.version = "1.2.3";
    options.slots = slots;
    agent = std::make_unique<Agent>(options, &link, &pool, &files, &observer, [] { return 0.5; });
  }
  ~World() { ExpectQuiet(); }

  void ExpectQuiet() {
    EXPECT_TRUE(link.calls.empty()) << link.calls.size() << " calls of Synchronize were not taken";
    EXPECT_TRUE(link.streams.empty()) << "a stream was opened and not taken";
    EXPECT_TRUE(link.reports.empty()) << link.reports.size() << " reports were not taken";
    EXPECT_TRUE(link.uploads.empty()) << "a checkpoint was sent and not taken";
    EXPECT_TRUE(link.downloads.empty()) << "a checkpoint was asked for and not taken";
    EXPECT_TRUE(pool.starts.empty()) << pool.starts.size() << " starts were not taken";
    EXPECT_TRUE(pool.commands.empty()) << "not taken: " << (pool.commands.empty() ? "" : pool.commands.front());
  }

  // Time passes; the agent is woken when it asked for it.
  void Pass(absl::Duration by) {
    const absl::Duration until = clock.Now().monotonic + by;
    for (int wakes = 0; wakes < 10000; ++wakes) {
      const std::optional<absl::Duration> wake = agent->NextWake(clock.Now());
      if (!wake || *wake > until) break;
      clock.Advance(std::max(absl::ZeroDuration(), *wake - clock.Now().monotonic));
      agent->OnTime(clock.Now());
      ASSERT_LT(wakes, 9999) << "the agent spins";
    }
    clock.Advance(until - clock.Now().monotonic);
    agent->OnTime(clock.Now());
  }
  // Lets pass what the agent puts between two calls or waits to gather rows.
  void Settle() { Pass(absl::Milliseconds(150)); }

  // --- engines
  void EngineReady(int engine = 0, int capacity = 1, std::vector<std::string> trainers = {"modular"}) {
    EngineReady_(engine, capacity, std::move(trainers), "cpu");
  }
  void EngineReady_(int engine, int capacity, std::vector<std::string> trainers, std::string device) {
    EngineBecameReady event;
    event.engine = engine;
    event.info.engine = "fake 1";
    event.info.trainers = std::move(trainers);
    event.info.capacity = capacity;
    event.info.device = std::move(device);
    event.info.numerics = {{"blas", "none"}};
    agent->OnEngineEvent(event, clock.Now());
  }
  void EngineDown(int engine = 0) {
    agent->OnEngineEvent(EngineWentDown{engine, "killed", absl::ZeroDuration(), /*refused=*/false}, clock.Now());
  }
  void Metrics(int64_t attempt, std::vector<int64_t> steps, std::string metric = "train_loss") {
    AttemptMetrics event;
    event.attempt = AttemptId(attempt);
    event.columns = {{std::move(metric), {}}};
    for (const int64_t step : steps) event.columns[0].values.push_back(static_cast<double>(step) / 4);
    event.steps = std::move(steps);
    agent->OnEngineEvent(event, clock.Now());
  }
  void Log(int64_t attempt, std::string text) {
    agent->OnEngineEvent(AttemptLog{AttemptId(attempt), std::move(text)}, clock.Now());
  }
  void Ended(int64_t attempt, seedbed::AttemptEnd end, std::optional<int64_t> last_step = std::nullopt) {
    AttemptEnded event;
    event.attempt = AttemptId(attempt);
    event.end = end;
    event.reason = end == AttemptEnd::kFinished ? "budget" : "the engine's reason";
    event.outcome = end == AttemptEnd::kFinished ? "grokked" : "";
    event.last_step = last_step;
    if (end == AttemptEnd::kFinished) event.summary = {{"t_train_99", 7}};
    agent->OnEngineEvent(event, clock.Now());
  }

  // --- the coordinator
  SynchronizeAnswer Desired() const {
    SynchronizeAnswer answer;
    answer.next_call_after = absl::Seconds(5);
    answer.lease_duration = absl::Seconds(15);
    answer.database_id = "db1";
    return answer;
  }
  // The oldest call not yet taken.
  SynchronizeRequest Call() {
    if (link.calls.empty()) {
      ADD_FAILURE() << "no call of Synchronize";
      return {};
    }
    SynchronizeRequest call = link.calls.front();
    link.calls.pop_front();
    return call;
  }
  void Answer(int64_t number, absl::StatusOr<SynchronizeAnswer> answer) {
    agent->OnLinkEvent(SynchronizeAnswered{number, std::move(answer)}, clock.Now());
  }
  // Takes the next call and answers it.
  SynchronizeRequest CallAndAnswer(SynchronizeAnswer answer) {
    const SynchronizeRequest call = Call();
    Answer(call.number, std::move(answer));
    return call;
  }
  SynchronizeRequest CallAndAnswer() { return CallAndAnswer(Desired()); }

  // Engines ready, registered, `leases` granted and listed; the starts lie in pool.starts.
  void Train(const std::vector<LeaseToStart>& leases) {
    for (int engine = 0; engine < pool.engine_count(); ++engine) EngineReady(engine);
    SynchronizeAnswer answer = Desired();
    answer.start = leases;
    CallAndAnswer(answer);
    Settle();
    while (!link.calls.empty()) CallAndAnswer();
  }
  AttemptStart Started() {
    if (pool.starts.empty()) {
      ADD_FAILURE() << "nothing was started";
      return {};
    }
    AttemptStart start = pool.starts.front();
    pool.starts.pop_front();
    return start;
  }
  std::string Commanded() {
    if (pool.commands.empty()) return "nothing";
    std::string command = pool.commands.front();
    pool.commands.pop_front();
    return command;
  }
  int64_t StreamOpened() {
    if (link.streams.empty()) return 0;
    const int64_t stream = link.streams.front();
    link.streams.pop_front();
    return stream;
  }
  Report Reported() {
    if (link.reports.empty()) {
      ADD_FAILURE() << "nothing was reported";
      return {WorkerId(), {}, std::make_shared<ReportBody>()};
    }
    Report report = link.reports.front();
    link.reports.pop_front();
    return report;
  }
  void Verdict(LeaseKey lease, ReportVerdict verdict, int64_t sequence = 0, int64_t stream = 1) {
    agent->OnLinkEvent(ReportAnswered{stream, {lease, verdict, sequence, "because"}}, clock.Now());
  }
  void Acknowledge(LeaseKey lease, int64_t sequence, int64_t stream = 1) {
    Verdict(lease, ReportVerdict::kAcknowledged, sequence, stream);
  }
  void StreamBreaks(int64_t stream) {
    agent->OnLinkEvent(ReportStreamBroken{stream, absl::UnavailableError("gone")}, clock.Now());
  }

  FakeClock clock;
  RecordingLink link;
  RecordingPool pool;
  RecordingFiles files;
  RecordingObserver observer;
  std::unique_ptr<Agent> agent;
};

// "1/1#1 training 5" for each lease: run, attempt, fence, what it does, step.
inline std::string Listed(const SynchronizeRequest& call) {
  std::string text;
  for (const HeldLease& held : call.leases) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", held.lease.run.value(), "/", held.lease.attempt, "#",
                    held.lease.fence.value(), held.training ? " training " : " idle ", held.step);
  }
  return text;
}

// "1/1#1 :2 rows 3,4" or "… end finished": the report's lease, sequence and content.
inline std::string Shown(const Report& report) {
  std::string text = absl::StrCat(report.lease.run.value(), "/", report.lease.attempt, "#", report.lease.fence.value(),
                                  " :", report.body->sequence);
  if (!report.body->rows.steps.empty()) {
    absl::StrAppend(&text, " rows");
    for (const int64_t step : report.body->rows.steps) absl::StrAppend(&text, " ", step);
  }
  if (report.body->end) absl::StrAppend(&text, " end ", ReportedEndName(report.body->end->end));
  if (!report.body->log.empty()) absl::StrAppend(&text, " log ", report.body->log);
  return text;
}

}  // namespace seedbed::agent
