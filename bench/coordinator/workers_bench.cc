// How long workers wait for an answer while there are many of them, each synchronising every few seconds: in calm,
// while all report rows, while a program reads with a query that does not end, and while one worker sends and never
// reads. Then how soon the runs of a worker that died are leased again. And whether threads grow with workers and
// streams.
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/coordinator/arguments.h"
#include "bench/coordinator/connection.h"
#include "bench/coordinator/fleet.h"

namespace seedbed::bench {
namespace {

// Counts for as long as the coordinator allows, and holds a snapshot of the database meanwhile; then once more.
class LongReader {
 public:
  explicit LongReader(const CoordinatorProcess& coordinator) : connection_(coordinator), thread_([this] { Work(); }) {}
  ~LongReader() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
      if (context_ != nullptr) context_->TryCancel();
    }
    thread_.join();
  }
  int64_t queries() const { return queries_; }

 private:
  void Work() {
    while (true) {
      grpc::ClientContext context;
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (stopping_) return;
        context_ = &context;
      }
      connection_.Prepare(&context);
      v1::QueryRequest request;
      request.set_sql("SELECT count(*) FROM runs AS a, runs AS b, runs AS c");
      const auto reader = connection_.sweeps().Query(&context, request);
      v1::QueryResponse response;
      while (reader->Read(&response)) {
      }
      reader->Finish();  // it ran out of time, or was cancelled
      ++queries_;
      const std::lock_guard<std::mutex> lock(mutex_);
      context_ = nullptr;
    }
  }

  Connection connection_;
  std::atomic<int64_t> queries_{0};
  std::mutex mutex_;
  grpc::ClientContext* context_ = nullptr;  // guarded by mutex_
  bool stopping_ = false;                   // guarded by mutex_
  std::thread thread_;
};

// Sends reports that cannot be taken yet (an earlier one is missing), as fast as they go, and never reads an answer.
class StuckWorker {
 public:
  static constexpr int kReports = 20'000;  // some 100 MB

  explicit StuckWorker(const CoordinatorProcess& coordinator) : holder_(coordinator, "stuck", 1) {
    holder_.TakeAll();
    stream_ = std::make_unique<ReportStream>(&holder_.connection(), nullptr);
    v1::ReportRequest report;
    report.set_worker_id(holder_.id());
    *report.mutable_lease() = holder_.leases().front();
    report.set_sequence(2);
    v1::MetricSeries* series = report.mutable_rows()->add_series();
    series->set_metric("train_loss");
    for (int row = 0; row < 500; ++row) {
      report.mutable_rows()->add_steps(row);
      series->add_values(row);
    }
    for (int i = 0; i < kReports; ++i) stream_->Send(report);
  }

  // Hands its run back, so that nobody waits for it.
  ~StuckWorker() {
    stream_.reset();
    v1::SynchronizeRequest goodbye = FactsOf(holder_.id(), 1);
    goodbye.set_number(1'000'000);
    goodbye.set_goodbye(true);
    grpc::ClientContext context;
    holder_.connection().Prepare(&context);
    v1::SynchronizeResponse response;
    Check(holder_.connection().workers().Synchronize(&context, goodbye, &response), "say goodbye");
  }

 private:
  LeaseHolder holder_;
  std::unique_ptr<ReportStream> stream_;
};

struct Shape {
  int workers = 2000;
  int slots = 4;
  double period = 5;
  double phase = 20;  // seconds
  double lease = 15;  // seconds
};

void MeasurePhase(const std::string& name, const CoordinatorProcess& coordinator, double seconds, Fleet* fleet,
                  Report* report) {
  fleet->TakeLatencies();
  const double cpu_before = coordinator.Figures().cpu_seconds;
  const double start = Seconds();
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  const std::vector<double> latencies = fleet->TakeLatencies();
  const double took = Seconds() - start;
  const ProcessFigures figures = coordinator.Figures();
  report->AddRow({name, static_cast<double>(latencies.size()) / took, 1e3 * Percentile(latencies, 0.5),
                  1e3 * Percentile(latencies, 0.99), 1e3 * Percentile(latencies, 1),
                  (figures.cpu_seconds - cpu_before) / took, figures.threads,
                  static_cast<double>(figures.resident_bytes) / 1e6});
}

