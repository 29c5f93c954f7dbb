// How many runs that do nothing go from lease to durable, accepted result in a second: one coordinator, and workers
// that report the end of whatever they are given at once. By the number of leases that a worker holds at a time.
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "bench/coordinator/arguments.h"
#include "bench/coordinator/connection.h"

namespace seedbed::bench {
namespace {

constexpr char kSummary[] = R"({"final_test_accuracy":0.99,"t_test_99":2450,"t_train_99":50,"wall_seconds":0.001})";

double OwnCpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

class NoOpWorker {
 public:
  NoOpWorker(const CoordinatorProcess& coordinator, std::string id, int slots)
      : connection_(coordinator), id_(std::move(id)), slots_(slots) {
    reports_ = std::make_unique<ReportStream>(&connection_,
                                              [this](const v1::ReportResponse& response) { OnAnswered(response); });
  }
  ~NoOpWorker() {
    {
      std::unique_lock<std::mutex> lock(mutex_);
      stopping_ = true;  // a call that is held is answered when the coordinator stops
      changed_.wait(lock, [this] { return !calling_; });
    }
    reports_.reset();
  }

  void Start() { SynchronizeIfItPays(); }
  // From now on it asks for nothing, and minds no refusal.
  void Quit() {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  int64_t finished() const { return finished_; }

 private:
  // With half of its leases done it asks for as many again, so that there is always something under way.
  void SynchronizeIfItPays() {
    v1::SynchronizeRequest request;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (calling_ || stopping_ || static_cast<int>(held_.size()) > slots_ / 2) return;
      calling_ = true;
      request = FactsOf(id_, slots_);
      request.set_number(++number_);
      request.set_free_slots(slots_ - static_cast<int>(held_.size()));
      for (const auto& [run, lease] : held_) {
        v1::HeldLease* held = request.add_leases();
        *held->mutable_lease() = lease;
        held->set_training(true);
      }
    }
    SynchronizeCall::Start(&connection_, std::move(request),
                           [this](const v1::SynchronizeResponse* response) { OnSynchronized(response); });
  }

  void OnSynchronized(const v1::SynchronizeResponse* response) {
    std::vector<v1::LeaseKey> granted;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (response == nullptr && !stopping_) Check(absl::UnavailableError("a call failed"), "synchronise");
      if (response != nullptr) {
        for (const v1::LeaseToStart& start : response->start()) {
          if (held_.emplace(start.lease().run_id(), start.lease()).second) granted.push_back(start.lease());
        }
      }
    }
    for (const v1::LeaseKey& lease : granted) reports_->Send(EndOf(lease));
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      calling_ = false;
      changed_.notify_all();
      if (stopping_) return;
    }
    SynchronizeIfItPays();
  }

  v1::ReportRequest EndOf(const v1::LeaseKey& lease) const {
    v1::ReportRequest report;
    report.set_worker_id(id_);
    *report.mutable_lease() = lease;
    report.set_sequence(1);
    report.mutable_ended()->set_end(v1::ATTEMPT_END_FINISHED);
    report.mutable_ended()->set_pack(1);
    v1::RunResult* result = report.mutable_ended()->mutable_result();
    result->set_outcome("grokked");
    result->set_reason("budget");
    result->set_last_step(3000);
    result->set_summary_json(kSummary);
    return report;
  }

  void OnAnswered(const v1::ReportResponse& response) {
    if (response.verdict() != v1::ReportResponse::VERDICT_ACKNOWLEDGED) {
      Check(absl::InternalError(absl::StrCat("refused: ", response.reason())), "report an end");
    }
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      held_.erase(response.lease().run_id());
    }
    ++finished_;
    SynchronizeIfItPays();
  }

  Connection connection_;
  const std::string id_;
  const int slots_;
  std::unique_ptr<ReportStream> reports_;
  std::atomic<int64_t> finished_{0};

  std::mutex mutex_;
  std::condition_variable changed_;
  absl::flat_hash_map<int64_t, v1::LeaseKey> held_;  // guarded by mutex_, as all below
  int64_t number_ = 0;
  bool calling_ = false;
  bool stopping_ = false;
};

struct Shape {
  int workers = 2;
  int slots = 512;
  int64_t runs = 100'000;
};

