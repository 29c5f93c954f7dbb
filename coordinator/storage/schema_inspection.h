#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/storage/database.h"

namespace seedbed {

// Tables, columns, views, indexes and triggers as people name them ("column step_rows.train_loss").
struct SchemaDifferences {
  std::vector<std::string> missing;
  std::vector<std::string> changed;
  std::vector<std::string> foreign;
  bool empty() const { return missing.empty() && changed.empty() && foreign.empty(); }
};

// How a database of this program's version differs from one that was just created and has got the same metrics.
absl::StatusOr<SchemaDifferences> CompareSchema(Database* database);

}  // namespace seedbed
