#include "absl/strings/str_cat.h"
#include "worker/engine/stacked_model.h"

namespace seedbed::engine {
namespace {

constexpr double kBlockScale = 0.5;

// h⁰ = E[a] + E[b];  hᵏ = hᵏ⁻¹ + ½·(W₂ᵏ f(W₁ᵏ LN(hᵏ⁻¹) + b₁ᵏ) + b₂ᵏ);  logits = V h^depth + c
class StackedResidualMlp final : public StackedModel {
 public:
  StackedResidualMlp(const ModelParameters& model, int64_t symbols, int64_t classes)
      : model_(model), symbols_(symbols), classes_(classes) {}

  ModelLayout Layout() const override { return ResidualMlpLayout(model_, symbols_, classes_); }

  at::Tensor Logits(const std::vector<at::Tensor>& parameters, const at::Tensor& a,
                    const at::Tensor& b) const override {
    ParameterReader next(parameters);
    const at::Tensor& embedding = next.Next();
    at::Tensor h = Lookup(embedding, a) + Lookup(embedding, b);
    for (int64_t i = 0; i < model_.depth; ++i) {
      const at::Tensor normed = model_.layer_norm ? LayerNorm(h, &next) : h;
      const at::Tensor inner = Activate(model_.activation, Linear(normed, &next));
      h = at::add(h, Linear(inner, &next), kBlockScale);
    }
    if (model_.final_norm) h = LayerNorm(h, &next);
    return Linear(h, &next);
  }

  double ValuesPerExample() const override {
    const int64_t of_block = 4 * model_.width + 2 * model_.inner_width;  // two of LayerNorm, the output, the sum
    return static_cast<double>(model_.depth * of_block + 4 * model_.width + classes_);
  }

 private:
  const ModelParameters model_;
  const int64_t symbols_;
  const int64_t classes_;
};

}  // namespace

ModelLayout ResidualMlpLayout(const ModelParameters& model, int64_t symbols, int64_t classes) {
  ModelLayout layout;
  AppendNormal(&layout, "embedding.weight", {symbols, model.width}, 1);
  for (int64_t i = 0; i < model.depth; ++i) {
    const std::string block = absl::StrCat("layers.", i);
    if (model.layer_norm) AppendLayerNorm(&layout, absl::StrCat(block, ".norm"), model.width);
    AppendLinear(&layout, absl::StrCat(block, ".linear1"), model.inner_width, model.width);
    AppendLinear(&layout, absl::StrCat(block, ".linear2"), model.width, model.inner_width);
  }
  if (model.final_norm) AppendLayerNorm(&layout, "norm", model.width);
  AppendLinear(&layout, "output", classes, model.width);
  return layout;
}

std::unique_ptr<StackedModel> MakeStackedResidualMlp(const ModelParameters& model, int64_t symbols, int64_t classes) {
  return std::make_unique<StackedResidualMlp>(model, symbols, classes);
}

}  // namespace seedbed::engine
