#pragma once

#include <list>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "common/base/json.h"
#include "coordinator/core/state.h"
#include "coordinator/storage/reader.h"

namespace seedbed {

// Canonical ToJson(RunSpecification) from its parts; DATA_LOSS if a part is no valid JSON of its kind.
absl::StatusOr<std::string> ComposeSpecification(const std::string& template_json, const std::string& parameters_json,
                                                 int64_t seed);

// Writes out what a lease is for. Parameters lie in the database only, so the last used ones are kept. Not thread-safe.
class LeaseSpecifications {
 public:
  // `reader` outlives this.
  explicit LeaseSpecifications(Reader* reader) : reader_(reader) {}

  absl::StatusOr<std::string> Specification(const core::SweepEntry& sweep, ConfigurationId configuration, int64_t seed);

 private:
  absl::StatusOr<std::string> Parameters(ConfigurationId configuration);

  using Entry = std::pair<ConfigurationId, std::string>;
  Reader* reader_;
  std::list<Entry> recent_;  // last used first
  absl::flat_hash_map<ConfigurationId, std::list<Entry>::iterator> by_configuration_;
};

}  // namespace seedbed
