#include "coordinator/coordinator.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/secrets/random_text.h"
#include "coordinator/backup.h"
#include "coordinator/chunk_size.h"
#include "coordinator/core/live_lease.h"
#include "coordinator/core/scheduler.h"

namespace seedbed {
namespace {

absl::Status ReadOnly() {
  return absl::FailedPreconditionError(
      "this data directory was opened for reading only; start a coordinator on it to change something");
}

absl::Status LeaseError(const core::LeaseKey& lease, const std::string& problem) {
  return absl::FailedPreconditionError(absl::StrCat("run ", lease.run.value(), " attempt ", lease.attempt, ": ",
                                                    problem, "; Synchronize says which leases this worker holds"));
}

// The longest that opening waits for the lengths of old runs, which only make estimates better.
constexpr absl::Duration kProgressLimit = absl::Seconds(1);
// At least as many as there are threads that read, so that none waits for another's long query.
constexpr int kReaderConnections = 17;

// Of the time that a commit waits for readers where they and the writer take turns.
constexpr absl::Duration kSparedForCommits = absl::Seconds(2);

constexpr int64_t kFirstDeletingChunk = 64;  // runs

// How many runs a call of a command that deletes rows may work on; null for other commands.
int64_t* MostOfRowDeleting(core::Command* command) {
  if (auto* deletion = std::get_if<core::DeleteSweep>(command)) return &deletion->most;
  auto* retry = std::get_if<core::RetryRuns>(command);
  return retry != nullptr ? &retry->most : nullptr;
}

// What a crash left between a file and its commit, and what belongs to a history that a restore in place lost.
void RemoveOrphans(const CoordinatorOptions& options, const core::State& state, CheckpointFiles* files, RunLogs* logs) {
  absl::flat_hash_set<std::string> referenced;
  for (const auto& [run, checkpoints] : state.checkpoints()) {
    for (const core::Checkpoint& each : checkpoints) referenced.insert(each.path);
  }
  for (const std::string& path : AbandonedPins(options.directory)) RemovePins(path);
  if (const int orphans = files->RemoveOrphans(referenced); orphans > 0) {
    options.log(LogLevel::kInfo, absl::StrCat(orphans, " checkpoint files that were never committed are removed"));
  }
  const size_t orphans = logs->RemoveOrphans([&state](RunId id) {
    const core::Run* run = state.FindRun(id);
    return run == nullptr ? 0 : run->attempts;
  });
  if (orphans > 0) {
    options.log(LogLevel::kInfo,
                absl::StrCat(orphans, " logs of attempts that the database does not know are removed"));
  }
}

}  // namespace

Coordinator::Coordinator(CoordinatorOptions options) : options_(std::move(options)) {
  clock_ = options_.clock != nullptr ? options_.clock : &system_clock_;
  if (!options_.log) options_.log = [](LogLevel, const std::string&) {};
  if (!options_.free_bytes) {
    options_.free_bytes = [directory = options_.directory] { return FreeBytes(directory); };
  }
  started_at_ = clock_->Now().utc_microseconds();
}

CoordinatorOptions UnservedOptions(std::string directory) {
  CoordinatorOptions options;
  options.directory = std::move(directory);
  options.settings.lease_duration = absl::Hours(24 * 365 * 10);
  return options;
}

absl::StatusOr<std::unique_ptr<Coordinator>> Coordinator::Open(CoordinatorOptions options) {
  std::unique_ptr<Coordinator> coordinator(new Coordinator(std::move(options)));
  if (!coordinator->options_.read_only) {
    SEEDBED_RETURN_IF_ERROR(coordinator->OpenStore());
    return coordinator;
  }
  SEEDBED_ASSIGN_OR_RETURN(coordinator->reader_, Reader::Open(DatabasePath(coordinator->options_.directory)));
  SEEDBED_ASSIGN_OR_RETURN(const DatabaseInfo info, coordinator->reader_->Info());
  coordinator->database_id_ = info.database_id;
  coordinator->epoch_ = info.epoch;
  return coordinator;
}

absl::Status Coordinator::OpenStore() {
  StoreOptions store_options;
  store_options.directory = options_.directory;
  store_options.database_id_if_created = RandomHex(16);
  store_options.synchronous = options_.synchronous;
  store_options.journal = options_.journal;
  store_options.most_pages = options_.most_pages;
  SEEDBED_ASSIGN_OR_RETURN(std::unique_ptr<Store> store, Store::Open(store_options, clock_->Now()));
  SEEDBED_ASSIGN_OR_RETURN(core::State state, store->Load(options_.settings, clock_->Now().monotonic));
  // Before anybody can hold a lease of this database.
  if (options_.workers_are_gone || store->restored()) SEEDBED_RETURN_IF_ERROR(VoidOldLeases(store.get(), &state));
  if (store->restored()) SEEDBED_RETURN_IF_ERROR(store->EndRestore());
  database_id_ = store->database_id();
  epoch_ = store->epoch();
  ReaderOptions reader_options;
  reader_options.most_connections = kReaderConnections;
  if (options_.journal == StoreOptions::Journal::kDelete) {
    // A commit waits for whoever reads, and fails when it has waited for its time.
    reader_options.query_limit = store_options.busy_timeout - kSparedForCommits;
    reader_options.longest_stream = reader_options.query_limit;
  }
  SEEDBED_ASSIGN_OR_RETURN(reader_, Reader::Open(store->database_path(), reader_options));
  reader_options.most_connections = 1;
  SEEDBED_ASSIGN_OR_RETURN(loop_reader_, Reader::Open(store->database_path(), reader_options));
  logs_ = std::make_unique<RunLogs>(options_.directory);
  files_ = std::make_unique<CheckpointFiles>(options_.directory);
  RemoveOrphans(options_, state, files_.get(), logs_.get());

  CommitLoopOptions loop_options = options_.loop;
  loop_options.settings = options_.settings;
  loop_options.log = options_.log;
  loop_options.remove_files = [this](std::vector<std::string> paths) { files_->Remove(std::move(paths)); };
  loop_options.on_recovered = [this] {
    const std::lock_guard<std::mutex> lock(deletions_mutex_);
    deletions_may_be_left_ = true;
    deletions_wake_.notify_all();
  };
  loop_ = std::make_unique<CommitLoop>(std::move(loop_options), std::move(store), std::move(state), LoadProgress(),
                                       clock_, loop_reader_.get(), logs_.get());
  loop_->Start();
  HousekeeperOptions housekeeping;
  housekeeping.directory = options_.directory;
  housekeeping.least_free_bytes = options_.least_free_bytes;
  housekeeping.most_log_bytes = options_.most_log_bytes;
  housekeeping.every = options_.housekeeping_every;
  housekeeping.free_bytes = options_.free_bytes;
  housekeeping.log = options_.log;
  housekeeper_ = std::make_unique<Housekeeper>(std::move(housekeeping), loop_.get());
  deletions_ = std::thread([this] { WatchDeletions(); });
  return absl::OkStatus();
}

Coordinator::~Coordinator() {
  PrepareToStop();
  {
    const std::lock_guard<std::mutex> lock(deletions_mutex_);
    stopping_ = true;
    deletions_wake_.notify_all();
  }
  if (deletions_.joinable()) deletions_.join();
  housekeeper_.reset();
  if (loop_) loop_->Stop();
  // The last connection to close empties the write-ahead log into the database, if it may write: the store's.
  loop_reader_.reset();
  reader_.reset();
  loop_.reset();
}

void Coordinator::PrepareToStop() {
  if (loop_) loop_->PrepareToStop();
}

Progress Coordinator::LoadProgress() {
  Progress progress;
  const absl::Status status = reader_->Stream(
      // In this order, so that the index by sweep and state finds the finished runs and no others are looked at.
      "SELECT s.sweep_id, count(*), total(r.last_step) FROM sweeps AS s "
      "CROSS JOIN runs AS r ON r.sweep_id = s.sweep_id AND r.state = 'finished' "
      "WHERE s.state <> 'deleting' GROUP BY s.sweep_id",
      kProgressLimit, [](const std::vector<std::string>&) {},
      [&progress](const std::vector<Value>& row) {
        const auto* sweep = std::get_if<int64_t>(&row[0]);
        const auto* runs = std::get_if<int64_t>(&row[1]);
        const auto* steps = std::get_if<double>(&row[2]);
        if (sweep != nullptr && runs != nullptr && steps != nullptr) {
          progress.LoadEnded(SweepId(*sweep), *runs, *steps);
        }
        return true;
      });
  if (!status.ok()) {
    options_.log(LogLevel::kInfo, absl::StrCat("times left are estimated without earlier runs: ", status.ToString()));
  }
  return progress;
}

absl::Status Coordinator::VoidOldLeases(Store* store, core::State* state) {
  core::VoidLeases command;
  for (const auto& [id, worker] : state->workers()) {
    if (worker.state != core::WorkerState::kGone || !worker.leases.empty()) command.workers.push_back(id);
  }
  Batch batch;
  batch.now = clock_->Now();
  SEEDBED_ASSIGN_OR_RETURN(core::Decision decision, core::Decide(*state, command, batch.now));
  for (core::Event& event : decision.events) {
    state->Apply(event);
    batch.events.push_back(std::move(event));
  }
  return store->Write(batch);
}

void Coordinator::WatchDeletions() {
  std::unique_lock<std::mutex> lock(deletions_mutex_);
  while (true) {
    deletions_wake_.wait(lock, [this] { return deletions_may_be_left_ || stopping_; });
    if (stopping_) return;
    deletions_may_be_left_ = false;
    lock.unlock();
    FinishDeletions();
    lock.lock();
  }
}

void Coordinator::FinishDeletions() {
  std::vector<SweepId> unfinished;
  const absl::Status looked = Inspect([&unfinished](LiveView view) {
    for (const auto& [id, sweep] : view.state.sweeps()) {
      if (sweep.state == core::SweepState::kDeleting) unfinished.push_back(id);
    }
  });
  if (!looked.ok()) return;
  for (const SweepId sweep : unfinished) {
    core::DeleteSweep command;
    command.sweep = sweep;
    const absl::StatusOr<int64_t> deleted = ExecuteInChunks(command);
    // Whoever asked for it may have brought it to its end meanwhile.
    if (!deleted.ok() && !absl::IsNotFound(deleted.status())) {
      options_.log(LogLevel::kWarning, absl::StrCat("the deletion of sweep ", sweep.value(),
                                                    " goes on when commits work again, or at the next start: ",
                                                    deleted.status().ToString()));
    }
  }
}

CoordinatorInfo Coordinator::Info() const {
  CoordinatorInfo info;
  info.version = SEEDBED_VERSION;
  info.database_id = database_id_;
  info.epoch = epoch_;
  info.directory = options_.directory;
  info.database_path = DatabasePath(options_.directory);
  info.started_at = started_at_;
  info.read_only = loop_ == nullptr;
  info.write_ahead_log_bytes = WriteAheadLogBytes(info.database_path);
  if (loop_) {
    info.degraded = loop_->degraded();
    info.degraded_reason = loop_->degraded_reason();
    info.metrics_held = loop_->metrics_held();
    info.commits = loop_->commits();
  }
  return info;
}

std::string Coordinator::LogPath(RunId run, int attempt) const {
  return RunLogs::Path(options_.directory, run, attempt);
}

void Coordinator::Execute(core::Command command, CommandDone done) {
  if (!loop_) return done(ReadOnly());
  loop_->Execute(std::move(command), std::move(done));
}

void Coordinator::Synchronize(core::Synchronize command, SynchronizeDone done) {
  if (!loop_) return done(ReadOnly());
  loop_->Synchronize(std::move(command), std::move(done));
}

void Coordinator::ReleaseHeld(const WorkerId& worker, int64_t number) {
  if (loop_) loop_->ReleaseHeld(worker, number);
}

void Coordinator::Report(core::Report report, std::optional<MetricRows> rows, int64_t bytes, ReportDone done) {
  if (!loop_) return done(ReadOnly());
  loop_->Report(std::move(report), std::move(rows), bytes, std::move(done));
}

void Coordinator::AppendLog(const WorkerId& worker, const core::LeaseKey& lease, std::string text) {
  if (loop_) loop_->AppendLog(worker, lease, std::move(text));
}

absl::Status Coordinator::CheckLease(const WorkerId& worker, const core::LeaseKey& lease) {
  std::string problem;
  SEEDBED_RETURN_IF_ERROR(Inspect([&](LiveView view) { problem = core::WhyNotLive(view.state, worker, lease); }));
  return problem.empty() ? absl::OkStatus() : LeaseError(lease, problem);
}

absl::StatusOr<std::unique_ptr<CheckpointUploads::Upload>> Coordinator::ClaimRoom(const WorkerId& worker,
                                                                                  const core::LeaseKey& lease,
                                                                                  int64_t size) {
  const std::lock_guard<std::mutex> lock(claiming_);
  std::string problem;
  int64_t frees = 0;
  int64_t quota_bytes = 0;
  SEEDBED_RETURN_IF_ERROR(Inspect([&](LiveView view) {
    problem = core::WhyNotLive(view.state, worker, lease);
    if (!problem.empty()) return;
    // The oldest of the two makes room for it.
    const std::vector<core::Checkpoint>& present = view.state.CheckpointsOf(lease.run);
    const core::SweepEntry* sweep = view.state.FindSweep(view.state.FindRun(lease.run)->sweep);
    const bool keeps_all = sweep->keep_checkpoints == core::KeepCheckpoints::kAll;
    if (!keeps_all && present.size() >= core::kMostCheckpointsWhileRunning) frees = present.front().bytes;
    // On the loop's thread, where an upload that is committed moves from the one sum to the other.
    quota_bytes = view.state.checkpoint_bytes() + uploads_.quota_bytes();
  }));
  if (!problem.empty()) return LeaseError(lease, problem);
  SEEDBED_RETURN_IF_ERROR(CheckQuota(quota_bytes + uploads_.QuotaBytesOf(lease.run, size, frees)));
  // Before the disk is asked: what is written in between then counts twice and not never.
  const int64_t awaited = uploads_.awaited_bytes();
  SEEDBED_ASSIGN_OR_RETURN(const int64_t free, options_.free_bytes());
  if (size > free - options_.least_free_bytes - awaited) {
    return absl::ResourceExhaustedError(
        absl::StrCat("a checkpoint of ", size, " bytes does not fit on the coordinator's disk: ", free,
                     " bytes are free, of which ", awaited, " are for checkpoints that are coming in, and ",
                     options_.least_free_bytes, " stay free (--least-free-disk); free some space there"));
  }
  return uploads_.Begin(lease.run, size, frees);
}

absl::Status Coordinator::CheckQuota(int64_t bytes) {
  if (options_.most_checkpoint_bytes <= 0) return absl::OkStatus();
  const bool reached = bytes > options_.most_checkpoint_bytes;
  if (reached != std::exchange(quota_reached_, reached)) {
    const std::string detail = reached ? absl::StrCat("checkpoints take up all of the ", options_.most_checkpoint_bytes,
                                                      " bytes allowed: further ones are refused, and runs go on")
                                       : std::string("there is room for checkpoints again");
    options_.log(reached ? LogLevel::kWarning : LogLevel::kInfo, detail);
    loop_->Note(AuditNote{reached ? "checkpoint_quota_reached" : "checkpoint_quota_has_room", detail, {}, {}, {}});
  }
  if (!reached) return absl::OkStatus();
  return absl::ResourceExhaustedError("the quota of the coordinator's checkpoints is reached; see --checkpoint-quota");
}

absl::StatusOr<std::unique_ptr<CheckpointWriter>> Coordinator::BeginCheckpoint(const WorkerId& worker,
                                                                               const core::LeaseKey& lease,
                                                                               int64_t step, int64_t size,
                                                                               const std::string& sha256) {
  if (!loop_) return ReadOnly();
  SEEDBED_ASSIGN_OR_RETURN(std::unique_ptr<CheckpointUploads::Upload> upload, ClaimRoom(worker, lease, size));
  return files_->Write(lease.run, lease.attempt, step, size, sha256, std::move(upload));
}

absl::StatusOr<CheckpointRow> Coordinator::FindCheckpoint(RunId run, std::optional<int64_t> step) {
  SEEDBED_ASSIGN_OR_RETURN(const std::vector<CheckpointRow> rows, reader_->ListCheckpoints(run));
  for (auto row = rows.rbegin(); row != rows.rend(); ++row) {
    if (step && row->step != *step) continue;
    if (!IsCheckpointPath(row->path)) {
      return absl::DataLossError(absl::StrCat("the checkpoint of run ", run.value(), " at step ", row->step,
                                              " lies at '", row->path,
                                              "'; let `seedbed doctor` examine the directory"));
    }
    CheckpointRow found = *row;
    found.path = absl::StrCat(options_.directory, "/", row->path);
    return found;
  }
  return absl::NotFoundError(absl::StrCat("run ", run.value(), " has no checkpoint",
                                          step ? absl::StrCat(" of step ", *step) : "",
                                          rows.empty() ? "" : "; `seedbed checkpoint list` shows those it has"));
}

absl::StatusOr<core::Answer> Coordinator::ExecuteAndWait(core::Command command) {
  // Shared: the loop may still be inside set_value when the answer is read here.
  const auto promise = std::make_shared<std::promise<absl::StatusOr<core::Answer>>>();
  std::future<absl::StatusOr<core::Answer>> answer = promise->get_future();
  Execute(std::move(command),
          [promise](absl::StatusOr<core::Answer> result) { promise->set_value(std::move(result)); });
  return answer.get();
}

absl::StatusOr<int64_t> Coordinator::ExecuteInChunks(core::Command command, const std::function<bool()>& is_wanted) {
  int64_t changed = 0;
  // A run that goes takes its rows with it, and they may be many: others wait no longer than for one chunk.
  int64_t* most = MostOfRowDeleting(&command);
  ChunkSize size(kFirstDeletingChunk, core::kMostRunsPerChunk);
  while (true) {
    if (most != nullptr) *most = size.runs();
    const auto begun = std::chrono::steady_clock::now();
    SEEDBED_ASSIGN_OR_RETURN(const core::Answer answer, ExecuteAndWait(command));
    size.Took(absl::FromChrono(std::chrono::steady_clock::now() - begun));
    const auto* chunk = std::get_if<core::ChunkAnswer>(&answer);
    if (chunk == nullptr) return changed;
    changed += chunk->changed;
    if (!chunk->more) return changed;
    if (is_wanted && !is_wanted()) {
      return absl::CancelledError(
          absl::StrCat("the caller is gone: ", changed, " runs were changed; ask again to go on with the rest"));
    }
    if (auto* extend = std::get_if<core::ExtendSeeds>(&command)) extend->from_ordinal = chunk->next;
    if (auto* retry = std::get_if<core::RetryRuns>(&command)) {
      retry->runs.erase(retry->runs.begin(), retry->runs.begin() + static_cast<std::ptrdiff_t>(chunk->next));
    }
  }
}

absl::Status Coordinator::Inspect(const std::function<void(LiveView)>& look) {
  if (!loop_) return ReadOnly();
  const auto promise = std::make_shared<std::promise<absl::Status>>();
  std::future<absl::Status> done = promise->get_future();
  loop_->Inspect([&look, promise](absl::StatusOr<LiveView> view) {
    if (view.ok()) look(*view);
    promise->set_value(view.status());
  });
  return done.get();
}

}  // namespace seedbed
