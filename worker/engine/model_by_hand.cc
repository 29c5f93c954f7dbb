#include "worker/engine/model_by_hand.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace seedbed::engine {

// Tensors of a slab by name.
class ModelByHand::Parameters {
 public:
  Parameters(const ModelLayout& layout, const Vector& slab) : layout_(layout), slab_(slab) {}

  const TensorLayout& Layout(const std::string& name) const {
    for (const TensorLayout& tensor : layout_.tensors) {
      if (tensor.name == name) return tensor;
    }
    std::abort();  // a test that asks for what is not there
  }
  const double* At(const std::string& name) const { return slab_.data() + Layout(name).offset; }

 private:
  const ModelLayout& layout_;
  const Vector& slab_;
};

ModelByHand::ModelByHand(const ModelParameters& model, int64_t symbols, int64_t classes, const ModelLayout& layout)
    : model_(model), symbols_(symbols), classes_(classes), layout_(layout) {}

double ModelByHand::Activated(double z) const {
  switch (model_.activation) {
    case Activation::kRelu:
      return std::max(z, 0.0);
    case Activation::kTanh:
      return std::tanh(z);
    case Activation::kQuadratic:
      return z * z;
    case Activation::kGelu:
      break;
  }
  return z * 0.5 * std::erfc(-z / std::sqrt(2.0));
}

ModelByHand::Vector ModelByHand::Linear(const Parameters& parameters, const std::string& weight,
                                        const std::string& bias, const Vector& x) const {
  const double* w = parameters.At(weight);
  const double* b = parameters.At(bias);
  Vector y(static_cast<size_t>(parameters.Layout(weight).shape[0]));
  for (size_t i = 0; i < y.size(); ++i) {
    y[i] = b[i];
    for (size_t j = 0; j < x.size(); ++j) y[i] += w[i * x.size() + j] * x[j];
  }
  return y;
}

ModelByHand::Vector ModelByHand::Linear(const Parameters& parameters, const std::string& name, const Vector& x) const {
  return Linear(parameters, name + ".weight", name + ".bias", x);
}

ModelByHand::Vector ModelByHand::LayerNorm(const Parameters& parameters, const std::string& name,
                                           const Vector& x) const {
  const auto n = static_cast<double>(x.size());
  double mean = 0;
  for (const double value : x) mean += value / n;
  double variance = 0;
  for (const double value : x) variance += (value - mean) * (value - mean) / n;
  const double* weight = parameters.At(name + ".weight");
  const double* bias = parameters.At(name + ".bias");
  Vector y(x.size());
  for (size_t i = 0; i < x.size(); ++i) y[i] = (x[i] - mean) / std::sqrt(variance + 1e-5) * weight[i] + bias[i];
  return y;
}

ModelByHand::Vector ModelByHand::Row(const Parameters& parameters, const std::string& name, int64_t row) const {
  const double* begin = parameters.At(name) + row * model_.width;
  return {begin, begin + model_.width};
}

ModelByHand::Vector ModelByHand::MlpLogits(const Parameters& parameters, int32_t a, int32_t b) const {
  Vector h = Row(parameters, "embedding.weight", a);
  const Vector other = Row(parameters, "embedding.weight", b);
  for (size_t i = 0; i < h.size(); ++i) h[i] += other[i];
  for (int64_t layer = 0; layer < model_.depth; ++layer) {
    h = Linear(parameters, absl::StrCat("layers.", layer), h);
    for (double& value : h) value = Activated(value);
  }
  return Linear(parameters, "output", h);
}

ModelByHand::Vector ModelByHand::ResidualMlpLogits(const Parameters& parameters, int32_t a, int32_t b) const {
  Vector h = Row(parameters, "embedding.weight", a);
  const Vector other = Row(parameters, "embedding.weight", b);
  for (size_t i = 0; i < h.size(); ++i) h[i] += other[i];
  for (int64_t block = 0; block < model_.depth; ++block) {
    const std::string name = absl::StrCat("layers.", block);
    Vector inner =
        Linear(parameters, name + ".linear1", model_.layer_norm ? LayerNorm(parameters, name + ".norm", h) : h);
    for (double& value : inner) value = Activated(value);
    const Vector step = Linear(parameters, name + ".linear2", inner);
    for (size_t i = 0; i < h.size(); ++i) h[i] += step[i] / 2;
  }
  if (model_.final_norm) h = LayerNorm(parameters, "norm", h);
  return Linear(parameters, "output", h);
}

