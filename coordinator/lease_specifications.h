#pragma once

#include <cstdint>
#include <list>
#include <memory>
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

  // ComposeSpecification of the three.
  absl::StatusOr<std::string> Specification(const core::SweepEntry& sweep, ConfigurationId configuration, int64_t seed);

 private:
  // What stands around the parameters and the seed in every specification of a sweep.
  struct Frame {
    std::string template_json;
    std::string before;
    std::string between;
    std::string after;
  };
  absl::StatusOr<const Frame*> FrameOf(const core::SweepEntry& sweep);
  // Valid until the next call.
  absl::StatusOr<const std::string*> Parameters(ConfigurationId configuration);
  absl::Status Read(ConfigurationId first);

  using Entry = std::pair<ConfigurationId, std::string>;
  Reader* reader_;
  absl::flat_hash_map<SweepId, std::unique_ptr<Frame>> frames_;
  std::list<Entry> recent_;  // last used first
  absl::flat_hash_map<ConfigurationId, std::list<Entry>::iterator> by_configuration_;
  // Runs are leased in the order of their configurations: after two misses in a row more is read at a time.
  ConfigurationId next_;    // after what was read last
  int64_t read_ahead_ = 1;  // configurations
};

}  // namespace seedbed
