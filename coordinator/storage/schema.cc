#include "coordinator/storage/schema.h"

#include "absl/strings/str_cat.h"

namespace seedbed {
namespace {

constexpr char kTablesVersion1[] = R"sql(
CREATE TABLE meta (
  key TEXT NOT NULL PRIMARY KEY,
  value ANY NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sweeps (
  sweep_id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  state TEXT NOT NULL,
  trainer TEXT NOT NULL,
  evaluate_every INTEGER,
  template TEXT NOT NULL,
  fixed TEXT NOT NULL,
  metric TEXT NOT NULL,
  source TEXT NOT NULL,
  submission_id TEXT NOT NULL,
  priority INTEGER NOT NULL,
  max_concurrent INTEGER,
  retries INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX sweeps_by_name ON sweeps (name) WHERE state <> 'deleting';

CREATE TABLE configurations (
  configuration_id INTEGER PRIMARY KEY,
  sweep_id INTEGER NOT NULL REFERENCES sweeps,
  ordinal INTEGER NOT NULL,
  digest TEXT NOT NULL,
  pack_key TEXT NOT NULL,
  parameters TEXT NOT NULL,
  varied TEXT NOT NULL,
  UNIQUE (sweep_id, ordinal)
) STRICT;

CREATE TABLE runs (
  run_id INTEGER PRIMARY KEY,
  sweep_id INTEGER NOT NULL REFERENCES sweeps,
  configuration_id INTEGER NOT NULL REFERENCES configurations,
  seed INTEGER NOT NULL,
  round INTEGER NOT NULL,
  state TEXT NOT NULL,
  outcome TEXT,
  reason TEXT,
  attempts INTEGER NOT NULL DEFAULT 0,
  counted_ends INTEGER NOT NULL DEFAULT 0,
  failed_ends INTEGER NOT NULL DEFAULT 0,
  fence INTEGER NOT NULL DEFAULT 0,
  last_step INTEGER,
  first_nonfinite_step INTEGER,
  t_train_50 INTEGER,
  t_train_90 INTEGER,
  t_train_95 INTEGER,
  t_train_99 INTEGER,
  t_test_50 INTEGER,
  t_test_90 INTEGER,
  t_test_95 INTEGER,
  t_test_99 INTEGER,
  final_train_accuracy REAL,
  final_test_accuracy REAL,
  final_train_loss REAL,
  final_test_loss REAL,
  collapsed INTEGER,
  wall_seconds REAL,
  cpu_seconds REAL,
  summary TEXT,
  added_at INTEGER NOT NULL,
  started_at INTEGER,
  ended_at INTEGER,
  UNIQUE (configuration_id, seed)
) STRICT;
CREATE INDEX runs_by_sweep ON runs (sweep_id, state, outcome);
CREATE INDEX runs_by_end ON runs (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE workers (
  worker_id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  host TEXT NOT NULL,
  device TEXT NOT NULL,
  version TEXT NOT NULL,
  slots INTEGER NOT NULL,
  trainers TEXT NOT NULL,
  state TEXT NOT NULL,
  reason TEXT,
  registered_at INTEGER NOT NULL,
  changed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE attempts (
  run_id INTEGER NOT NULL REFERENCES runs,
  attempt INTEGER NOT NULL,
  worker_id TEXT NOT NULL REFERENCES workers,
  fence INTEGER NOT NULL,
  numerics TEXT,
  resume_step INTEGER,
  last_step INTEGER,
  acknowledged_sequence INTEGER NOT NULL DEFAULT 0,
  ended_as TEXT,
  reason TEXT,
  started_at INTEGER NOT NULL,
  ended_at INTEGER,
  PRIMARY KEY (run_id, attempt)
) STRICT, WITHOUT ROWID;
CREATE INDEX attempts_under_way ON attempts (worker_id) WHERE ended_as IS NULL;

CREATE TABLE checkpoints (
  run_id INTEGER NOT NULL REFERENCES runs,
  step INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  path TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (run_id, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
  event_id INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  kind TEXT NOT NULL,
  sweep_id INTEGER,
  run_id INTEGER,
  worker_id TEXT,
  detail TEXT NOT NULL
) STRICT;

CREATE TABLE metric_names (
  metric_id INTEGER PRIMARY KEY,
  name TEXT NOT NULL COLLATE NOCASE UNIQUE,
  in_steps INTEGER NOT NULL CHECK (in_steps IN (0, 1)),
  description TEXT NOT NULL
) STRICT;

CREATE TABLE steps (
  run_id INTEGER NOT NULL,
  step INTEGER NOT NULL,
  PRIMARY KEY (run_id, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE step_values (
  run_id INTEGER NOT NULL,
  metric_id INTEGER NOT NULL,
  step INTEGER NOT NULL,
  value REAL NOT NULL,
  PRIMARY KEY (run_id, metric_id, step)
) STRICT, WITHOUT ROWID;
)sql";

constexpr char kStepToVersion2[] = R"sql(
ALTER TABLE sweeps ADD COLUMN keep_checkpoints TEXT NOT NULL DEFAULT 'last';
ALTER TABLE sweeps ADD COLUMN numerics TEXT NOT NULL DEFAULT 'any';
ALTER TABLE runs ADD COLUMN mixed_numerics INTEGER NOT NULL DEFAULT 0;
ALTER TABLE checkpoints ADD COLUMN numerics TEXT NOT NULL DEFAULT '{}';
)sql";

// The tables are as they were; views are made anew at every step, and `curves` has changed.
constexpr char kStepToVersion3[] = "-- views only";

// Rows in the order of their arrival fill their pages, and a commit touches as few as it needs: the runs' rows come by
// turns, and in a tree by run each would go into the middle of it.
constexpr char kStepToVersion4[] = R"sql(
CREATE TABLE step_rows (
  row_id INTEGER PRIMARY KEY,
  run_id INTEGER NOT NULL,
  step INTEGER NOT NULL
) STRICT;

CREATE TABLE step_chunks (
  run_id INTEGER NOT NULL,
  first_step INTEGER NOT NULL,
  last_step INTEGER NOT NULL,
  first_row INTEGER NOT NULL,
  last_row INTEGER NOT NULL,
  PRIMARY KEY (run_id, first_step)
) STRICT, WITHOUT ROWID;
)sql";

// Before this version only the event with which a worker was stored as gone said what it had been.
constexpr char kStepToVersion5[] = R"sql(
ALTER TABLE workers ADD COLUMN state_before_gone TEXT;
UPDATE workers SET state_before_gone = latest.was FROM (
  SELECT worker_id, substr(detail, 1, instr(detail, ' to gone: ') - 1) AS was, max(event_id)
  FROM events WHERE kind = 'worker_state' GROUP BY worker_id) AS latest
WHERE latest.worker_id = workers.worker_id AND workers.state = 'gone'
  AND latest.was IN ('active', 'draining', 'quarantined');
)sql";

// Plain columns only: SQLite before 3.41 refuses JSON functions in views where its schema is not trusted.
constexpr char kRunResults[] = R"sql(
CREATE VIEW run_results AS
SELECT s.name AS sweep, r.run_id, r.configuration_id, r.seed, c.parameters, r.state, r.outcome, r.attempts,
  r.t_train_50, r.t_train_90, r.t_train_95, r.t_train_99, r.t_test_50, r.t_test_90, r.t_test_95, r.t_test_99,
  r.t_test_99 - r.t_train_99 AS delay,
  r.final_train_accuracy, r.final_test_accuracy, r.final_train_loss, r.final_test_loss,
  coalesce(r.last_step, a.last_step, a.resume_step) AS last_step,
  coalesce(r.wall_seconds, (r.ended_at - r.started_at) / 1e6) AS wall_seconds, r.cpu_seconds,
  r.reason, r.collapsed, r.first_nonfinite_step, s.evaluate_every, c.varied, w.name AS worker,
  r.started_at, r.ended_at, r.sweep_id, c.ordinal, a.worker_id, r.summary, r.mixed_numerics
FROM runs AS r
JOIN configurations AS c ON c.configuration_id = r.configuration_id
JOIN sweeps AS s ON s.sweep_id = r.sweep_id AND s.state <> 'deleting'
LEFT JOIN attempts AS a ON a.run_id = r.run_id AND a.attempt = r.attempts
LEFT JOIN workers AS w ON w.worker_id = a.worker_id;
)sql";

// A run that finished without reaching a threshold counts as +infinity (9e999) in the medians: censored runs stay in.
constexpr char kConfigurationResults[] = R"sql(
CREATE VIEW configuration_results AS
WITH ranked AS (
  SELECT configuration_id, t_train_99, t_test_99, delay, final_test_accuracy,
    coalesce(t_train_99, 9e999) AS t_train,
    coalesce(t_test_99, 9e999) AS t_grok,
    coalesce(delay, 9e999) AS t_delay,
    count(*) OVER (PARTITION BY configuration_id) AS n,
    avg(t_test_99) OVER (PARTITION BY configuration_id) AS mean_t_grok,
    avg(delay) OVER (PARTITION BY configuration_id) AS mean_delay,
    row_number() OVER (PARTITION BY configuration_id ORDER BY coalesce(t_train_99, 9e999)) AS train_rank,
    row_number() OVER (PARTITION BY configuration_id ORDER BY coalesce(t_test_99, 9e999)) AS grok_rank,
    row_number() OVER (PARTITION BY configuration_id ORDER BY coalesce(delay, 9e999)) AS delay_rank
  FROM run_results
  WHERE state = 'finished'
), statistics AS (
  SELECT configuration_id,
    count(t_train_99) AS reached_train_99,
    count(t_test_99) AS reached_test_99,
    nullif(avg(t_train) FILTER (WHERE train_rank IN ((n + 1) / 2, n / 2 + 1)), 9e999) AS median_t_train,
    nullif(avg(t_grok) FILTER (WHERE grok_rank IN ((n + 1) / 2, n / 2 + 1)), 9e999) AS median_t_grok,
    nullif(avg(t_delay) FILTER (WHERE delay_rank IN ((n + 1) / 2, n / 2 + 1)), 9e999) AS median_delay,
    avg(t_test_99) AS survivors_mean_t_grok,
    CASE WHEN count(t_test_99) > 1
      THEN sqrt(sum((t_test_99 - mean_t_grok) * (t_test_99 - mean_t_grok)) / (count(t_test_99) - 1)) END
      AS survivors_sd_t_grok,
    avg(delay) AS survivors_mean_delay,
    CASE WHEN count(delay) > 1
      THEN sqrt(sum((delay - mean_delay) * (delay - mean_delay)) / (count(delay) - 1)) END AS survivors_sd_delay,
    min(t_train_99) AS minimum_t_train,
    max(t_train_99) AS maximum_t_train,
    min(t_test_99) AS minimum_t_grok,
    max(t_test_99) AS maximum_t_grok,
    min(delay) AS minimum_delay,
    max(delay) AS maximum_delay,
    avg(final_test_accuracy) AS mean_final_test_accuracy
  FROM ranked
  GROUP BY configuration_id
), counts AS (
  SELECT configuration_id, count(*) AS seeds,
    count(*) FILTER (WHERE state = 'finished') AS finished,
    count(*) FILTER (WHERE state = 'failed') AS failed,
    count(*) FILTER (WHERE state = 'cancelled') AS cancelled
  FROM runs
  GROUP BY configuration_id
)
SELECT s.name AS sweep, c.configuration_id, c.parameters, c.varied,
  coalesce(k.seeds, 0) AS seeds, coalesce(k.finished, 0) AS finished,
  coalesce(k.failed, 0) AS failed, coalesce(k.cancelled, 0) AS cancelled,
  coalesce(t.reached_train_99, 0) AS reached_train_99, coalesce(t.reached_test_99, 0) AS reached_test_99,
  t.median_t_train, t.median_t_grok, t.median_delay,
  t.survivors_mean_t_grok, t.survivors_sd_t_grok, t.survivors_mean_delay, t.survivors_sd_delay,
  t.minimum_t_train, t.maximum_t_train, t.minimum_t_grok, t.maximum_t_grok, t.minimum_delay, t.maximum_delay,
  t.mean_final_test_accuracy, c.sweep_id, c.ordinal
FROM configurations AS c
JOIN sweeps AS s ON s.sweep_id = c.sweep_id AND s.state <> 'deleting'
LEFT JOIN counts AS k ON k.configuration_id = c.configuration_id
LEFT JOIN statistics AS t ON t.configuration_id = c.configuration_id;
)sql";

// CROSS JOIN is a join whose order SQLite keeps: chunks are found by their run, rows by their chunk, never chunks by
// row. Without ON, which other programs that read the file do not know there.
std::string StepsSql(const std::vector<std::string>& metric_columns) {
  std::string sql = "\nCREATE VIEW steps AS\nSELECT c.run_id, r.step";
  for (const std::string& name : metric_columns) absl::StrAppend(&sql, ", r.\"", name, "\"");
  return sql +
         "\nFROM step_chunks AS c CROSS JOIN step_rows AS r\nWHERE r.row_id BETWEEN c.first_row AND c.last_row;\n";
}

constexpr char kCurves[] = R"sql(
CREATE VIEW curves AS
SELECT s.name AS sweep, r.configuration_id, r.seed, t.*
FROM steps AS t
JOIN runs AS r ON r.run_id = t.run_id
JOIN sweeps AS s ON s.sweep_id = r.sweep_id AND s.state <> 'deleting';
)sql";

std::string MetricsSql(const std::vector<std::string>& metric_columns) {
  std::string sql = "\nCREATE VIEW metrics AS\n";
  for (const std::string& name : metric_columns) {
    absl::StrAppend(&sql, "SELECT run_id, step, '", name, "' AS metric, \"", name, "\" AS value FROM steps WHERE \"",
                    name, "\" IS NOT NULL\nUNION ALL ");
  }
  return sql +
         "SELECT v.run_id, v.step, n.name AS metric, v.value AS value FROM step_values AS v "
         "JOIN metric_names AS n ON n.metric_id = v.metric_id;\n";
}

}  // namespace

const char* TablesVersion1() {
  return kTablesVersion1;
}

const char* StepToVersion2() {
  return kStepToVersion2;
}

const char* StepToVersion3() {
  return kStepToVersion3;
}

const char* StepToVersion4() {
  return kStepToVersion4;
}

const char* StepToVersion5() {
  return kStepToVersion5;
}

const std::vector<SummaryColumn>& SummaryColumns() {
  static const std::vector<SummaryColumn>& columns = *new std::vector<SummaryColumn>{{"t_train_50", true},
                                                                                     {"t_train_90", true},
                                                                                     {"t_train_95", true},
                                                                                     {"t_train_99", true},
                                                                                     {"t_test_50", true},
                                                                                     {"t_test_90", true},
                                                                                     {"t_test_95", true},
                                                                                     {"t_test_99", true},
                                                                                     {"final_train_accuracy", false},
                                                                                     {"final_test_accuracy", false},
                                                                                     {"final_train_loss", false},
                                                                                     {"final_test_loss", false},
                                                                                     {"collapsed", true},
                                                                                     {"wall_seconds", false},
                                                                                     {"cpu_seconds", false}};
  return columns;
}

const std::vector<std::string>& ViewNames() {
  static const std::vector<std::string>& names =
      *new std::vector<std::string>{"metrics", "curves", "steps", "configuration_results", "run_results"};
  return names;
}

std::string ViewsSql(const std::vector<std::string>& metric_columns) {
  return absl::StrCat(kRunResults, kConfigurationResults, StepsSql(metric_columns), kCurves,
                      MetricsSql(metric_columns));
}

}  // namespace seedbed
