#include "worker/engine/stacked_model.h"

namespace seedbed::engine {
namespace {

at::Tensor Activate(Activation activation, const at::Tensor& z) {
  switch (activation) {
    case Activation::kRelu:
      return at::relu(z);
    case Activation::kTanh:
      return at::tanh(z);
    case Activation::kGelu:
      break;
  }
  return at::gelu(z);  // the erf form
}

// h [K, n, inputs], weight [K, outputs, inputs], bias [K, outputs] -> [K, n, outputs]
at::Tensor Linear(const at::Tensor& h, const at::Tensor& weight, const at::Tensor& bias) {
  return at::baddbmm(bias.unsqueeze(1), h, weight.transpose(1, 2));
}

class StackedMlp final : public StackedModel {
 public:
  StackedMlp(const ModelParameters& model, int64_t symbols, int64_t classes)
      : model_(model), symbols_(symbols), classes_(classes) {}

  ModelLayout Layout() const override { return MlpLayout(model_, symbols_, classes_); }

  at::Tensor Logits(const std::vector<at::Tensor>& parameters, const at::Tensor& a,
                    const at::Tensor& b) const override {
    const at::Tensor& embedding = parameters[0];
    at::Tensor h = at::index_select(embedding, 1, a) + at::index_select(embedding, 1, b);
    size_t next = 1;
    for (int64_t i = 0; i < model_.depth; ++i, next += 2) {
      h = Activate(model_.activation, Linear(h, parameters[next], parameters[next + 1]));
    }
    return Linear(h, parameters[next], parameters[next + 1]);
  }

 private:
  const ModelParameters model_;
  const int64_t symbols_;
  const int64_t classes_;
};

}  // namespace

std::unique_ptr<StackedModel> MakeStackedModel(const ModelParameters& model, int64_t symbols, int64_t classes) {
  return std::make_unique<StackedMlp>(model, symbols, classes);
}

}  // namespace seedbed::engine
