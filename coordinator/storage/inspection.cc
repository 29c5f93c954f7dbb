#include "coordinator/storage/inspection.h"

#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/schema/largest_step.h"
#include "common/schema/trainer_schema.h"
#include "coordinator/core/state.h"
#include "coordinator/storage/database.h"
#include "coordinator/storage/load.h"
#include "coordinator/storage/log_check.h"
#include "coordinator/storage/migrations.h"
#include "coordinator/storage/schema_inspection.h"

namespace seedbed {
namespace {

constexpr char kRestore[] =
    "restore a backup; without one, copy the directory aside and try `sqlite3 results.db .recover`";
constexpr char kCorrect[] = "copy the directory aside, then restore a backup or correct the rows with sqlite3";
constexpr char kRetry[] =
    "nothing that was shown as finished can be trusted for these runs: restore a backup, or delete and repeat the "
    "sweep";
constexpr char kRestoreSchema[] =
    "restore a backup; without one, copy the directory aside and make with sqlite3 what a new data directory's "
    "results.db has there";
constexpr char kForeign[] =
    "nothing of ours made it: a trigger changes rows behind the coordinator's back, and the next version may want the "
    "name; DROP it with sqlite3 while no coordinator runs";
constexpr size_t kMostExamples = 3;
constexpr int kMostDamages = 20;  // that SQLite's integrity check lists

// A law between rows. `sql` gives one text for each place where it does not hold.
struct Law {
  const char* name;
  const char* broken;
  const char* sql;
  const char* advice;
};

constexpr Law kLaws[] = {
    {"steps_of_no_run", "rows of `steps` belong to no run",
     "SELECT 'run ' || run_id || ' (' || sum(last_row - first_row + 1) || ' rows)' FROM step_chunks "
     "WHERE run_id NOT IN (SELECT run_id FROM runs) GROUP BY run_id ORDER BY run_id",
     kCorrect},
    {"chunk_bounds", "chunks of `steps` have a step or a row in common",
     "SELECT 'run ' || run_id || ' step ' || first_step FROM (SELECT run_id, first_step, first_row, "
     "lag(last_step) OVER (PARTITION BY run_id ORDER BY first_step) AS step_before, max(last_row) OVER "
     "(ORDER BY first_row, last_row ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS row_before FROM step_chunks) "
     "WHERE first_step <= step_before OR first_row <= row_before ORDER BY run_id, first_step",
     kCorrect},
    // Counted are the rows whose step is beyond that of the row before.
    {"chunk_rows", "chunks of `steps` are not the rows that they name, of their run and with rising steps",
     "SELECT 'run ' || c.run_id || ' step ' || c.first_step FROM step_chunks AS c "
     "WHERE c.last_row - c.first_row + 1 IS NOT (SELECT count(*) FILTER (WHERE run_id = c.run_id AND step > before) "
     "FROM (SELECT run_id, step, lag(step, 1, -1) OVER (ORDER BY row_id) AS before FROM step_rows "
     "WHERE row_id BETWEEN c.first_row AND c.last_row)) "
     "OR c.first_step IS NOT (SELECT step FROM step_rows WHERE row_id = c.first_row) "
     "OR c.last_step IS NOT (SELECT step FROM step_rows WHERE row_id = c.last_row) ORDER BY c.run_id, c.first_step",
     kCorrect},
    // Looked for between the chunks only: the rows in them were counted.
    {"rows_of_no_chunk", "rows of step_rows belong to no chunk",
     "WITH chunks AS (SELECT first_row, last_row FROM step_chunks "
     "UNION ALL SELECT max(row_id) + 1, NULL FROM step_rows), gaps AS (SELECT coalesce(max(last_row) OVER "
     "(ORDER BY first_row ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), -9e18) AS before, first_row AS behind "
     "FROM chunks) SELECT 'run ' || r.run_id || ' (' || count(*) || ' rows)' FROM gaps AS g CROSS JOIN step_rows AS r "
     "ON r.row_id > g.before AND r.row_id < g.behind GROUP BY r.run_id ORDER BY r.run_id",
     kCorrect},
    {"values_of_no_run", "rows of `step_values` belong to no run",
     "SELECT 'run ' || run_id || ' (' || count(*) || ' values)' FROM step_values "
     "WHERE run_id NOT IN (SELECT run_id FROM runs) GROUP BY run_id ORDER BY run_id",
     kCorrect},
    {"values_of_no_step", "rows of `step_values` have no row of `steps`",
     "WITH lost AS (SELECT run_id, step FROM step_values EXCEPT SELECT run_id, step FROM steps "
     "WHERE run_id IN (SELECT run_id FROM step_values)) "
     "SELECT 'run ' || v.run_id || ' (' || count(*) || ' values)' FROM lost JOIN step_values AS v USING (run_id, step) "
     "GROUP BY v.run_id ORDER BY v.run_id",
     kCorrect},
    {"values_of_no_metric", "rows of `step_values` name no metric",
     "SELECT 'metric ' || metric_id || ' (' || count(*) || ' values)' FROM step_values "
     "WHERE metric_id NOT IN (SELECT metric_id FROM metric_names) GROUP BY metric_id ORDER BY metric_id",
     kCorrect},
    // A grant deletes what lies beyond its checkpoint, and every row commits with its acknowledgement.
    {"rows_beyond_last_step", "runs have rows beyond the last step that was acknowledged",
     "SELECT 'run ' || r.run_id || ' (row ' || r.last || ')' FROM "
     "(SELECT run_id, attempts, (SELECT max(last_step) FROM step_chunks AS c WHERE c.run_id = runs.run_id) AS last "
     "FROM runs) AS r LEFT JOIN attempts AS a ON a.run_id = r.run_id AND a.attempt = r.attempts "
     "WHERE r.last > max(coalesce(a.last_step, -1), coalesce(a.resume_step, -1)) ORDER BY r.run_id",
     kRetry},
    {"attempt_numbers", "runs do not have the attempts that they count",
     "SELECT 'run ' || run_id FROM runs WHERE attempts <> (SELECT count(*) FROM attempts AS a "
     "WHERE a.run_id = runs.run_id AND a.attempt BETWEEN 1 AND runs.attempts) OR EXISTS (SELECT 1 FROM attempts AS a "
     "WHERE a.run_id = runs.run_id AND a.attempt > runs.attempts) ORDER BY run_id",
     kCorrect},
    {"attempt_ends", "attempts are open although their run is not running, or ended although it is",
     "SELECT 'run ' || r.run_id || ' attempt ' || a.attempt FROM runs AS r JOIN attempts AS a USING (run_id) "
     "WHERE (a.ended_as IS NULL) <> (r.state = 'running' AND a.attempt = r.attempts) "
     "OR (a.ended_as IS NULL) <> (a.ended_at IS NULL) ORDER BY r.run_id, a.attempt",
     kCorrect},
    {"finished_once", "runs do not have one finished attempt if they are finished, and none if not",
     "SELECT 'run ' || run_id || ' (' || state || ')' FROM runs WHERE (state = 'finished') <> (SELECT count(*) FROM "
     "attempts AS a WHERE a.run_id = runs.run_id AND a.ended_as = 'finished') ORDER BY run_id",
     kRetry},
    {"finished_result", "runs have a result without being finished, or are finished without one",
     "SELECT 'run ' || run_id || ' (' || state || ')' FROM runs WHERE (state = 'finished') <> (outcome IS NOT NULL) "
     "OR (state = 'finished') <> (last_step IS NOT NULL) ORDER BY run_id",
     kRetry},
    {"fences", "attempts do not have rising fences up to their run's",
     "SELECT 'run ' || a.run_id || ' attempt ' || a.attempt FROM (SELECT run_id, attempt, fence, "
     "lag(fence, 1, 0) OVER (PARTITION BY run_id ORDER BY attempt) AS before FROM attempts) AS a "
     "JOIN runs AS r ON r.run_id = a.run_id WHERE a.fence <= a.before OR a.fence > r.fence ORDER BY a.run_id, "
     "a.attempt",
     kCorrect},
    // A checkpoint is committed only when the report that it names is durable.
    {"checkpoint_reports", "checkpoints name reports that are not durable",
     "SELECT 'run ' || c.run_id || ' step ' || c.step FROM checkpoints AS c "
     "LEFT JOIN attempts AS a ON a.run_id = c.run_id AND a.attempt = c.attempt "
     "WHERE a.attempt IS NULL OR c.sequence > a.acknowledged_sequence ORDER BY c.run_id, c.step",
     kCorrect},
};

// Our messages end with what to do next, after their last semicolon.
Finding FindingOf(const std::string& check, const absl::Status& status, const char* otherwise) {
  const std::string message(status.message());
  const size_t end = message.rfind("; ");
  if (end == std::string::npos) return {check, message, otherwise};
  return {check, message.substr(0, end), message.substr(end + 2)};
}

// How many steps from 0 to `last` are multiples of one of the intervals (0: none), or are `last`.
int64_t RowsDue(int64_t last, int64_t log, int64_t evaluate, int64_t analyze) {
  const auto multiples = [last](int64_t interval) { return interval > 0 ? last / interval + 1 : 0; };
  const auto both = [last](int64_t a, int64_t b) -> int64_t {
    if (a == 0 || b == 0) return 0;
    const int64_t rest = b / std::gcd(a, b);
    return rest > last / a ? last + 1 : a * rest;  // beyond `last`: only step 0 is a multiple of both
  };
  int64_t due = multiples(log) + multiples(evaluate) + multiples(analyze);
  for (const int64_t common : {both(log, evaluate), both(log, analyze), both(evaluate, analyze)}) {
    due -= multiples(common);
  }
  due += multiples(both(both(log, evaluate), analyze));
  const bool on_grid = last % log == 0 || last % evaluate == 0 || (analyze > 0 && last % analyze == 0);
  return on_grid ? due : due + 1;
}

class Inspector {
 public:
  Inspector(Database* database, bool quick) : database_(database), quick_(quick) {}