// Runs finished by all workers, `runs` of them; returns the seconds that it took.
double FinishAll(const std::vector<std::unique_ptr<NoOpWorker>>& workers, int64_t runs) {
  const double start = Seconds();
  for (const auto& worker : workers) worker->Start();
  int64_t finished = 0;
  int64_t before = -1;
  double moved = start;
  while (finished < runs) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    finished = 0;
    for (const auto& worker : workers) finished += worker->finished();
    if (finished != before) moved = Seconds();
    before = finished;
    if (Seconds() - moved > 60) Check(absl::DeadlineExceededError(absl::StrCat(finished, " finished")), "go on");
  }
  return Seconds() - start;
}

void Measure(const Arguments& arguments, const std::vector<std::string>& options, const Shape& shape, Report* report) {
  const ScratchDirectory scratch(arguments.directory, /*keep=*/false);
  const auto coordinator = CoordinatorProcess::Start(arguments.coordinator, scratch.path() + "/data", options);
  Connection connection(*coordinator);
  constexpr int64_t kSeeds = 5;
  const int64_t configurations = std::max<int64_t>(1, shape.runs / kSeeds);
  Submit(&connection, SweepText("noop", configurations, kSeeds));
  const int64_t runs = configurations * kSeeds;
  std::vector<std::unique_ptr<NoOpWorker>> workers;
  for (int i = 0; i < shape.workers; ++i) {
    workers.push_back(std::make_unique<NoOpWorker>(*coordinator, absl::StrCat("worker-", i), shape.slots));
  }
  const double cpu_before = coordinator->Figures().cpu_seconds;
  const double own_before = OwnCpuSeconds();
  const double seconds = FinishAll(workers, runs);
  const double cpu = coordinator->Figures().cpu_seconds - cpu_before;
  const double own = OwnCpuSeconds() - own_before;
  const v1::ListSweepsResponse sweeps = ListSweeps(&connection);
  if (sweeps.sweeps(0).runs().finished() != runs) {
    Check(absl::InternalError(absl::StrCat(sweeps.sweeps(0).runs().finished(), " of ", runs)),
          "find all runs finished");
  }
  for (const auto& worker : workers) worker->Quit();
  coordinator->Stop();  // answers the calls that wait for more work
  const double count = static_cast<double>(runs);
  report->AddRow(
      {shape.workers, shape.slots, runs, count / seconds, 1e6 * cpu / count, 1e6 * own / count, (cpu + own) / seconds});
}

int Main(int argc, char** argv) {
  Arguments arguments;
  int64_t runs = 100'000;
  std::vector<int> slots = {1, 16, 128, 512};
  int workers = 2;
  std::string synchronous = "full";
  CLI::App app("No-op runs a second, from lease to accepted, durable result.");
  Describe(&app, &arguments);
  app.add_option("--runs", runs, "runs of each measurement; fewer where few leases are held")->capture_default_str();
  app.add_option("--slots", slots, "leases that a worker holds at a time, one row each")->capture_default_str();
  app.add_option("--workers", workers)->capture_default_str();
  app.add_option("--synchronous", synchronous, "of the coordinator")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  if (arguments.smoke) {
    runs = 200;
    slots = {16};
  }
  Report report("no-op runs", {"workers", "leases each", "runs", "runs/s", "coordinator CPU us/run",
                               "workers CPU us/run", "CPUs busy"});
  {
    const ScratchDirectory scratch(arguments.directory, /*keep=*/false);
    report.AddFact("synchronous", synchronous);
    report.AddFact("fsync of 4 KiB, ms", 1e3 * FsyncSeconds(scratch.path()));
    const auto coordinator = CoordinatorProcess::Start(arguments.coordinator, scratch.path() + "/data");
    Connection connection(*coordinator);
    const CallFloor floor = MeasureCallFloor(&connection, arguments.smoke ? 0.05 : 2);
    report.AddFact("a call that does nothing, us", 1e6 * floor.median_seconds);
    report.AddFact("calls that do nothing/s, 64 under way", floor.calls_per_second);
  }
  for (const int each : slots) {
    Shape shape;
    shape.workers = workers;
    shape.slots = each;
    // About as long for each row: few leases wait for one commit after another.
    shape.runs = std::min<int64_t>(runs, int64_t{2000} * each * workers);
    shape.runs = std::max<int64_t>(1, shape.runs / 5000) * 5000;
    if (arguments.smoke) shape.runs = runs;
    Measure(arguments, {"--synchronous", synchronous}, shape, &report);
  }
  report.Print(arguments.json);
  return 0;
}

}  // namespace
}  // namespace seedbed::bench

int main(int argc, char** argv) {
  return seedbed::bench::Main(argc, argv);
}
