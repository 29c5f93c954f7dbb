#include "worker/engine/model_layout.h"

#include <cmath>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/philox.h"
#include "worker/engine/random_streams.h"

namespace seedbed::engine {
namespace {

void Append(ModelLayout* layout, const std::string& name, std::vector<int64_t> shape, TensorLayout::Start start,
            double scale) {
  TensorLayout tensor;
  tensor.name = name;
  tensor.shape = std::move(shape);
  tensor.start = start;
  tensor.scale = scale;
  tensor.size = 1;
  for (const int64_t extent : tensor.shape) tensor.size *= extent;
  tensor.offset = layout->slab_size;
  layout->slab_size += (tensor.size + kSlabAlignment - 1) / kSlabAlignment * kSlabAlignment;
  layout->parameter_count += tensor.size;
  layout->tensors.push_back(std::move(tensor));
}

}  // namespace

void AppendNormal(ModelLayout* layout, const std::string& name, std::vector<int64_t> shape, double deviation) {
  Append(layout, name, std::move(shape), TensorLayout::Start::kNormal, deviation);
}

void AppendUniform(ModelLayout* layout, const std::string& name, std::vector<int64_t> shape, double bound) {
  Append(layout, name, std::move(shape), TensorLayout::Start::kUniform, bound);
}

void AppendConstant(ModelLayout* layout, const std::string& name, std::vector<int64_t> shape, double value) {
  Append(layout, name, std::move(shape), TensorLayout::Start::kConstant, value);
}

void AppendLinear(ModelLayout* layout, const std::string& name, int64_t outputs, int64_t inputs) {
  const double bound = 1 / std::sqrt(static_cast<double>(inputs));
  AppendUniform(layout, absl::StrCat(name, ".weight"), {outputs, inputs}, bound);
  AppendUniform(layout, absl::StrCat(name, ".bias"), {outputs}, bound);
}

void AppendLayerNorm(ModelLayout* layout, const std::string& name, int64_t width) {
  AppendConstant(layout, absl::StrCat(name, ".weight"), {width}, 1);
  AppendConstant(layout, absl::StrCat(name, ".bias"), {width}, 0);
}

std::vector<double> InitialSlab(const ModelLayout& layout, uint64_t seed, double init_scale) {
  std::vector<double> slab(static_cast<size_t>(layout.slab_size), 0.0);
  for (size_t i = 0; i < layout.tensors.size(); ++i) {
    const TensorLayout& tensor = layout.tensors[i];
    PhiloxStream random(seed, kInitialisationStream + i);
    const double scale = init_scale * tensor.scale;
    for (int64_t j = 0; j < tensor.size; ++j) {
      double& value = slab[static_cast<size_t>(tensor.offset + j)];
      switch (tensor.start) {
        case TensorLayout::Start::kNormal:
          value = scale * random.NextNormal();
          break;
        case TensorLayout::Start::kUniform:
          value = scale * (2 * random.NextUniform() - 1);
          break;
        case TensorLayout::Start::kConstant:
          value = tensor.scale;
          break;
      }
    }
  }
  return slab;
}

}  // namespace seedbed::engine
