#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/storage/database.h"

namespace seedbed {

// Brings the tables from the version before to `version`: runs `sql`, and then `move_rows` if there is one.
struct Migration {
  int64_t version;
  const char* sql;
  absl::Status (*move_rows)(Database* database) = nullptr;
};

// The history of the schema: versions 1, 2, … without gaps. Never change one that was released; add one.
const std::vector<Migration>& Migrations();
int64_t SchemaVersion();  // of the last

// FAILED_PRECONDITION unless the file is empty or ours and of a version up to `newest`. Returns its version (0: empty).
absl::StatusOr<int64_t> CheckSchema(Database* database, int64_t newest);

// Runs what is missing and creates the views anew, in one transaction: after an error the file is as it was.
absl::Status Migrate(Database* database, const std::vector<Migration>& migrations);

// The columns of step_rows, and of the view `steps`, that are metrics, in order.
absl::StatusOr<std::vector<std::string>> MetricColumns(Database* database);

// Within the caller's transaction.
absl::Status DropViews(Database* database);
absl::Status CreateViews(Database* database);

}  // namespace seedbed
