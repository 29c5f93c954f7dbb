#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "worker/engine/run_parameters.h"

namespace seedbed::engine {

// One parameter tensor of a model, and where it lies in the slab that holds them all.
struct TensorLayout {
  enum class Start { kNormal, kUniform, kConstant };
  std::string name;            // the name that the same model has as a PyTorch module
  std::vector<int64_t> shape;  // row-major
  int64_t offset = 0;          // in elements; a multiple of kSlabAlignment
  int64_t size = 0;            // in elements
  // Initial values: normal with standard deviation `scale`, uniform in [-scale, scale), or `scale` itself.
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

// Each adds to the layout what PyTorch's module of that name has, with its initial values.
// A tensor of normal draws, as nn.Embedding has it with deviation 1.
void AppendNormal(ModelLayout* layout, const std::string& name, std::vector<int64_t> shape, double deviation);
// A tensor of uniform draws in [-bound, bound).
void AppendUniform(ModelLayout* layout, const std::string& name, std::vector<int64_t> shape, double bound);
void AppendConstant(ModelLayout* layout, const std::string& name, std::vector<int64_t> shape, double value);
// name.weight [outputs, inputs] and name.bias [outputs], both U(±1/√inputs).
void AppendLinear(ModelLayout* layout, const std::string& name, int64_t outputs, int64_t inputs);
// name.weight [width], ones, and name.bias [width], zeros.
void AppendLayerNorm(ModelLayout* layout, const std::string& name, int64_t width);

// The layouts of the models, tensors in this order. w is the width.
// mlp: embedding.weight [symbols, w], N(0, 1); for each layer i the linear layers.i, w → w; the linear output, w →
// classes.
ModelLayout MlpLayout(const ModelParameters& model, int64_t symbols, int64_t classes);
// residual_mlp: embedding.weight; for each block i LayerNorm layers.i.norm (with layer_norm), the linear
// layers.i.linear1, w → inner_width, and layers.i.linear2, inner_width → w; LayerNorm norm (with final_norm); output.
ModelLayout ResidualMlpLayout(const ModelParameters& model, int64_t symbols, int64_t classes);
// transformer: embedding.weight [symbols, or symbols + 1 with equals_token, w]; positions.weight [2 or 3, w],
// N(0, position_scale); for each layer i, as nn.TransformerEncoderLayer names and starts them,
// layers.i.self_attn.in_proj_weight [3w, w], U(±√(6 / (w + 3w))), .in_proj_bias [3w], 0, .out_proj.weight [w, w],
// U(±1/√w), .out_proj.bias [w], 0, the linear layers.i.linear1, w → feed_forward, and linear2, feed_forward → w,
// LayerNorms layers.i.norm1 and norm2 (with layer_norm); LayerNorm norm (with final_norm); output.
ModelLayout TransformerLayout(const ModelParameters& model, int64_t symbols, int64_t classes);

// The one that model.kind names.
ModelLayout LayoutOf(const ModelParameters& model, int64_t symbols, int64_t classes);

// About how many numbers a step of training by autograd keeps for each example, besides parameters.
double ValuesPerExample(const ModelParameters& model, int64_t symbols, int64_t classes);

// The slab's initial values: a function of (seed, layout, init_scale) alone, computed in double. `init_scale`
// multiplies all draws, and leaves constants alone: LayerNorm starts as it is.
std::vector<double> InitialSlab(const ModelLayout& layout, uint64_t seed, double init_scale);

}  // namespace seedbed::engine
