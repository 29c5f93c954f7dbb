#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "worker/engine/stacked_model.h"
#include "worker/engine/stacked_product.h"

namespace seedbed::engine {
namespace {

// An encoder as PyTorch's nn.TransformerEncoder without dropout, on the sequence a, b (and "=", symbol number
// `symbols`). Rows of h are (example, position), positions fastest.
class StackedTransformer final : public StackedModel {
 public:
  StackedTransformer(const ModelParameters& model, int64_t symbols, int64_t classes)
      : model_(model), symbols_(symbols), classes_(classes), length_(model.equals_token ? 3 : 2) {}

  ModelLayout Layout() const override { return TransformerLayout(model_, symbols_, classes_); }

  at::Tensor Logits(const std::vector<at::Tensor>& parameters, const at::Tensor& a,
                    const at::Tensor& b) const override {
    ParameterReader next(parameters);
    std::vector<at::Tensor> sequence = {a, b};
    if (model_.equals_token) sequence.push_back(at::full_like(a, symbols_));
    const at::Tensor tokens = at::stack(sequence, 1).flatten();  // [n · length]
    const at::Tensor embedded = Lookup(next.Next(), tokens);
    const int64_t replicas = embedded.size(0);
    const at::Tensor& positions = next.Next();  // [K, length, width]
    const std::vector<int64_t> by_position = {replicas, a.size(0), length_, model_.width};
    at::Tensor h = (embedded.reshape(by_position) + positions.unsqueeze(1)).reshape({replicas, -1, model_.width});
    for (int64_t i = 0; i < model_.depth; ++i) h = Layer(h, &next);
    if (model_.final_norm) h = LayerNorm(h, &next);
    const at::Tensor outputs = h.reshape(by_position);
    const bool is_mean = model_.readout == Readout::kMean;
    return Linear(is_mean ? outputs.mean(2) : outputs.select(2, length_ - 1), &next);
  }

  double ValuesPerExample() const override {
    // Of a layer, for each position: two of each LayerNorm, q, k and v, the heads' and both sublayers' outputs, two
    // sums; the feed-forward part before and after its activation. Scores and their softmax are apart.
    const int64_t of_position = 12 * model_.width + 2 * model_.feed_forward + 2 * model_.heads * length_;
    return static_cast<double>(length_ * (model_.depth * of_position + 4 * model_.width) + model_.width + classes_);
  }

 private:
  // One layer's parameters lie in the order of attention, feed-forward, norms, so that the norms are read ahead.
  at::Tensor Layer(const at::Tensor& h, ParameterReader* next) const {
    ParameterReader attention = *next;
    ParameterReader feed_forward = *next;
    for (int i = 0; i < 4; ++i) feed_forward.Next();
    ParameterReader norms = feed_forward;
    for (int i = 0; i < 4; ++i) norms.Next();
    const bool is_pre = model_.layer_norm && model_.norm == NormPlace::kPre;
    const bool is_post = model_.layer_norm && model_.norm == NormPlace::kPost;

    at::Tensor sum = h + Attention(is_pre ? LayerNorm(h, &norms) : h, &attention);
    if (is_post) sum = LayerNorm(sum, &norms);
    const at::Tensor inner = Activate(model_.activation, Linear(is_pre ? LayerNorm(sum, &norms) : sum, &feed_forward));
    sum = sum + Linear(inner, &feed_forward);
    if (is_post) sum = LayerNorm(sum, &norms);
    *next = norms;
    return sum;
  }

  at::Tensor Attention(const at::Tensor& h, ParameterReader* next) const {
    const int64_t replicas = h.size(0);
    const int64_t head_width = model_.width / model_.heads;
    // [3, K, n, heads, length, head_width]
    const at::Tensor projected =
        Linear(h, next).reshape({replicas, -1, length_, 3, model_.heads, head_width}).permute({3, 0, 1, 4, 2, 5});
    const at::Tensor query = projected[0] * (1 / std::sqrt(static_cast<double>(head_width)));
    at::Tensor scores = Product(query, projected[1].transpose(-2, -1));
    if (model_.causal) {
      const at::Tensor later = at::ones({length_, length_}, h.options().dtype(at::kBool)).triu(1);
      scores = scores.masked_fill(later, -std::numeric_limits<double>::infinity());
    }
    const at::Tensor mixed = Product(at::softmax(scores, -1), projected[2]);
    return Linear(mixed.permute({0, 1, 3, 2, 4}).reshape({replicas, -1, model_.width}), next);
  }

  const ModelParameters model_;
  const int64_t symbols_;
  const int64_t classes_;
  const int64_t length_;
};

void AppendEncoderLayer(ModelLayout* layout, const std::string& name, const ModelParameters& model) {
  const int64_t width = model.width;
  const std::string attention = absl::StrCat(name, ".self_attn");
  AppendUniform(layout, absl::StrCat(attention, ".in_proj_weight"), {3 * width, width},
                std::sqrt(6 / static_cast<double>(width + 3 * width)));  // Xavier, on all three at once
  AppendConstant(layout, absl::StrCat(attention, ".in_proj_bias"), {3 * width}, 0);
  AppendUniform(layout, absl::StrCat(attention, ".out_proj.weight"), {width, width},
                1 / std::sqrt(static_cast<double>(width)));
  AppendConstant(layout, absl::StrCat(attention, ".out_proj.bias"), {width}, 0);
  AppendLinear(layout, absl::StrCat(name, ".linear1"), model.feed_forward, width);
  AppendLinear(layout, absl::StrCat(name, ".linear2"), width, model.feed_forward);
  if (!model.layer_norm) return;
  AppendLayerNorm(layout, absl::StrCat(name, ".norm1"), width);
  AppendLayerNorm(layout, absl::StrCat(name, ".norm2"), width);
}

}  // namespace

ModelLayout TransformerLayout(const ModelParameters& model, int64_t symbols, int64_t classes) {
  ModelLayout layout;
  const int64_t extra = model.equals_token ? 1 : 0;
  AppendNormal(&layout, "embedding.weight", {symbols + extra, model.width}, 1);
  AppendNormal(&layout, "positions.weight", {2 + extra, model.width}, model.position_scale);
  for (int64_t i = 0; i < model.depth; ++i) AppendEncoderLayer(&layout, absl::StrCat("layers.", i), model);
  if (model.final_norm) AppendLayerNorm(&layout, "norm", model.width);
  AppendLinear(&layout, "output", classes, model.width);
  return layout;
}

std::unique_ptr<StackedModel> MakeStackedTransformer(const ModelParameters& model, int64_t symbols, int64_t classes) {
  return std::make_unique<StackedTransformer>(model, symbols, classes);
}

}  // namespace seedbed::engine
