// How fast the store takes metric rows, for several shapes of a commit, beside what the disk's own fsync costs; then
// how long the readers' views and a deletion take. Usage: storage_bench DIRECTORY [MILLIONS_OF_VALUES]. DIRECTORY must
// not exist; it is left behind.
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/clock.h"
#include "coordinator/storage/checkpointer.h"
#include "coordinator/storage/data_directory.h"
#include "coordinator/storage/reader.h"
#include "coordinator/storage/store.h"

namespace seedbed {
namespace {

constexpr int kConfigurations = 1000;
constexpr int kSeeds = 5;
constexpr int kRuns = kConfigurations * kSeeds;
constexpr const char* kMetrics[] = {"train_loss",           "train_accuracy",         "test_loss",     "test_accuracy",
                                    "test_accuracy_unseen", "test_accuracy_mirrored", "parameter_rms", "gradient_norm"};

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Of this process, the kernel's part included: says more than the wall on a machine that others use too.
double CpuSeconds() {
  timespec time;
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

void Check(const absl::Status& status) {
  if (status.ok()) return;
  std::cerr << status << "\n";
  std::exit(1);
}

// Median seconds of a 4 KiB write and fsync, as a commit's floor.
double FsyncSeconds(const std::string& directory) {
  const std::string path = directory + "/fsync_probe";
  const int descriptor = ::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  const std::string page(4096, 'x');
  std::vector<double> times;
  for (int i = 0; i < 51; ++i) {
    const double start = Seconds();
    if (::write(descriptor, page.data(), page.size()) < 0 || ::fsync(descriptor) != 0) std::exit(1);
    times.push_back(Seconds() - start);
  }
  ::close(descriptor);
  ::unlink(path.c_str());
  std::nth_element(times.begin(), times.begin() + 25, times.end());
  return times[25];
}

Batch SweepBatch() {
  Batch batch;
  batch.now = SystemClock().Now();
  core::SweepCreated sweep;
  sweep.sweep = SweepId(1);
  sweep.name = "bench";
  sweep.fixed_json = "{}";
  sweep.template_json = R"({"metrics":{"evaluate_every":100,"log_every":100},"trainer":"modular"})";
  sweep.metric_json = "null";
  batch.events.push_back(sweep);
  core::WorkerRegistered worker;
  worker.worker = WorkerId("w");
  batch.events.push_back(worker);
  for (int i = 0; i < kConfigurations; ++i) {
    core::ConfigurationAdded configuration;
    configuration.configuration = ConfigurationId(i + 1);
    configuration.sweep = SweepId(1);
    configuration.ordinal = i;
    configuration.parameters_json = absl::StrCat(R"({"model.width":256,"optimizer.weight_decay":)", i, "}");
    configuration.digest = DigestOf(configuration.parameters_json);
    batch.events.push_back(configuration);
    for (int seed = 0; seed < kSeeds; ++seed) {
      core::RunAdded run;
      run.run = RunId(i * kSeeds + seed + 1);
      run.sweep = SweepId(1);
      run.configuration = configuration.configuration;
      run.seed = seed;
      run.round = seed;
      batch.events.push_back(run);
      core::AttemptGranted granted;
      granted.lease = core::LeaseKey{run.run, 1, Fence(1)};
      granted.worker = worker.worker;
      batch.events.push_back(granted);
    }
  }
  return batch;
}

// `runs` runs with `rows` rows each from `step` on, and their acknowledgements.
Batch MetricsBatch(int runs, int rows, int64_t step, int64_t sequence) {
  Batch batch;
  batch.now = SystemClock().Now();
  for (int run = 1; run <= runs; ++run) {
    MetricRows metrics;
    metrics.run = RunId(run);
    for (int row = 0; row < rows; ++row) metrics.steps.push_back((step + row) * 100);
    for (size_t i = 0; i < std::size(kMetrics); ++i) {
      metrics.series.push_back({kMetrics[i], {}});
      for (int row = 0; row < rows; ++row) {
        metrics.series.back().values.push_back(1.0 /
                                               static_cast<double>(step + row + run + static_cast<int64_t>(i) + 1));
      }
    }
    batch.metrics.push_back(std::move(metrics));
    batch.events.push_back(core::ReportAcknowledged{RunId(run), 1, sequence, (step + rows) * 100});
  }
  return batch;
}

template <typename Read>
void Time(const std::string& what, Read read) {
  const double start = Seconds();
  const double cpu_start = CpuSeconds();
  Check(read().status());
  absl::PrintF("%s: %.3f s, CPU %.3f s\n", what, Seconds() - start, CpuSeconds() - cpu_start);
}

void FinishAll(Store* store) {
  Batch batch;
  batch.now = SystemClock().Now();
  for (int run = 1; run <= kRuns; ++run) {
    core::AttemptEnded ended;
    ended.run = RunId(run);
    ended.attempt = 1;
    ended.next_fence = Fence(2);
    ended.end = core::AttemptEnd::kFinished;
    ended.next_state = core::RunState::kFinished;
    ended.result =
        core::RunResult{"grokked", "budget", 60'000,
                        absl::StrCat(R"({"t_test_99":)", 20'000 + run, R"(,"t_train_99":)", 500 + run % 97, "}")};
    batch.events.push_back(ended);
  }
  Time(absl::StrCat("finish ", kRuns, " runs in one commit"),
       [&] { return absl::StatusOr<bool>(store->Write(batch).ok()); });
}

void Run(const std::string& directory, double millions) {
  StoreOptions options;
  options.directory = directory;
  options.database_id_if_created = "bench";
  auto opened = Store::Open(options, SystemClock().Now());
  Check(opened.status());
  Store& store = **opened;
  auto checkpointer = Checkpointer::Open(store.database_path());
  Check(checkpointer.status());
  absl::PrintF("fsync of 4 KiB: %.2f ms (median of 51)\n", 1e3 * FsyncSeconds(directory));
  double start = Seconds();
  Check(store.Write(SweepBatch()));
  absl::PrintF("submit and grant %d runs in one commit: %.3f s\n", kRuns, Seconds() - start);

  const std::pair<int, int> shapes[] = {{1, 1}, {16, 10}, {2000, 1}, {2000, 50}, {kRuns, 10}};
  int64_t step = 0;
  int64_t sequence = 0;
  std::puts("runs x rows a commit | commits | values/s | values per CPU second | ms a commit | longest ms");
  for (const auto& [runs, rows] : shapes) {
    const double values = static_cast<double>(runs) * rows * static_cast<double>(std::size(kMetrics));
    const int commits = std::max(3, std::min(200, static_cast<int>(millions * 1e6 / values)));
    double total = 0;
    double cpu = 0;
    double longest = 0;
    for (int i = 0; i < commits; ++i) {
      const Batch batch = MetricsBatch(runs, rows, step, ++sequence);
      step += rows;
      start = Seconds();
      const double cpu_start = CpuSeconds();
      Check(store.Write(batch));
      const double took = Seconds() - start;
      cpu += CpuSeconds() - cpu_start;
      total += took;
      longest = std::max(longest, took);
      Check(checkpointer->Run().status());  // elsewhere a thread of its own; here between commits, untimed
    }
    absl::PrintF("%5d x %-3d | %d | %.2f M | %.2f M | %.1f | %.1f\n", runs, rows, commits,
                 values * commits / total / 1e6, values * commits / cpu / 1e6, 1e3 * total / commits, 1e3 * longest);
  }
  FinishAll(&store);

  auto reader = Reader::Open(store.database_path());
  Check(reader.status());
  Time("list 5,000 runs", [&] { return (*reader)->ListRuns({}); });
  Time("list 1,000 configurations", [&] { return (*reader)->ListConfigurations(SweepId(1)); });
  Time("list sweeps", [&] { return (*reader)->ListSweeps(); });
  Time("load", [&] { return store.Load({}, absl::ZeroDuration()); });
  Time("count rows", [&] { return (*reader)->Query("SELECT count(*) FROM steps"); });
  core::RunsDeleted deleted;
  deleted.sweep = SweepId(1);
  for (int run = kRuns; run > kRuns - 1000; --run) deleted.runs.push_back(RunId(run));
  Batch deletion;
  deletion.now = SystemClock().Now();
  deletion.events.push_back(deleted);
  Time("delete 1,000 runs", [&] { return absl::StatusOr<bool>(store.Write(deletion).ok()); });
}

}  // namespace
}  // namespace seedbed

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: storage_bench DIRECTORY [MILLIONS_OF_VALUES]\n";
    return 2;
  }
  seedbed::Run(argv[1], argc > 2 ? std::atof(argv[2]) : 4);
  return 0;
}
