#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/ids.h"
#include "coordinator/core/state.h"
#include "coordinator/core/types.h"

// What people and the RPC handlers read from the results database. Times are UTC microseconds since 1970.
namespace seedbed {

class ReaderPool;
class Watchdog;

struct ReaderOptions {
  absl::Duration query_limit = absl::Seconds(10);  // a query that takes longer ends with DEADLINE_EXCEEDED
  absl::Duration busy_timeout = absl::Seconds(5);
  // For Query, and as many again for all others; a further reader waits for one to come free, up to query_limit.
  int most_connections = 4;
  // Of what one connection writes to temporary files while it sorts, groups and joins (RESOURCE_EXHAUSTED).
  int64_t most_temporary_bytes = 512 << 20;
  // Beyond so many in this process for SQLite, the queries under way end (RESOURCE_EXHAUSTED).
  int64_t most_memory_bytes = int64_t{2} << 30;
  // Of the rows that ListRuns or ListConfigurations gives (RESOURCE_EXHAUSTED): they become one message.
  int64_t most_list_bytes = 256 << 20;
  // Stream reads no longer, whatever its caller allows.
  absl::Duration longest_stream = absl::InfiniteDuration();
};

struct DatabaseInfo {
  std::string database_id;
  int64_t epoch = 0;
  int64_t created_at = 0;
};

struct SweepRow {
  SweepId id;
  std::string name;
  std::string description;
  std::string trainer;
  std::string state;  // core::Name(SweepState)
  std::string metric_json;
  int64_t priority = 0;
  std::optional<int64_t> max_concurrent;
  int64_t retries = 0;
  int64_t created_at = 0;
  int64_t updated_at = 0;
  int64_t configurations = 0;
  core::RunCounts runs;
  std::vector<std::pair<std::string, int64_t>> outcomes;  // of finished runs, by name
};

// A row of the view run_results; docs/results-database.md has the meaning and unit of each.
struct RunRow {
  RunId id;
  SweepId sweep;
  std::string sweep_name;
  ConfigurationId configuration;
  int64_t seed = 0;
  std::string parameters_json;
  std::string varied_json;
  std::string state;    // core::Name(RunState)
  std::string outcome;  // empty until finished
  std::string reason;
  int64_t attempts = 0;
  std::string worker_id;  // of the latest attempt; empty if there was none
  std::string worker;     // its name
  std::optional<int64_t> last_step;
  std::optional<int64_t> t_train_50, t_train_90, t_train_95, t_train_99;
  std::optional<int64_t> t_test_50, t_test_90, t_test_95, t_test_99;
  std::optional<int64_t> delay;
  std::optional<double> final_train_accuracy, final_test_accuracy, final_train_loss, final_test_loss;
  std::optional<int64_t> first_nonfinite_step;
  std::optional<bool> collapsed;
  std::optional<double> wall_seconds, cpu_seconds;
  std::optional<int64_t> started_at, ended_at;
  std::string summary_json;  // empty until finished
};

struct AttemptRow {
  int64_t attempt = 0;
  std::string worker_id;
  std::string worker;  // its name
  std::string host;
  std::string end;  // core::Name(AttemptEnd); empty while it lasts
  std::string reason;
  int64_t acknowledged_sequence = 0;
  std::optional<int64_t> resume_step;
  std::optional<int64_t> last_step;
  int64_t started_at = 0;
  std::optional<int64_t> ended_at;
};

struct RunDetail {
  RunRow run;
  std::vector<AttemptRow> attempts;
  std::string template_json;
};

// A row of the table checkpoints.
struct CheckpointRow {
  int64_t step = 0;
  int64_t attempt = 0;
  std::string path;  // below the data directory
  std::string sha256;
  int64_t bytes = 0;
};

// Of a row of the table configurations.
struct StoredPoint {
  ConfigurationId id;
  int64_t ordinal = 0;
  std::string parameters_json;
  std::string varied_json;
};

// A row of the view configuration_results.
struct ConfigurationRow {
  ConfigurationId id;
  SweepId sweep;
  std::string sweep_name;
  int64_t ordinal = 0;
  std::string parameters_json;
  std::string varied_json;
  int64_t seeds = 0;
  int64_t finished = 0;
  int64_t failed = 0;
  int64_t cancelled = 0;
  int64_t reached_train_99 = 0;
  int64_t reached_test_99 = 0;
  // Over finished runs, with "not reached" as +infinity: absent where that is the median.
  std::optional<double> median_t_train, median_t_grok, median_delay;
  // Over the runs that reached it only (survivors), as the literature reports; biased when some did not.
  std::optional<double> survivors_mean_t_grok, survivors_sd_t_grok, survivors_mean_delay, survivors_sd_delay;
  std::optional<int64_t> minimum_delay, maximum_delay;
  std::optional<double> mean_final_test_accuracy;
};

struct WorkerRow {
  std::string id;
  std::string name;
  std::string host;
  std::string device;
  std::string version;
  int64_t slots = 0;
  std::string state;  // core::Name(WorkerState)
  std::string reason;
  std::string trainers_json;  // list of {"trainer", "numerics", "pack_parameters"}
  int64_t running = 0;
  int64_t registered_at = 0;
  int64_t changed_at = 0;
};

struct EventRow {
  int64_t id = 0;  // rising
  int64_t at = 0;
  std::string kind;
  std::string detail;
  SweepId sweep;
  RunId run;
  std::string worker_id;
};

struct RunFilter {
  enum class Order { kRun, kNewest, kConfiguration, kLastEnded, kLastStarted };
  std::optional<SweepId> sweep;
  std::optional<ConfigurationId> configuration;
  std::vector<RunId> runs;             // empty: any
  std::vector<core::RunState> states;  // empty: any
  std::vector<RunId> waiting;          // stored as running, and for `states` to be taken as queued
  std::vector<std::string> outcomes;   // empty: any
  std::vector<std::pair<std::string, std::string>> parameters;  // dotted name → JSON value; all must be equal
  Order order = Order::kRun;   // kNewest: highest id first; kConfiguration: by place in the sweep, then seed; kLast*:
                               // latest first
  std::optional<RunId> after;  // for paging in the orders kRun and kNewest: only runs that come after this one
  int64_t limit = 1000;
  int64_t offset = 0;
};

// Rows of one run from `steps` and `step_values`, as columns. NaN: the row has no value.
struct MetricTable {
  std::vector<int64_t> steps;                                       // rising
  std::vector<std::pair<std::string, std::vector<double>>> series;  // metrics that have a value at any of the steps
  bool more = false;                                                // there are further steps
};

using Value =
    std::variant<std::monostate, int64_t, double, std::string>;  // NULL, integer, real, text (a blob as text in hex)

// Of a row of a query, as Value has it: a message, and an answer's memory, has one row more than its limit at most.
constexpr int64_t kMostRowBytes = 16 << 20;

struct QueryLimits {
  int64_t most_rows = 100'000;
  int64_t most_bytes = 64 << 20;
};
struct QueryResult {
  std::vector<std::string> columns;
  std::vector<std::vector<Value>> rows;
  bool truncated = false;  // a limit cut it off
};

// Thread-safe. Read-only connections of its own: sees whole commits, keeps nobody waiting (but see
// StoreOptions::Journal::kDelete). Errors are as Store's; NOT_FOUND where an id names nothing; DEADLINE_EXCEEDED beyond
// query_limit.
class Reader {
 public:
  // NOT_FOUND if there is no database; FAILED_PRECONDITION for a schema other than this program's or another program's
  // database.
  static absl::StatusOr<std::unique_ptr<Reader>> Open(const std::string& database_path,
                                                      const ReaderOptions& options = {});
  ~Reader();
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  absl::StatusOr<DatabaseInfo> Info();

