#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/json.h"
#include "common/schema/run_specification.h"
#include "common/sweep_file/distribution.h"
#include "common/sweep_file/fields.h"
#include "common/sweep_file/mistakes.h"
#include "common/sweep_file/yaml_reader.h"

namespace seedbed::sweep_file {

// A parameter with values: a column of a zip, an item of an include or exclude entry, a condition of a `when`.
struct NamedValues {
  std::string name;
  Location location;
  std::vector<Scalar> values;
};

// A metric where the file names it.
struct NamedMetric {
  std::string name;
  Location location;
};

// One element of zip, include or exclude.
struct PointEntry {
  Location location;
  std::vector<NamedValues> items;
};

// One parameter of the section `parameters`. It has values or a distribution.
struct ParameterDraft {
  std::string name;  // dotted
  Location location;
  std::vector<Scalar> values;
  std::vector<double> probabilities;  // of the values; empty means equal
  std::optional<Distribution> distribution;
  std::vector<NamedValues> when;  // all must hold
};

// A sweep file as read: shapes and types are checked, names and values of parameters are not yet compared with the
// trainer's.
struct SweepDraft {
  std::string name;
  std::string description;
  bool is_random = false;
  uint64_t random_seed = 0;
  std::optional<int64_t> run_cap;
  RunTemplate shared;
  int64_t seed_count = 0;      // the number of seeds, before they are listed
  std::vector<int64_t> seeds;  // empty for `seeds: N`
  Location seeds_location;
  int64_t priority = 0;
  int64_t retries = 0;
  std::optional<int64_t> max_concurrent;
  std::string keep_checkpoints = "last";
  std::string numerics = "any";
  Json metric;
  std::vector<ParameterDraft> parameters;
  std::vector<PointEntry> zip;
  std::vector<PointEntry> include;
  std::vector<PointEntry> exclude;
  std::vector<NamedMetric> stop_metrics;  // of shared.stop
  Location points_location;               // of what spans the grid, for messages about its size
  Location exclude_location;
};

// The keys of a sweep file, in the order in which people read them.
const std::vector<std::string>& SweepKeys();

// Reads everything in the document; adds a mistake for whatever is wrong and goes on.
SweepDraft ReadDraft(const YamlNode& root, Mistakes* mistakes);

// The parts, in files of their own.
void ReadParameters(const YamlNode& node, std::vector<ParameterDraft>* parameters, Mistakes* mistakes);
void ReadPointEntries(const YamlNode& root, SweepDraft* draft, Mistakes* mistakes);
// `node` is nullptr if the file has no `stop`. Fills in shared.stop, which is never without the rule for losses that
// are not finite, and stop_metrics; trainer and metric intervals must have been read.
void ReadStopRules(const YamlNode* node, SweepDraft* draft, Mistakes* mistakes);
// False (with a mistake) if the trainer is known and measures no such metric.
bool CheckMetricName(const std::string& metric, const std::string& trainer, Location location, Mistakes* mistakes);

}  // namespace seedbed::sweep_file
