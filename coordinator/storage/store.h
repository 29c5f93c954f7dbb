#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "coordinator/core/event.h"
#include "coordinator/core/state.h"

// The results database's one writer. docs/results-database.md describes the tables.
namespace seedbed {

struct StoreOptions {
  enum class Synchronous {
    kFull,    // a commit survives a power cut
    kNormal,  // a commit survives a crash of the process, and a power cut may undo the last ones
    kOff,     // for tests
  };
  enum class Journal {
    kWriteAheadLog,  // readers and the writer do not wait for each other; needs a local file system
    kDelete,         // for network file systems: readers and the writer take turns
  };

  std::string directory;               // DATA: created with mode 0700 if it does not exist
  std::string database_id_if_created;  // drawn at random by the caller; names the database for its whole life
  Synchronous synchronous = Synchronous::kFull;
  Journal journal = Journal::kWriteAheadLog;
  absl::Duration busy_timeout = absl::Seconds(5);  // how long a commit waits for another program's lock
  std::optional<int64_t> most_pages;               // of the database file: stands in for a full disk in tests
  // A write-ahead log that has grown larger is emptied between two commits, at most once a second: beside a writer that
  // never pauses Checkpointer can only move its frames.
  int64_t large_log_bytes = 256 << 20;
};

// Values of one metric at MetricRows::steps. NaN means that the row has no value (SQLite would store NaN as NULL
// anyway).
struct MetricSeries {
  std::string metric;
  std::vector<double> values;
};

// Rows of one run's `steps`. Writing the same rows again changes nothing.
struct MetricRows {
  RunId run;
  std::vector<int64_t> steps;  // rising
  std::vector<MetricSeries> series;
  std::optional<int64_t> first_nonfinite_step;  // the earliest step with a non-finite value, if there is one
};

// Something that people will want to find in `events` and that no event of the core says.
struct AuditNote {
  std::string kind;  // e.g. "write_ahead_log_too_large"
  std::string detail;
  SweepId sweep;  // none if 0
  RunId run;      // none if 0
  WorkerId worker;
};

struct Batch {
  Moment now;
  std::vector<MetricRows> metrics;  // written first: an event of the same batch may delete them again (a new attempt)
  std::vector<core::Event> events;  // written in order; those that are not durable are passed over
  std::vector<AuditNote> notes;
};

// OK if `name` may be a metric: a plain name (IsPlainName) other than "run_id" and "step", in any case.
// INVALID_ARGUMENT otherwise. Check before a report is accepted: Write refuses a whole batch for one bad name.
absl::Status CheckMetricName(const std::string& name);

// Not thread-safe: for the coordinator's one committing thread. Reader and Checkpointer have connections of their own.
class Store {
 public:
  // Takes DATA/lock (held until destruction), creates or migrates DATA/results.db, raises its epoch. Errors:
  //  FAILED_PRECONDITION  another process holds the lock (named), a network file system, a newer schema, another
  //  program's database DATA_LOSS, RESOURCE_EXHAUSTED, UNAVAILABLE  damaged file, full disk, file locked by another
  //  program
  static absl::StatusOr<std::unique_ptr<Store>> Open(const StoreOptions& options, const Moment& now);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  const std::string& database_path() const;
  const std::string& database_id() const;
  int64_t epoch() const;  // 1 at creation, one more at every Open and every restore
  // The file was a backup, and what its runs were leased under has not been voided since: nobody holds it.
  bool restored() const;
  // It has been voided, durably.
  absl::Status EndRestore();

  // What SQLite says of a setting of the committing connection, for tests.
  std::string Pragma(const std::string& name) const;

  // The state that wrote the database (State::DurablyEquals); every lease gets a fresh grace from `now` (monotonic).
  absl::StatusOr<core::State> Load(const core::Settings& settings, absl::Duration now);

  // One transaction; durable when it returns OK. After an error nothing of the batch is in the database.
  // RESOURCE_EXHAUSTED (disk full), UNAVAILABLE (locked for longer than busy_timeout, I/O error), INVALID_ARGUMENT
  // (metric rows that CheckMetricName or the shapes above forbid), DATA_LOSS, INTERNAL (an event that does not fit the
  // rows: a bug of ours). `batch.now` also says when the write-ahead log was looked at.
  absl::Status Write(const Batch& batch);

  // Commits something and takes it back, to see whether commits work again.
  absl::Status ProbeWrite();

  // Gives up to `most_pages` free pages back to the file system (after deletions). Returns how many pages are still
  // free.
  absl::StatusOr<int64_t> ReclaimSpace(int64_t most_pages = 2048);

 private:
  struct Parts;
  explicit Store(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace seedbed
