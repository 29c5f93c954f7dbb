// How many metric values a second go over gRPC into SQLite, durably, and how many bytes each takes there: by the rows
// that a run has in one commit. Every run has one report under way: it sends the next when that one was acknowledged.
#include <algorithm>
#include <atomic>
#include <filesystem>
#include <memory>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "bench/coordinator/arguments.h"
#include "bench/coordinator/connection.h"
#include "bench/coordinator/lease_holder.h"
#include "bench/coordinator/plain_sqlite.h"

namespace seedbed::bench {
namespace {

constexpr const char* kMetrics[] = {"train_loss",    "train_accuracy", "test_loss",
                                    "test_accuracy", "parameter_rms",  "gradient_norm"};
constexpr int64_t kValuesPerRow = static_cast<int64_t>(std::size(kMetrics));
constexpr int64_t kLogEvery = 100;  // steps between two rows

// Rows of doubles that have no short form, so that each takes its eight bytes in the file.
v1::MetricRows RandomRows(int rows, unsigned seed) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> distribution(0, 1);
  v1::MetricRows message;
  for (const char* metric : kMetrics) {
    v1::MetricSeries* series = message.add_series();
    series->set_metric(metric);
    for (int row = 0; row < rows; ++row) series->add_values(distribution(random));
  }
  return message;
}

// A worker that trains nothing and reports all the time.
class Reporter {
 public:
  Reporter(const CoordinatorProcess& coordinator, const std::string& id, int runs, int rows)
      : holder_(coordinator, id, runs), rows_(rows) {
    for (unsigned seed = 0; seed < 16; ++seed) patterns_.push_back(RandomRows(rows, seed));
  }
  void Start() {
    holder_.TakeAll();
    stream_ = std::make_unique<ReportStream>(&holder_.connection(),
                                             [this](const v1::ReportResponse& response) { OnAnswered(response); });
    for (const v1::LeaseKey& lease : holder_.leases()) SendNext(lease, 1);
  }
  void Heartbeat() { holder_.Synchronize(nullptr); }
  void Quit() {
    quit_ = true;
    holder_.Quit();
  }
  int64_t acknowledged_rows() const { return acknowledged_ * rows_; }

 private:
  void SendNext(const v1::LeaseKey& lease, int64_t sequence) {
    v1::ReportRequest report;
    report.set_worker_id(holder_.id());
    *report.mutable_lease() = lease;
    report.set_sequence(sequence);
    const auto run = static_cast<size_t>(lease.run_id());
    *report.mutable_rows() = patterns_[(run + static_cast<size_t>(sequence)) % patterns_.size()];
    for (int row = 0; row < rows_; ++row) report.mutable_rows()->add_steps(((sequence - 1) * rows_ + row) * kLogEvery);
    stream_->Send(std::move(report));
  }

  void OnAnswered(const v1::ReportResponse& response) {
    if (quit_) return;
    if (response.verdict() != v1::ReportResponse::VERDICT_ACKNOWLEDGED) {
      Check(absl::InternalError(absl::StrCat("refused: ", response.reason())), "report rows");
    }
    ++acknowledged_;
    SendNext(response.lease(), response.sequence() + 1);
  }

