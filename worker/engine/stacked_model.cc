#include "worker/engine/stacked_model.h"

#include "worker/engine/stacked_product.h"

namespace seedbed::engine {
namespace {

constexpr double kLayerNormEpsilon = 1e-5;  // PyTorch's default

// Every model, by the value of model.kind; the schema allows no other.
struct KnownModel {
  const char* kind;
  std::unique_ptr<StackedModel> (*make)(const ModelParameters& model, int64_t symbols, int64_t classes);
};
constexpr KnownModel kModels[] = {
    {"mlp", MakeStackedMlp},
    {"residual_mlp", MakeStackedResidualMlp},
    {"transformer", MakeStackedTransformer},
};

}  // namespace

std::unique_ptr<StackedModel> MakeStackedModel(const ModelParameters& model, int64_t symbols, int64_t classes) {
  for (const KnownModel& known : kModels) {
    if (model.kind == known.kind) return known.make(model, symbols, classes);
  }
  return nullptr;
}

ModelLayout LayoutOf(const ModelParameters& model, int64_t symbols, int64_t classes) {
  return MakeStackedModel(model, symbols, classes)->Layout();
}

double ValuesPerExample(const ModelParameters& model, int64_t symbols, int64_t classes) {
  return MakeStackedModel(model, symbols, classes)->ValuesPerExample();
}

at::Tensor Activate(Activation activation, const at::Tensor& z) {
  switch (activation) {
    case Activation::kRelu:
      return at::relu(z);
    case Activation::kTanh:
      return at::tanh(z);
    case Activation::kQuadratic:
      return at::square(z);
    case Activation::kGelu:
      break;
  }
  return at::gelu(z);  // the erf form
}

at::Tensor Linear(const at::Tensor& h, ParameterReader* parameters) {
  const at::Tensor& weight = parameters->Next();
  const at::Tensor& bias = parameters->Next();
  return AddProduct(bias.unsqueeze(1), h, weight.transpose(1, 2));
}

at::Tensor LayerNorm(const at::Tensor& h, ParameterReader* parameters) {
  const at::Tensor& weight = parameters->Next();
  const at::Tensor& bias = parameters->Next();
  const at::Tensor normed = at::layer_norm(h, {h.size(-1)}, {}, {}, kLayerNormEpsilon);
  return at::addcmul(bias.unsqueeze(1), normed, weight.unsqueeze(1));
}

}  // namespace seedbed::engine
