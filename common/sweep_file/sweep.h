#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/json.h"
#include "common/schema/run_specification.h"
#include "common/sweep_file/configuration_list.h"

namespace seedbed {

// A checked sweep, whole. The order of configurations is the file's: grid order (last parameter fastest), then
// includes.
struct Sweep {
  std::string name;
  std::string description;
  RunTemplate shared;
  std::vector<int64_t> seeds;             // distinct, in the order given; `seeds: 3` is 0, 1, 2
  int64_t priority = 0;                   // higher first
  std::optional<int64_t> max_concurrent;  // runs at once, over all workers
  int64_t retries = 0;                    // further attempts at a run that has failed by itself
  std::string keep_checkpoints = "last";  // of a finished run: last, none, all
  std::string numerics = "any";           // where a run may be resumed: any, strict (same fingerprint only)
  Json metric;                            // {"name", "goal": "minimize"|"maximize"} or null
  // Canonical JSON of all that a name fixes: {"trainer", "budget", "stop", "metrics", "metric", "method"},
  // "random_seed" for a random sweep, and "retries" if not 0. So everything but the points and the seeds (description,
  // priority, max_concurrent, checkpoints and numerics are not fixed either).
  std::string fixed_json;
  ConfigurationList configurations;
  std::vector<std::string> warnings;  // what is allowed and hardly meant: "file:line:column: …"
  int64_t run_count() const { return static_cast<int64_t>(configurations.size() * seeds.size()); }
};

struct SweepLimits {
  int64_t most_file_bytes = 4 << 20;
  int64_t most_runs = 10'000'000;
  int64_t most_configurations = 2'000'000;  // each takes some 200 bytes here
  int64_t most_nodes = 1'000'000;           // YAML nodes after aliases are followed
  int most_depth = 64;
};

// Reads a sweep file. `file_name` stands in messages only. `overrides` are KEY=VALUE words of the command line, applied
// after the file, e.g. "seeds=3", "optimizer.weight_decay=1e-4,1e-3" (several values make an axis), "budget.steps=100".
// Errors are INVALID_ARGUMENT, each line "file:line:column: what was wrong, what was expected, the nearest known key";
// all mistakes that one reading can find, at most 50. Those of an override start "argument 'KEY=VALUE':column: ".
// (RESOURCE_EXHAUSTED for a grid, file or document beyond the limits, decided without building it).
absl::StatusOr<Sweep> ParseSweep(const std::string& text, const std::string& file_name,
                                 const std::vector<std::string>& overrides = {}, const SweepLimits& limits = {});

// What changed between the fixed parts of two versions of a sweep, one line each ("- budget.steps: 6000", "+
// budget.steps: 8000"); empty if nothing.
std::string DiffFixedParts(const std::string& old_fixed_json, const std::string& new_fixed_json);

}  // namespace seedbed
