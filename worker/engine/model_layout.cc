#include "worker/engine/model_layout.h"

#include <cmath>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/philox.h"
#include "worker/engine/random_streams.h"

namespace seedbed::engine {
namespace {

void Append(ModelLayout* layout, TensorLayout tensor) {
  tensor.size = 1;
  for (const int64_t extent : tensor.shape) tensor.size *= extent;
  tensor.offset = layout->slab_size;
  layout->slab_size += (tensor.size + kSlabAlignment - 1) / kSlabAlignment * kSlabAlignment;
  layout->parameter_count += tensor.size;
  layout->tensors.push_back(std::move(tensor));
}

void AppendLinear(ModelLayout* layout, const std::string& name, int64_t outputs, int64_t inputs) {
  TensorLayout weight;
  weight.name = absl::StrCat(name, ".weight");
  weight.shape = {outputs, inputs};
  weight.scale = 1 / std::sqrt(static_cast<double>(inputs));
  TensorLayout bias = weight;
  bias.name = absl::StrCat(name, ".bias");
  bias.shape = {outputs};
  Append(layout, std::move(weight));
  Append(layout, std::move(bias));
}

}  // namespace

ModelLayout MlpLayout(const ModelParameters& model, int64_t symbols, int64_t classes) {
  ModelLayout layout;
  TensorLayout embedding;
  embedding.name = "embedding.weight";
  embedding.shape = {symbols, model.width};
  embedding.start = TensorLayout::Start::kNormal;
  Append(&layout, std::move(embedding));
  for (int64_t i = 0; i < model.depth; ++i) AppendLinear(&layout, absl::StrCat("layers.", i), model.width, model.width);
  AppendLinear(&layout, "output", classes, model.width);
  return layout;
}

std::vector<double> InitialSlab(const ModelLayout& layout, uint64_t seed, double init_scale) {
  std::vector<double> slab(static_cast<size_t>(layout.slab_size), 0.0);
  for (size_t i = 0; i < layout.tensors.size(); ++i) {
    const TensorLayout& tensor = layout.tensors[i];
    PhiloxStream random(seed, kInitialisationStream + i);
    const double scale = init_scale * tensor.scale;
    for (int64_t j = 0; j < tensor.size; ++j) {
      const double draw =
          tensor.start == TensorLayout::Start::kNormal ? random.NextNormal() : 2 * random.NextUniform() - 1;
      slab[static_cast<size_t>(tensor.offset + j)] = scale * draw;
    }
  }
  return slab;
}

}  // namespace seedbed::engine
