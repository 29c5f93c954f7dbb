// The state that a coordinator finds at its start. An input is lines of words that change a sound database:
//   set TABLE COLUMN ROW VALUE    a value of one row (counted from 0); VALUE is an integer, a number, null or text
//   delete TABLE ROW
//   copy TABLE ROW COLUMN VALUE   the row again, with another value
//   bytes POSITION VALUE          a byte of the file itself (modulo its length)
// Whatever stands there, loading either refuses it in words or gives a state that keeps its invariants and can go on.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "coordinator/core/scheduler.h"
#include "coordinator/storage/data_directory.h"
#include "coordinator/storage/database.h"
#include "coordinator/storage/inspection.h"
#include "coordinator/storage/load.h"
#include "coordinator/storage/store.h"
#include "tests/fuzz/fuzz.h"

namespace seedbed::fuzz {
namespace {

constexpr const char* kTables[] = {"sweeps",      "configurations", "runs",       "attempts",
                                   "workers",     "checkpoints",    "meta",       "step_rows",
                                   "step_values", "metric_names",   "step_chunks"};

template <typename T>
T Must(absl::StatusOr<T> value) {
  Require(value.ok(), "the sound database: " + value.status().ToString());
  return *std::move(value);
}

StoreOptions OptionsFor(const std::string& directory) {
  StoreOptions options;
  options.directory = directory;
  options.database_id_if_created = "fuzz";
  options.synchronous = StoreOptions::Synchronous::kOff;
  options.busy_timeout = absl::ZeroDuration();
  return options;
}

Moment Now() {
  return {absl::Seconds(1000), absl::FromUnixSeconds(1'700'000'000)};
}

// What the core decides and the store writes, so that all rows are as they are in life.
class Builder {
 public:
  explicit Builder(Store* store) : store_(store) {}
  void Do(const core::Command& command) {
    const core::Decision decision = Must(core::Decide(state_, command, Now()));
    for (const core::Event& event : decision.events) state_.Apply(event);
    Batch batch;
    batch.now = Now();
    batch.events = decision.events;
    Require(store_->Write(batch).ok(), "the sound database is written");
  }
  const core::State& state() const { return state_; }

 private:
  Store* const store_;
  core::State state_;
};

core::Synchronize CallOf(const std::string& worker, int64_t number, int free_slots) {
  core::Synchronize call;
  call.worker = WorkerId(worker);
  call.name = worker;
  call.slots = 2;
  call.free_slots = free_slots;
  call.number = number;
  call.trainers.push_back({"modular", "{}", {"optimizer.weight_decay"}});
  return call;
}

void Fill(Store* store) {
  Builder builder(store);
  core::BeginSubmission begin;
  begin.submission_id = "id";
  begin.name = "s";
  begin.fixed_json = "{}";
  begin.template_json =
      R"({"budget":{"seconds":null,"steps":100},"metrics":{"evaluate_every":20,"log_every":10},"stop":[],"trainer":"modular"})";
  begin.metric_json = "null";
  builder.Do(begin);
  core::AddConfigurations add;
  add.sweep = SweepId(1);
  add.seeds = {0, 1, 2};
  for (int i = 0; i < 2; ++i) {
    const std::string parameters = absl::StrCat(R"({"optimizer.weight_decay":)", i, "}");
    add.configurations.push_back({DigestOf(parameters), Digest{}, parameters, parameters});
  }
  builder.Do(add);
  core::CompleteSubmission complete;
  complete.sweep = SweepId(1);
  complete.submission_id = "id";
  builder.Do(complete);
  builder.Do(CallOf("w1", 1, 2));
  builder.Do(CallOf("w2", 1, 2));
  for (const char* name : {"w1", "w2"}) {
    const core::WorkerEntry* worker = builder.state().FindWorker(WorkerId(name));
    const RunId run = *worker->leases.begin();
    core::Report report;
    report.worker = worker->id;
    report.lease = core::LeaseOf(*builder.state().FindRun(run));
    report.sequence = 1;
    report.last_step = 20;
    builder.Do(report);
    core::StoreCheckpoint save;
    save.worker = worker->id;
    save.lease = report.lease;
    save.checkpoint.step = 20;
    save.checkpoint.sequence = 1;
    save.checkpoint.path = absl::StrCat("checkpoints/", name);
    save.checkpoint.sha256 = std::string(64, 'a');
    save.checkpoint.bytes = 5;
    save.numerics_json = "{}";
    builder.Do(save);
    if (std::string(name) == "w2") continue;
    report.sequence = 2;
    report.last_step = 100;
    report.end = core::Report::End();
    report.end->result = core::RunResult{"grokked", "budget", 100, "{}"};
    builder.Do(report);
  }
  Batch rows;
  rows.now = Now();
  rows.metrics = {{RunId(1), {0, 10, 20}, {{"train_loss", {3, 2, 1}}, {"layer.norm", {1, 1, 1}}}, {}}};
  Require(store->Write(rows).ok(), "rows are written");
}

// A sound database on disk, open for changes that are rolled back.
class World {
 public:
  static World& Get() {
    static World& world = *new World();
    return world;
  }
  Database* database() { return database_.get(); }
  const std::string& bytes() const { return bytes_; }
  const std::string& directory() const { return directory_; }
  const std::vector<std::string>& ColumnsOf(size_t table) const { return columns_[table]; }

 private:
  World() {
    std::string pattern = (std::filesystem::temp_directory_path() / "seedbed-fuzz-XXXXXX").string();
    Require(mkdtemp(pattern.data()) != nullptr, "a temporary directory");
    directory_ = pattern;
    Fill(Must(Store::Open(OptionsFor(directory_ + "/sound"), Now())).get());
    const std::string path = DatabasePath(directory_ + "/sound");
    std::ifstream file(path, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    Database::Options options;
    options.access = Database::Options::Access::kReadWrite;
    database_ = Must(Database::Open(path, options));
    for (const char* table : kTables) {
      std::vector<std::string>& columns = columns_.emplace_back();
      Statement names = Must(database_->Prepare(absl::StrCat("SELECT name FROM pragma_table_info('", table, "')")));
      while (Must(names.Step())) columns.push_back(names.Text(0));
    }
    std::atexit([] {
      std::error_code ignored;
      std::filesystem::remove_all(Get().directory_, ignored);
    });
  }

  std::string directory_;
  std::string bytes_;
  std::unique_ptr<Database> database_;
  std::vector<std::vector<std::string>> columns_;
};

uint64_t Number(const std::string& word) {
  uint64_t number = 0;
  if (absl::SimpleAtoi(word, &number)) return number;
  return std::hash<std::string>()(word);
}

void BindValue(int position, const std::string& word, Statement* statement) {
  int64_t integer = 0;
  double real = 0;
  if (word == "null") {
    statement->BindAt(position, std::nullopt);
  } else if (absl::SimpleAtoi(word, &integer)) {
    statement->BindAt(position, integer);
  } else if (absl::SimpleAtod(word, &real)) {
    statement->BindAt(position, real);
  } else {
    statement->BindAt(position, word);
  }
}

size_t TableOf(const std::string& word) {
  for (size_t i = 0; i < std::size(kTables); ++i) {
    if (word == kTables[i]) return i;
  }
  return Number(word) % std::size(kTables);
}

// The key columns of row `number`, as a condition for it and its values.
std::string RowCondition(size_t table) {
  const std::string name = kTables[table];
  if (name == "attempts")
    return "(run_id, attempt) = (SELECT run_id, attempt FROM attempts ORDER BY 1, 2 LIMIT 1 OFFSET ?)";
  if (name == "checkpoints")
    return "(run_id, step) = (SELECT run_id, step FROM checkpoints ORDER BY 1, 2 LIMIT 1 OFFSET ?)";
  if (name == "step_chunks")
    return "(run_id, first_step) = (SELECT run_id, first_step FROM step_chunks ORDER BY 1, 2 LIMIT 1 OFFSET ?)";
  if (name == "step_values") {
    return "(run_id, metric_id, step) = (SELECT run_id, metric_id, step FROM step_values ORDER BY 1, 2, 3 LIMIT 1 "
           "OFFSET ?)";
  }
  const std::string key = name == "meta" ? "key" : World::Get().ColumnsOf(table)[0];
  return absl::StrCat(key, " = (SELECT ", key, " FROM ", name, " ORDER BY 1 LIMIT 1 OFFSET ?)");
}

// Changes that a constraint forbids are passed over: SQLite would never have let them in.
void ChangeRow(const std::vector<std::string>& words) {
  World& world = World::Get();
  Database* database = world.database();
  const size_t table = TableOf(words[1]);
  const std::vector<std::string>& columns = world.ColumnsOf(table);
  const auto column_of = [&columns](const std::string& word) {
    for (const std::string& each : columns) {
      if (each == word) return each;
    }
    return columns[Number(word) % columns.size()];
  };
  const bool is_copy = words[0] == "copy";
  const auto row = static_cast<int64_t>(Number(words[words[0] == "set" ? 3 : 2]) % 16);
  std::string sql = absl::StrCat("DELETE FROM ", kTables[table], " WHERE ", RowCondition(table));
  if (words[0] == "set") {
    sql = absl::StrCat("UPDATE ", kTables[table], " SET \"", column_of(words[2]), "\" = ? WHERE ", RowCondition(table));
  } else if (is_copy) {
    std::vector<std::string> values;
    for (const std::string& each : columns)
      values.push_back(each == column_of(words[3]) ? "?" : absl::StrCat("\"", each, "\""));
    sql = absl::StrCat("INSERT INTO ", kTables[table], " SELECT ", absl::StrJoin(values, ", "), " FROM ",
                       kTables[table], " WHERE ", RowCondition(table));
  }
  absl::StatusOr<Statement> statement = database->Prepare(sql);
  if (!statement.ok()) return;
  int position = 0;
  if (words[0] != "delete") BindValue(++position, words[4], &*statement);
  statement->BindAt(++position, row);
  (void)statement->Run();
}

// A state that was loaded can be worked with.
void WorkWith(core::State state) {
  const absl::Status holds = state.CheckInvariants();
  Require(holds.ok(), "what was loaded keeps its invariants: " + holds.ToString());
  Moment now = Now();
  const core::Command commands[] = {CallOf("w1", 1000, 2), CallOf("w3", 1, 4), core::Tick{},
                                    core::CancelRuns{SweepId(1), {}, 10}};
  for (const core::Command& command : commands) {
    now.monotonic += absl::Seconds(1);
    const absl::StatusOr<core::Decision> decision = core::Decide(state, command, now);
    if (!decision.ok()) continue;
    for (const core::Event& event : decision->events) state.Apply(event);
    const absl::Status still = state.CheckInvariants();
    Require(still.ok(), "the state goes on: " + still.ToString());
  }
}

bool IsRefusal(const absl::Status& status) {
  return absl::IsDataLoss(status) || absl::IsFailedPrecondition(status) || absl::IsInvalidArgument(status);
}

void LoadRows() {
  absl::StatusOr<core::State> state = LoadState(World::Get().database(), core::Settings(), Now().monotonic);
  if (state.ok()) return WorkWith(*std::move(state));
  Require(IsRefusal(state.status()), "rows are refused in words: " + state.status().ToString());
}

void LoadFile(const std::string& bytes) {
  const std::string directory = World::Get().directory() + "/broken";
  std::error_code error;
  std::filesystem::remove_all(directory, error);
  std::filesystem::create_directory(directory, error);
  std::ofstream(DatabasePath(directory), std::ios::binary) << bytes;
  // The doctor first: it changes nothing.
  (void)InspectDatabase(DatabasePath(directory), /*quick=*/false);
  absl::StatusOr<std::unique_ptr<Store>> store = Store::Open(OptionsFor(directory), Now());
  if (!store.ok()) return;
  absl::StatusOr<core::State> state = (*store)->Load(core::Settings(), Now().monotonic);
  if (state.ok()) WorkWith(*std::move(state));
}

}  // namespace
}  // namespace seedbed::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace seedbed;  // NOLINT: the entry point has to be global
  fuzz::World& world = fuzz::World::Get();
  std::string bytes;
  const std::string input(reinterpret_cast<const char*>(data), size);
  fuzz::Require(world.database()->Execute("BEGIN").ok(), "a transaction begins");
  int lines = 0;
  for (const absl::string_view line : absl::StrSplit(input, '\n', absl::SkipEmpty())) {
    if (++lines > 32) break;
    // The last word is all of the rest: values may hold spaces.
    std::vector<std::string> words = absl::StrSplit(line, absl::MaxSplits(' ', 4));
    words.resize(5);
    if (words[0] == "bytes") {
      if (bytes.empty()) bytes = world.bytes();
      bytes[fuzz::Number(words[1]) % bytes.size()] = static_cast<char>(fuzz::Number(words[2]));
    } else if (words[0] == "set" || words[0] == "delete" || words[0] == "copy") {
      fuzz::ChangeRow(words);
    }
  }
  fuzz::LoadRows();
  fuzz::Require(world.database()->Execute("ROLLBACK").ok(), "and ends");
  if (!bytes.empty()) fuzz::LoadFile(bytes);
  return 0;
}