  absl::StatusOr<Inspection> Inspect() {
    Note("integrity", CheckFile(), kRestore);
    if (unreadable_) return std::move(inspection_);
    SEEDBED_ASSIGN_OR_RETURN(const int64_t version, CheckSchema(database_, SchemaVersion()));
    if (version < SchemaVersion()) {
      return absl::FailedPreconditionError(
          absl::StrCat(database_->path(), " has schema version ", version, " and this program's is ", SchemaVersion(),
                       "; start a coordinator on it once, which brings it up to date, and examine it then"));
    }
    Note("schema", CheckParts(), kRestore);
    Note("foreign_keys", CheckForeignKeys(), kCorrect);
    for (const Law& law : kLaws) Note(law.name, CheckLaw(law), kRestore);
    for (const std::string& trainer : TrainerNames()) Note("finished_rows", CheckFinishedRows(trainer), kRestore);
    Note("state", LoadState(database_, core::Settings(), absl::ZeroDuration()).status(), kRestore);
    Note("checkpoints", ReadWhatFilesBelongTo(), kRestore);
    Note("rows", Count(), kRestore);
    return std::move(inspection_);
  }

 private:
  void Add(const std::string& check, std::string what, const char* advice) {
    inspection_.findings.push_back({check, std::move(what), advice});
  }
  // A check that could not be done. Where the file itself is damaged, that was said already.
  void Note(const std::string& check, const absl::Status& status, const char* advice) {
    if (status.ok() || (damaged_ && check != "integrity" && absl::IsDataLoss(status))) return;
    if (incomplete_ && absl::IsInvalidArgument(status)) return;  // "no such table", which was said already
    inspection_.findings.push_back(FindingOf(check, status, advice));
  }

