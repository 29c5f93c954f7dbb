#include "absl/strings/str_cat.h"
#include "worker/engine/stacked_model.h"

namespace seedbed::engine {
namespace {

// h⁰ = E[a] + E[b];  hᵏ = f(Wᵏ hᵏ⁻¹ + bᵏ);  logits = V h^depth + c
class StackedMlp final : public StackedModel {
 public:
  StackedMlp(const ModelParameters& model, int64_t symbols, int64_t classes)
      : model_(model), symbols_(symbols), classes_(classes) {}

  ModelLayout Layout() const override { return MlpLayout(model_, symbols_, classes_); }

  at::Tensor Logits(const std::vector<at::Tensor>& parameters, const at::Tensor& a,
                    const at::Tensor& b) const override {
    ParameterReader next(parameters);
    const at::Tensor& embedding = next.Next();
    at::Tensor h = Lookup(embedding, a) + Lookup(embedding, b);
    for (int64_t i = 0; i < model_.depth; ++i) h = Activate(model_.activation, Linear(h, &next));
    return Linear(h, &next);
  }

  double ValuesPerExample() const override {
    return static_cast<double>((2 * model_.depth + 2) * model_.width + classes_);
  }

 private:
  const ModelParameters model_;
  const int64_t symbols_;
  const int64_t classes_;
};

}  // namespace

ModelLayout MlpLayout(const ModelParameters& model, int64_t symbols, int64_t classes) {
  ModelLayout layout;
  AppendNormal(&layout, "embedding.weight", {symbols, model.width}, 1);
  for (int64_t i = 0; i < model.depth; ++i) AppendLinear(&layout, absl::StrCat("layers.", i), model.width, model.width);
  AppendLinear(&layout, "output", classes, model.width);
  return layout;
}

std::unique_ptr<StackedModel> MakeStackedMlp(const ModelParameters& model, int64_t symbols, int64_t classes) {
  return std::make_unique<StackedMlp>(model, symbols, classes);
}

}  // namespace seedbed::engine