// Seconds from the end of a dead worker's lease until the last of its runs was leased again.
double SecondsUntilLeasedAgain(const CoordinatorProcess& coordinator, const Shape& shape, Fleet* fleet) {
  LeaseHolder heir(coordinator, "heir", shape.slots + 1);  // one is left by the worker that was stuck
  const LeaseHolder& dead = fleet->Kill(0);
  const double heard_of = dead.last_answer();
  heir.TakeAll();
  return heir.last_answer() - heard_of - shape.lease;
}

void MeasureFleet(const Arguments& arguments, const Shape& shape, Report* report) {
  const ScratchDirectory scratch(arguments.directory, /*keep=*/false);
  report->AddFact("fsync of 4 KiB, ms", 1e3 * FsyncSeconds(scratch.path()));
  const auto coordinator = CoordinatorProcess::Start(arguments.coordinator, scratch.path() + "/data",
                                                     {"--lease-seconds", absl::StrCat(shape.lease)});
  Connection connection(*coordinator);
  const CallFloor floor = MeasureCallFloor(&connection, arguments.smoke ? 0.05 : 2);
  report->AddFact("a call that does nothing, us", 1e6 * floor.median_seconds);
  report->AddFact("workers", shape.workers);
  report->AddFact("leases each", shape.slots);
  report->AddFact("seconds between two calls of a worker", shape.period);
  report->AddFact("threads before any worker came", coordinator->Figures().threads);
  const int64_t runs = int64_t{shape.workers} * shape.slots;
  Submit(&connection, SweepText("fleet", 1, runs + 1));  // one for the worker that gets stuck
  Fleet fleet(*coordinator, shape.workers, shape.slots, shape.period);
  const double end = Seconds() + 20 * shape.period + 20;
  while (fleet.held() < runs) {
    if (Seconds() > end) Check(absl::DeadlineExceededError(absl::StrCat(fleet.held(), " leases")), "lease all runs");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  std::this_thread::sleep_for(std::chrono::duration<double>(shape.period));  // every grant is listed
  MeasurePhase("calm", *coordinator, shape.phase, &fleet, report);
  fleet.TurnReportsOn();
  std::this_thread::sleep_for(std::chrono::duration<double>(shape.period));
  MeasurePhase("with reports", *coordinator, shape.phase, &fleet, report);
  {
    const LongReader reader(*coordinator);
    MeasurePhase("and a long reader", *coordinator, shape.phase, &fleet, report);
  }
  {
    const StuckWorker stuck(*coordinator);
    MeasurePhase("and a stuck worker", *coordinator, shape.phase, &fleet, report);
  }
  report->AddFact("dead worker's runs leased again, seconds after the lease's end",
                  SecondsUntilLeasedAgain(*coordinator, shape, &fleet));
  fleet.Quit();
  coordinator->Stop();
}

int Main(int argc, char** argv) {
  Arguments arguments;
  Shape shape;
  CLI::App app("How long workers wait for an answer, and what disturbs them.");
  Describe(&app, &arguments);
  app.add_option("--workers", shape.workers)->capture_default_str();
  app.add_option("--slots", shape.slots, "leases of each worker")->capture_default_str();
  app.add_option("--period", shape.period, "seconds between two calls of a worker")->capture_default_str();
  app.add_option("--phase", shape.phase, "seconds of each measurement")->capture_default_str();
  app.add_option("--lease", shape.lease, "seconds")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  if (arguments.smoke) {
    shape.workers = 20;
    shape.period = 0.4;
    shape.phase = 0.5;
    shape.lease = 2;
  }
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  Report report("many workers",
                {"phase", "calls/s", "median ms", "p99 ms", "longest ms", "coordinator CPUs", "threads", "RSS MB"});
  MeasureFleet(arguments, shape, &report);
  report.Print(arguments.json);
  return 0;
}

}  // namespace
}  // namespace seedbed::bench

int main(int argc, char** argv) {
  return seedbed::bench::Main(argc, argv);
}
