#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/storage/event_writer.h"

// What a submission adds: a million rows, perhaps.
namespace seedbed {
namespace {

// A statement's own cost is more than a row's; with so many rows it hardly counts.
constexpr size_t kRowsAtOnce = 50;

// An INSERT of `rows` rows. `into`: the table and its `columns` columns.
std::string InsertSql(const char* into, int columns, size_t rows) {
  std::string row = "(?";
  for (int column = 1; column < columns; ++column) row += ", ?";
  std::string sql = absl::StrCat("INSERT INTO ", into, " VALUES ", row, ")");
  for (size_t i = 1; i < rows; ++i) absl::StrAppend(&sql, ", ", row, ")");
  return sql;
}

struct Inserts {
  Inserts(const char* into, int columns)
      : one(InsertSql(into, columns, 1)), many(InsertSql(into, columns, kRowsAtOnce)) {}
  const std::string one;
  const std::string many;
};

// `bind(statement, position, event)` binds an event's columns behind `position`, and moves it.
template <typename Event, typename Bind>
absl::Status InsertAll(Database* database, const Inserts& inserts, const std::vector<const Event*>& events,
                       const Bind& bind) {
  size_t next = 0;
  while (next < events.size()) {
    const size_t count = events.size() - next >= kRowsAtOnce ? kRowsAtOnce : 1;
    SEEDBED_ASSIGN_OR_RETURN(CachedStatement insert, database->Cached(count > 1 ? inserts.many : inserts.one));
    const Event& first = *events[next];
    int position = 0;
    for (const size_t end = next + count; next < end; ++next) bind(insert.operator->(), &position, *events[next]);
    const absl::Status inserted = insert->Run();
    if (absl::IsInternal(inserted)) {
      return absl::InternalError(absl::StrCat("one of ", count, " rows from the event {", core::Describe(first),
                                              "} on does not fit the database: ", inserted.message()));
    }
    SEEDBED_RETURN_IF_ERROR(inserted);
  }
  return absl::OkStatus();
}

template <typename... Values>
void BindRow(Statement* statement, int* position, const Values&... values) {
  (statement->BindAt(++*position, values), ...);
}

}  // namespace

absl::Status EventWriter::operator()(const core::ConfigurationAdded& event) {
  RaiseNextId("next_configuration_id", event.configuration);
  ++added_[event.sweep].configurations;
  new_configurations_.push_back(&event);
  return absl::OkStatus();
}

absl::Status EventWriter::operator()(const core::RunAdded& event) {
  RaiseNextId("next_run_id", event.run);
  ++added_[event.sweep].runs;
  new_runs_.push_back(&event);
  return absl::OkStatus();
}

absl::Status EventWriter::InsertNew() {
  static const Inserts& configurations =
      *new Inserts("configurations (configuration_id, sweep_id, ordinal, digest, pack_key, parameters, varied)", 7);
  static const Inserts& runs =
      *new Inserts("runs (run_id, sweep_id, configuration_id, seed, round, state, added_at)", 7);
  // Configurations first: runs name them.
  SEEDBED_RETURN_IF_ERROR(InsertAll(database_, configurations, new_configurations_,
                                    [](Statement* statement, int* position, const core::ConfigurationAdded& event) {
                                      BindRow(statement, position, event.configuration, event.sweep, event.ordinal,
                                              event.digest.Hex(), event.pack_key.Hex(), event.parameters_json,
                                              event.varied_json);
                                    }));
  SEEDBED_RETURN_IF_ERROR(
      InsertAll(database_, runs, new_runs_, [this](Statement* statement, int* position, const core::RunAdded& event) {
        BindRow(statement, position, event.run, event.sweep, event.configuration, event.seed, event.round,
                core::Name(core::RunState::kQueued), now_);
      }));
  new_configurations_.clear();
  new_runs_.clear();
  return absl::OkStatus();
}

}  // namespace seedbed