  absl::Status CheckFile() {
    const absl::Status status = ListDamages();
    // A file that SQLite cannot even check has nothing in it that could be looked at.
    unreadable_ = !status.ok();
    damaged_ = unreadable_ || !inspection_.findings.empty();
    return status;
  }

  absl::Status ListDamages() {
    SEEDBED_ASSIGN_OR_RETURN(
        Statement statement,
        database_->Prepare(absl::StrCat("PRAGMA ", quick_ ? "quick" : "integrity", "_check(", kMostDamages, ")")));
    std::vector<std::string> damages;
    while (true) {
      SEEDBED_ASSIGN_OR_RETURN(const bool row, statement.Step());
      if (!row) break;
      if (statement.Text(0) != "ok") damages.push_back(statement.Text(0));
    }
    if (!damages.empty()) {
      const size_t count = damages.size();
      damages.resize(std::min(count, kMostExamples));
      Add("integrity",
          absl::StrCat(database_->path(), " is damaged: ", absl::StrJoin(damages, "; "),
                       count > kMostExamples ? "; …" : ""),
          kRestore);
    }
    return absl::OkStatus();
  }

  absl::Status CheckParts() {
    SEEDBED_ASSIGN_OR_RETURN(SchemaDifferences differences, CompareSchema(database_));
    incomplete_ = !differences.empty();
    Tell("schema", "parts of the schema are missing", std::move(differences.missing), kRestoreSchema);
    Tell("schema", "parts of the schema are not as they were made", std::move(differences.changed), kRestoreSchema);
    Tell("schema", "the schema has parts that do not belong to it", std::move(differences.foreign), kForeign);
    return absl::OkStatus();
  }

