#pragma once

#include <cstdint>

#include "worker/engine/run_parameters.h"

// How many floating-point operations the matrix products of a model take, written the way that a careful person would
// compute them: what depends on one symbol alone once per symbol, and in the transformer the feed-forward's second half
// on the mean over both positions. A learner may find something cheaper still.
namespace seedbed::engine {

struct ModelOperations {
  double per_symbols = 0;  // a forward pass, for all symbols
  double per_pair = 0;     // a forward pass, besides

  // Forward and backward: two more products of the same size for each.
  double Step(double pairs) const { return 3 * (per_symbols + pairs * per_pair); }
  // Forward over pairs, after a training pass that left what depends on symbols.
  double Evaluation(double pairs) const { return pairs * per_pair; }
};

ModelOperations OperationsOf(const ModelParameters& model, int64_t symbols, int64_t classes);

}  // namespace seedbed::engine
