#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/json.h"
#include "common/sweep_file/mistakes.h"
#include "common/sweep_file/yaml_reader.h"

// Distributions of numbers, with the names and meanings that they have in W&B sweeps.
namespace seedbed::sweep_file {

struct Distribution {
  // The base distribution of X; `inverse` and `logarithm` say how X becomes the value.
  enum class Kind { kIntegerUniform, kUniform, kLogUniform, kInverseLogUniform, kNormal, kLogNormal };
  Kind kind = Kind::kUniform;
  std::string name;  // as people write it, e.g. "q_log_uniform_values"
  Location location;
  // Of the value itself for kIntegerUniform and kUniform; of its natural logarithm for kLogUniform (W&B's log_uniform
  // states logarithms and log_uniform_values states values; both end up here); of minus its logarithm for
  // kInverseLogUniform.
  double minimum = 0;
  double maximum = 0;
  int64_t integer_minimum = 0;  // kIntegerUniform
  int64_t integer_maximum = 0;
  double mu = 0;  // kNormal; of the logarithm for kLogNormal
  double sigma = 1;
  std::optional<double> quantum;  // values are multiples of it
};

// Names of all distributions, `constant` and `categorical` included.
const std::vector<std::string>& DistributionNames();

// Reads distribution, min, max, mu, sigma and q from a parameter's map. Without `distribution`, min and max mean
// int_uniform if both are written as integers and uniform otherwise. nullopt after a mistake.
std::optional<Distribution> ReadDistribution(const YamlNode& map, const std::string& what, Mistakes* mistakes);

// How many values a grid takes from it, for int_uniform (all integers from min to max) and q_uniform (min, min + q, …
// below max, as W&B has it); nullopt for the others, which only `method: random` can use. Saturates at 2^63 - 1.
std::optional<int64_t> GridLength(const Distribution& distribution);
// The value at `index` < GridLength.
Json GridValue(const Distribution& distribution, int64_t index);

// The value of point `index` of the parameter `name` in a random sweep: a pure function of the arguments, so other
// parameters, the order of keys and the number of points do not move it. Continuous values are rounded to 9 significant
// digits and multiples of q to 12, which hides the last bits, where mathematics libraries differ.
Json DrawValue(const Distribution& distribution, uint64_t random_seed, const std::string& name, int64_t index);

// A draw from {0, …, weights.size() - 1} in proportion to the weights (non-negative, sum above 0), in the same sense.
size_t DrawIndex(const std::vector<double>& weights, uint64_t random_seed, const std::string& name, int64_t index);
// With equal weights.
size_t DrawIndex(size_t count, uint64_t random_seed, const std::string& name, int64_t index);

}  // namespace seedbed::sweep_file