  absl::Status CheckForeignKeys() {
    SEEDBED_ASSIGN_OR_RETURN(Statement statement, database_->Prepare("PRAGMA foreign_key_check"));
    std::vector<std::string> rows;
    while (true) {
      SEEDBED_ASSIGN_OR_RETURN(const bool row, statement.Step());
      if (!row) break;
      rows.push_back(absl::StrCat("a row of ", statement.Text(0), " without its row of ", statement.Text(2)));
    }
    Tell("foreign_keys", "rows refer to rows that are not there", std::move(rows), kCorrect);
    return absl::OkStatus();
  }

  absl::Status CheckLaw(const Law& law) {
    SEEDBED_ASSIGN_OR_RETURN(Statement statement, database_->Prepare(law.sql));
    std::vector<std::string> places;
    while (true) {
      SEEDBED_ASSIGN_OR_RETURN(const bool row, statement.Step());
      if (!row) break;
      places.push_back(statement.Text(0));
    }
    Tell(law.name, law.broken, std::move(places), law.advice);
    return absl::OkStatus();
  }

  void Tell(const char* name, const char* broken, std::vector<std::string> places, const char* advice) {
    if (places.empty()) return;
    const size_t count = places.size();
    places.resize(std::min(count, kMostExamples));
    Add(name,
        absl::StrCat(broken, ": ", absl::StrJoin(places, ", "),
                     count > kMostExamples ? absl::StrCat(" and ", count - kMostExamples, " more") : ""),
        advice);
  }

  // The engine writes a row at step 0, at each multiple of an interval, and at the last step. Other programs' trainers
  // may leave rows out.
  absl::Status CheckFinishedRows(const std::string& trainer) {
    SEEDBED_ASSIGN_OR_RETURN(
        Statement statement,
        database_->Prepare(
            "WITH expected AS MATERIALIZED (SELECT r.run_id, r.last_step, "
            "json_extract(w.template, '$.metrics.log_every') AS log, "
            "json_extract(w.template, '$.metrics.evaluate_every') AS evaluate, "
            "coalesce(json_extract(w.template, '$.metrics.analyze_every'), 0) AS analyze "
            "FROM runs AS r JOIN sweeps AS w ON w.sweep_id = r.sweep_id WHERE r.state = 'finished' AND w.trainer = ?) "
            "SELECT e.run_id, e.last_step, e.log, e.evaluate, e.analyze, count(s.step), "
            "total(s.step % e.log <> 0 AND s.step % e.evaluate <> 0 AND coalesce(s.step % e.analyze, 1) <> 0 "
            "AND s.step <> e.last_step) FROM expected AS e LEFT JOIN step_chunks AS c ON c.run_id = e.run_id "
            "LEFT JOIN step_rows AS s ON s.row_id BETWEEN c.first_row AND c.last_row "
            "GROUP BY e.run_id ORDER BY e.run_id"));
    statement.Bind(trainer);
    std::vector<std::string> wrong;
    while (true) {
      SEEDBED_ASSIGN_OR_RETURN(const bool row, statement.Step());
      if (!row) break;
      const std::string run = absl::StrCat("run ", statement.Int(0));
      const int64_t last = statement.Int(1);
      const int64_t log = statement.Int(2);
      const int64_t evaluate = statement.Int(3);
      if (!IsStep(last) || log < 1 || evaluate < 1 || statement.Int(4) < 0) {
        wrong.push_back(absl::StrCat(run, IsStep(last) ? " (no intervals in its sweep's template)"
                                                       : " (a last step that cannot be)"));
        continue;
      }
      const int64_t due = RowsDue(last, log, evaluate, statement.Int(4));
      const int64_t beside = static_cast<int64_t>(statement.Real(6));
      if (statement.Int(5) == due && beside == 0) continue;
      wrong.push_back(absl::StrCat(run, " (", statement.Int(5), " rows, ", due, " are due", beside > 0 ? ", " : "",
                                   beside > 0 ? absl::StrCat(beside, " at steps that are not") : "", ")"));
    }
    Tell("finished_rows", "finished runs do not have the rows of their logged steps", std::move(wrong), kRetry);
    return absl::OkStatus();
  }