  // For leases: cheap, by primary key.
  absl::StatusOr<std::string> TemplateJson(SweepId sweep);
  absl::StatusOr<std::string> ParametersJson(ConfigurationId configuration);
  // Of those that there are of [first, end), by rising id.
  absl::StatusOr<std::vector<std::pair<ConfigurationId, std::string>>> ParametersJson(ConfigurationId first,
                                                                                      ConfigurationId end);

  // Newest last. Sweeps that are being deleted are left out. Not `counted`: configurations, runs and outcomes stay
  // empty; to count a million runs takes a tenth of a second.
  absl::StatusOr<std::vector<SweepRow>> ListSweeps(bool counted = true);
  absl::StatusOr<std::string> SweepSource(SweepId sweep);  // the sweep file's text, as last submitted
  absl::StatusOr<std::vector<RunRow>> ListRuns(const RunFilter& filter);
  absl::StatusOr<int64_t> CountRuns(const RunFilter& filter);  // without limit and offset
  absl::StatusOr<RunDetail> GetRun(RunId run);
  // By rising step; empty if the run has none, or does not exist.
  absl::StatusOr<std::vector<CheckpointRow>> ListCheckpoints(RunId run);
  // The rows of a sweep's configurations from `ordinal` on, at most `limit`, by ordinal.
  absl::StatusOr<std::vector<StoredPoint>> ListPoints(SweepId sweep, int64_t ordinal, int64_t limit);
  // By place in the sweep.
  absl::StatusOr<std::vector<ConfigurationRow>> ListConfigurations(SweepId sweep, int64_t limit = 1000,
                                                                   int64_t offset = 0);
  absl::StatusOr<std::vector<WorkerRow>> ListWorkers(bool include_gone = false);
  // Rising ids beyond `after`; with `sweep`, only those about it or its runs.
  absl::StatusOr<std::vector<EventRow>> ListEvents(int64_t after, std::optional<SweepId> sweep = std::nullopt,
                                                   int64_t limit = 1000);
  // The `limit` latest, in rising order: what a dashboard shows first.
  absl::StatusOr<std::vector<EventRow>> LatestEvents(int64_t limit = 100);
  absl::StatusOr<MetricTable> StepsOf(RunId run, int64_t after_step = -1, int64_t limit = 100'000);

  // One SELECT, on people's behalf: nothing but reading is allowed, whatever the text says (PERMISSION_DENIED), within
  // limits. INVALID_ARGUMENT with SQLite's own words for a mistake in it; RESOURCE_EXHAUSTED for a row, or names of
  // columns, beyond kMostRowBytes.
  absl::StatusOr<QueryResult> Query(const std::string& sql, const QueryLimits& limits = {});

  // The same, row by row and without the limits on rows and bytes; for exports. `on_columns` is called once, before any
  // row; a false from `on_row` ends it early, with OK. Takes no longer than `time_limit`, on a connection opened for
  // it; time that `on_row` takes counts, and DEADLINE_EXCEEDED comes before its next call.
  absl::Status Stream(const std::string& sql, absl::Duration time_limit,
                      const std::function<void(const std::vector<std::string>&)>& on_columns,
                      const std::function<bool(const std::vector<Value>&)>& on_row);
  // How long Stream takes at most where `asked` is allowed: time that its caller may spend on rows, too.
  absl::Duration StreamLimit(absl::Duration asked) const { return std::min(asked, longest_stream_); }
  int64_t most_list_bytes() const { return most_list_bytes_; }

 private:
  Reader(const std::string& database_path, const ReaderOptions& options);
  const absl::Duration longest_stream_;
  const int64_t most_list_bytes_;
  const std::unique_ptr<Watchdog> watchdog_;  // of people's queries
  std::unique_ptr<ReaderPool> pool_;
  std::unique_ptr<ReaderPool> query_pool_;  // of Query: people's slow queries do not keep leases waiting
};

}  // namespace seedbed
