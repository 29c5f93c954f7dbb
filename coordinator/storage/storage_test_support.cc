#include "coordinator/storage/storage_test_support.h"

#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "coordinator/storage/data_directory.h"

namespace seedbed::storage_test {
namespace {

template <typename T>
T ValueOrDie(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::cerr << value.status() << "\n";
    std::abort();
  }
  return *std::move(value);
}

}  // namespace

StoreOptions FastOptions(const std::string& directory) {
  StoreOptions options;
  options.directory = directory;
  options.database_id_if_created = "database-of-the-test";
  options.synchronous = StoreOptions::Synchronous::kOff;
  options.busy_timeout = absl::ZeroDuration();
  return options;
}

std::unique_ptr<Store> OpenStore(const StoreOptions& options) {
  return ValueOrDie(Store::Open(options, FakeClock().Now()));
}

std::unique_ptr<Reader> OpenReader(const Store& store) {
  return ValueOrDie(Reader::Open(store.database_path()));
}

std::unique_ptr<Database> OpenRaw(const std::string& path, bool writable) {
  Database::Options options;
  options.access = writable ? Database::Options::Access::kCreate : Database::Options::Access::kReadOnly;
  options.busy_timeout = absl::ZeroDuration();
  return ValueOrDie(Database::Open(path, options));
}

Batch Events(std::vector<core::Event> events) {
  Batch batch;
  batch.now = FakeClock().Now();
  batch.events = std::move(events);
  return batch;
}

Batch Metrics(std::vector<MetricRows> rows) {
  Batch batch;
  batch.now = FakeClock().Now();
  batch.metrics = std::move(rows);
  return batch;
}

std::vector<core::Event> SweepEvents(const std::string& name, int configurations, int seeds, SweepId sweep,
                                     int64_t first_configuration, int64_t first_run) {
  core::SweepCreated created;
  created.sweep = sweep;
  created.name = name;
  created.submission_id = "submission of " + name;
  created.fixed_json = "{}";
  created.template_json =
      R"({"budget":{"seconds":null,"steps":100},"metrics":{"evaluate_every":20,"log_every":10},"stop":[],"trainer":"modular"})";
  created.metric_json = "null";
  created.source = "name: " + name + "\n";
  std::vector<core::Event> events = {created};
  for (int i = 0; i < configurations; ++i) {
    core::ConfigurationAdded added;
    added.configuration = ConfigurationId(first_configuration + i);
    added.sweep = sweep;
    added.ordinal = i;
    added.parameters_json = absl::StrCat(R"({"model.activation":"gelu","optimizer.weight_decay":)", i, "}");
    added.varied_json = absl::StrCat(R"({"optimizer.weight_decay":)", i, "}");
    added.digest = DigestOf(added.parameters_json);
    added.pack_key = DigestOf("pack key");
    events.push_back(added);
    for (int seed = 0; seed < seeds; ++seed) {
      core::RunAdded run;
      run.run = RunId(first_run + i * seeds + seed);
      run.sweep = sweep;
      run.configuration = added.configuration;
      run.seed = seed;
      run.round = seed;
      events.push_back(run);
    }
  }
  events.push_back(core::SweepStateChanged{sweep, core::SweepState::kSubmitting, core::SweepState::kActive});
  return events;
}

core::WorkerRegistered WorkerEvent(const std::string& id) {
  core::WorkerRegistered worker;
  worker.worker = WorkerId(id);
  worker.name = "name of " + id;
  worker.host = "node1";
  worker.slots = 2;
  worker.device = "cpu";
  worker.version = "0.1.0";
  worker.trainers = {{"modular", R"({"blas":"openblas"})", {"optimizer.weight_decay"}}};
  return worker;
}

core::AttemptGranted Grant(RunId run, int attempt, int64_t fence, std::optional<int64_t> resume_step) {
  core::AttemptGranted granted;
  granted.lease = core::LeaseKey{run, attempt, Fence(fence)};
  granted.worker = WorkerId("w1");
  granted.resume_step = resume_step;
  return granted;
}

core::AttemptEnded Finish(RunId run, int attempt, int64_t next_fence, const std::string& outcome,
                          const std::string& summary_json, int64_t last_step) {
  core::AttemptEnded ended;
  ended.run = run;
  ended.attempt = attempt;
  ended.next_fence = Fence(next_fence);
  ended.end = core::AttemptEnd::kFinished;
  ended.next_state = core::RunState::kFinished;
  ended.result = core::RunResult{outcome, "budget", last_step, summary_json};
  return ended;
}

std::string One(Database* database, const std::string& sql) {
  absl::StatusOr<Statement> statement = database->Prepare(sql);
  if (!statement.ok()) return statement.status().ToString();
  const absl::StatusOr<bool> row = statement->Step();
  if (!row.ok()) return row.status().ToString();
  if (!*row) return "none";
  return statement->IsNull(0) ? "NULL" : statement->Text(0);
}

std::string One(const Store& store, const std::string& sql) {
  return One(OpenRaw(store.database_path(), /*writable=*/false).get(), sql);
}

}  // namespace seedbed::storage_test