std::vector<ModelByHand::Vector> ModelByHand::Attention(const Parameters& parameters, const std::string& name,
                                                        const std::vector<Vector>& sequence) const {
  const auto width = static_cast<size_t>(model_.width);
  const size_t head_width = width / static_cast<size_t>(model_.heads);
  std::vector<Vector> projected;  // q, k and v of each position, one after another
  for (const Vector& x : sequence) {
    projected.push_back(Linear(parameters, name + ".in_proj_weight", name + ".in_proj_bias", x));
  }
  std::vector<Vector> results;
  for (size_t to = 0; to < sequence.size(); ++to) {
    const size_t last = model_.causal ? to : sequence.size() - 1;
    Vector mixed(width, 0.0);
    for (size_t head = 0; head < width; head += head_width) {
      Vector share;
      double sum = 0;
      for (size_t from = 0; from <= last; ++from) {
        double score = 0;
        for (size_t i = head; i < head + head_width; ++i) score += projected[to][i] * projected[from][width + i];
        share.push_back(std::exp(score / std::sqrt(static_cast<double>(head_width))));
        sum += share.back();
      }
      for (size_t from = 0; from <= last; ++from) {
        for (size_t i = head; i < head + head_width; ++i) {
          mixed[i] += share[from] / sum * projected[from][2 * width + i];
        }
      }
    }
    results.push_back(Linear(parameters, name + ".out_proj", mixed));
  }
  return results;
}

void ModelByHand::EncoderLayer(const Parameters& parameters, const std::string& name,
                               std::vector<Vector>* sequence) const {
  const bool is_pre = model_.layer_norm && model_.norm == NormPlace::kPre;
  const bool is_post = model_.layer_norm && model_.norm == NormPlace::kPost;
  std::vector<Vector> inputs = *sequence;
  if (is_pre) {
    for (Vector& x : inputs) x = LayerNorm(parameters, name + ".norm1", x);
  }
  const std::vector<Vector> attended = Attention(parameters, name + ".self_attn", inputs);
  for (size_t position = 0; position < sequence->size(); ++position) {
    Vector& x = (*sequence)[position];
    for (size_t i = 0; i < x.size(); ++i) x[i] += attended[position][i];
    if (is_post) x = LayerNorm(parameters, name + ".norm1", x);
    Vector inner = Linear(parameters, name + ".linear1", is_pre ? LayerNorm(parameters, name + ".norm2", x) : x);
    for (double& value : inner) value = Activated(value);
    const Vector step = Linear(parameters, name + ".linear2", inner);
    for (size_t i = 0; i < x.size(); ++i) x[i] += step[i];
    if (is_post) x = LayerNorm(parameters, name + ".norm2", x);
  }
}

ModelByHand::Vector ModelByHand::TransformerLogits(const Parameters& parameters, int32_t a, int32_t b) const {
  std::vector<int64_t> tokens = {a, b};
  if (model_.equals_token) tokens.push_back(symbols_);
  std::vector<Vector> sequence;
  for (size_t position = 0; position < tokens.size(); ++position) {
    sequence.push_back(Row(parameters, "embedding.weight", tokens[position]));
    const Vector place = Row(parameters, "positions.weight", static_cast<int64_t>(position));
    for (size_t i = 0; i < place.size(); ++i) sequence.back()[i] += place[i];
  }
  for (int64_t layer = 0; layer < model_.depth; ++layer) {
    EncoderLayer(parameters, absl::StrCat("layers.", layer), &sequence);
  }
  if (model_.final_norm) {
    for (Vector& x : sequence) x = LayerNorm(parameters, "norm", x);
  }
  if (model_.readout == Readout::kLast) return Linear(parameters, "output", sequence.back());
  Vector mean(static_cast<size_t>(model_.width), 0.0);
  for (const Vector& x : sequence) {
    for (size_t i = 0; i < mean.size(); ++i) mean[i] += x[i] / static_cast<double>(sequence.size());
  }
  return Linear(parameters, "output", mean);
}

std::vector<double> ModelByHand::Logits(const std::vector<double>& slab, int32_t a, int32_t b) const {
  const Parameters parameters(layout_, slab);
  if (model_.kind == "mlp") return MlpLogits(parameters, a, b);
  if (model_.kind == "residual_mlp") return ResidualMlpLogits(parameters, a, b);
  return TransformerLogits(parameters, a, b);
}

double ModelByHand::Loss(const std::vector<double>& slab, const std::vector<Example>& examples) const {
  double loss = 0;
  for (const Example& example : examples) {
    const Vector logits = Logits(slab, example.a, example.b);
    const double largest = *std::max_element(logits.begin(), logits.end());
    double sum = 0;
    for (const double logit : logits) sum += std::exp(logit - largest);
    loss +=
        (largest + std::log(sum) - logits[static_cast<size_t>(example.label)]) / static_cast<double>(examples.size());
  }
  return loss;
}

}  // namespace seedbed::engine