  absl::Status ReadWhatFilesBelongTo() {
    SEEDBED_ASSIGN_OR_RETURN(
        Statement statement,
        database_->Prepare("SELECT run_id, step, path, sha256, bytes FROM checkpoints ORDER BY run_id, step"));
    while (true) {
      SEEDBED_ASSIGN_OR_RETURN(const bool row, statement.Step());
      if (!row) break;
      inspection_.checkpoints.push_back(
          {RunId(statement.Int(0)), statement.Int(1), statement.Text(2), statement.Text(3), statement.Int(4)});
    }
    SEEDBED_ASSIGN_OR_RETURN(Statement runs,
                             database_->Prepare("SELECT run_id, attempts FROM runs WHERE attempts > 0"));
    while (true) {
      SEEDBED_ASSIGN_OR_RETURN(const bool row, runs.Step());
      if (!row) break;
      inspection_.attempts[RunId(runs.Int(0))] = static_cast<int>(runs.Int(1));
    }
    inspection_.knows_files = true;
    return absl::OkStatus();
  }

  absl::Status Count() {
    SEEDBED_ASSIGN_OR_RETURN(const std::optional<int64_t> runs, database_->QueryInt("SELECT count(*) FROM runs"));
    SEEDBED_ASSIGN_OR_RETURN(const std::optional<int64_t> rows, database_->QueryInt("SELECT count(*) FROM step_rows"));
    inspection_.runs = runs.value_or(0);
    inspection_.rows = rows.value_or(0);
    return absl::OkStatus();
  }

  Database* const database_;
  const bool quick_;
  bool unreadable_ = false;
  bool damaged_ = false;
  bool incomplete_ = false;
  Inspection inspection_;
};

}  // namespace

absl::StatusOr<Inspection> InspectDatabase(const std::string& database_path, bool quick) {
  struct stat found;
  if (::stat(database_path.c_str(), &found) != 0) {
    return absl::NotFoundError(
        absl::StrCat("there is no results database ", database_path, "; name its directory with --data DIR"));
  }
  Inspection inspection;
  if (found.st_size == 0) {
    inspection.findings.push_back({"integrity",
                                   absl::StrCat(database_path,
                                                " is empty: its content is lost, or no coordinator has "
                                                "ever started on it"),
                                   "restore a backup; if there never was anything in it, remove it"});
    return inspection;
  }
  const absl::Status log = CheckLog(database_path);
  if (!log.ok()) {
    inspection.findings.push_back(FindingOf("log", log, kRestore));
    return inspection;
  }
  SEEDBED_ASSIGN_OR_RETURN(const std::unique_ptr<Database> database, Database::Open(database_path, {}));
  // The first read begins the snapshot that all others see.
  SEEDBED_RETURN_IF_ERROR(database->Execute("BEGIN"));
  return Inspector(database.get(), quick).Inspect();
}

}  // namespace seedbed