  LeaseHolder holder_;
  const int rows_;
  std::vector<v1::MetricRows> patterns_;
  std::unique_ptr<ReportStream> stream_;
  std::atomic<int64_t> acknowledged_{0};  // reports
  std::atomic<bool> quit_{false};
};

struct Shape {
  int workers = 8;
  int runs = 1000;  // of each worker
  int rows = 50;
  double seconds = 10;
};

int64_t AcknowledgedRows(const std::vector<std::unique_ptr<Reporter>>& reporters) {
  int64_t rows = 0;
  for (const auto& reporter : reporters) rows += reporter->acknowledged_rows();
  return rows;
}

// Lets time pass while the leases are kept alive.
void Wait(const std::vector<std::unique_ptr<Reporter>>& reporters, double seconds) {
  const double end = Seconds() + seconds;
  double next = Seconds();
  while (Seconds() < end) {
    if (Seconds() >= next) {
      for (const auto& reporter : reporters) reporter->Heartbeat();
      next += 4;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

// Until the housekeeper has moved the write-ahead log into the database: what is left of it is small.
void WaitForTheLogToMove(const std::string& data) {
  constexpr uintmax_t kSmall = 8 << 20;
  const double end = Seconds() + 30;
  std::error_code error;
  while (Seconds() < end) {
    const uintmax_t bytes = std::filesystem::file_size(data + "/results.db-wal", error);
    if (error || bytes < kSmall) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

void Measure(const Arguments& arguments, const std::vector<std::string>& options, const Shape& shape, Report* report) {
  const ScratchDirectory scratch(arguments.directory, /*keep=*/false);
  const std::string data = scratch.path() + "/data";
  const auto coordinator = CoordinatorProcess::Start(arguments.coordinator, data, options);
  Connection connection(*coordinator);
  Submit(&connection, SweepText("metrics", 1, int64_t{shape.workers} * shape.runs));
  std::vector<std::unique_ptr<Reporter>> reporters;
  for (int i = 0; i < shape.workers; ++i) {
    reporters.push_back(std::make_unique<Reporter>(*coordinator, absl::StrCat("reporter-", i), shape.runs, shape.rows));
  }
  for (const auto& reporter : reporters) reporter->Start();
  Wait(reporters, std::min(2.0, shape.seconds));  // until reports and commits alternate as they will go on to do
  const int64_t rows_before = AcknowledgedRows(reporters);
  const double cpu_before = coordinator->Figures().cpu_seconds;
  const double start = Seconds();
  Wait(reporters, shape.seconds);
  const double seconds = Seconds() - start;
  const double cpu = coordinator->Figures().cpu_seconds - cpu_before;
  const double values = static_cast<double>((AcknowledgedRows(reporters) - rows_before) * kValuesPerRow);
  const int64_t peak = coordinator->Figures().peak_resident_bytes;
  for (const auto& reporter : reporters) reporter->Quit();
  WaitForTheLogToMove(data);
  coordinator->Stop();  // moves the rest
  const std::string database = data + "/results.db";
  const double bytes = static_cast<double>(std::filesystem::file_size(database));
  // With what was stored and no longer waited for.
  const double stored = static_cast<double>(NumberIn(database, "SELECT count(*) FROM steps") * kValuesPerRow);
  report->AddRow({shape.rows, shape.workers * shape.runs, values / seconds / 1e6, bytes / std::max(1.0, stored),
                  1e6 * cpu / std::max(1.0, values), cpu / seconds, static_cast<double>(peak) / 1e6});
}

// What SQLite alone does with the same values, in as large commits.
void AddFloor(const std::string& directory, const Shape& shape, int rows, Report* report) {
  const int runs = shape.workers * shape.runs;
  const int values = static_cast<int>(kValuesPerRow);
  const double seconds = std::min(2.0, shape.seconds);
  const PlainSqliteFigures appended = MeasureAppendedRows(directory, runs, rows, values, seconds);
  const PlainSqliteFigures by_run = MeasureRowsByRun(directory, runs, rows, values, seconds);
  const PlainSqliteFigures narrow = MeasureRowPerValue(directory, runs, rows, values, seconds);
  report->AddFact(absl::StrCat("plain SQLite, ", rows, " rows a run and commit, appended, million values/s"),
                  appended.values_per_second / 1e6);
  report->AddFact("the same, bytes/value", appended.bytes_per_value);
  report->AddFact("plain SQLite with the rows by run and step, million values/s", by_run.values_per_second / 1e6);
  report->AddFact("the same by run and step, bytes/value", by_run.bytes_per_value);
  report->AddFact("plain SQLite with a row per value, million values/s", narrow.values_per_second / 1e6);
  report->AddFact("the same with a row per value, bytes/value", narrow.bytes_per_value);
}

int Main(int argc, char** argv) {
  Arguments arguments;
  Shape shape;
  std::vector<int> rows = {1, 2, 5, 10, 20, 50, 100, 200};
  std::string synchronous = "full";
  CLI::App app("Metric values a second over gRPC into SQLite, and bytes for each.");
  Describe(&app, &arguments);
  app.add_option("--rows", rows, "rows per run and commit, one row of the table each")->capture_default_str();
  app.add_option("--workers", shape.workers)->capture_default_str();
  app.add_option("--runs", shape.runs, "runs of each worker")->capture_default_str();
  app.add_option("--seconds", shape.seconds, "of each measurement")->capture_default_str();
  app.add_option("--synchronous", synchronous, "of the coordinator")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  if (arguments.smoke) {
    rows = {10};
    shape.workers = 2;
    shape.runs = 20;
    shape.seconds = 0.5;
  }
  Report report("metric values", {"rows per run and commit", "runs", "million values/s", "bytes/value",
                                  "coordinator CPU us/value", "coordinator CPUs", "peak RSS MB"});
  {
    const ScratchDirectory scratch(arguments.directory, /*keep=*/false);
    report.AddFact("synchronous", synchronous);
    report.AddFact("values per row", kValuesPerRow);
    report.AddFact("fsync of 4 KiB, ms", 1e3 * FsyncSeconds(scratch.path()));
    AddFloor(scratch.path(), shape, std::min(50, rows.back()), &report);
  }
  for (const int each : rows) {
    shape.rows = each;
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
