#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "worker/engine/run_parameters.h"

namespace seedbed::engine {

// One parameter tensor of a model, and where it lies in the slab that holds them all.
struct TensorLayout {
  enum class Start { kNormal, kUniform };
  std::string name;            // the name that the same model has as a PyTorch module
  std::vector<int64_t> shape;  // row-major
  int64_t offset = 0;          // in elements; a multiple of kSlabAlignment
  int64_t size = 0;            // in elements
  // Initial values: normal with standard deviation `scale`, or uniform in [-scale, scale).
  Start start = Start::kUniform;
  double scale = 1;
};

// All parameters of a model as one contiguous slab. Elements between tensors are 0 and stay 0 under every optimiser.
struct ModelLayout {
  std::vector<TensorLayout> tensors;
  int64_t slab_size = 0;        // in elements
  int64_t parameter_count = 0;  // without the gaps
};

inline constexpr int64_t kSlabAlignment = 16;  // elements: 64 bytes of float32, a cache line

// mlp: embedding [symbols, width], N(0, 1); `depth` layers of weight [width, width] and bias [width]; output weight
// [classes, width] and bias [classes]; linear ones U(±1/√fan_in), as PyTorch's defaults have it.
ModelLayout MlpLayout(const ModelParameters& model, int64_t symbols, int64_t classes);

// The slab's initial values: a function of (seed, layout, init_scale) alone, computed in double. `init_scale`
// multiplies all.
std::vector<double> InitialSlab(const ModelLayout& layout, uint64_t seed, double init_scale);

}  // namespace seedbed::engine
