#pragma once

#include <string>
#include <vector>

#include "worker/engine/model_layout.h"
#include "worker/engine/task.h"

// For tests: every model's forward pass written from its formulas in plain loops over doubles, one example at a time.
// It shares with the engine the names and places of tensors, and nothing else.
namespace seedbed::engine {

class ModelByHand {
 public:
  ModelByHand(const ModelParameters& model, int64_t symbols, int64_t classes, const ModelLayout& layout);

  // Of the pair (a, b), at the parameters of `slab`.
  std::vector<double> Logits(const std::vector<double>& slab, int32_t a, int32_t b) const;
  // Mean cross-entropy in nats.
  double Loss(const std::vector<double>& slab, const std::vector<Example>& examples) const;

 private:
  using Vector = std::vector<double>;
  class Parameters;
  double Activated(double z) const;
  Vector Linear(const Parameters& parameters, const std::string& weight, const std::string& bias,
                const Vector& x) const;
  Vector Linear(const Parameters& parameters, const std::string& name, const Vector& x) const;
  Vector LayerNorm(const Parameters& parameters, const std::string& name, const Vector& x) const;
  Vector Row(const Parameters& parameters, const std::string& name, int64_t row) const;
  Vector MlpLogits(const Parameters& parameters, int32_t a, int32_t b) const;
  Vector ResidualMlpLogits(const Parameters& parameters, int32_t a, int32_t b) const;
  Vector TransformerLogits(const Parameters& parameters, int32_t a, int32_t b) const;
  std::vector<Vector> Attention(const Parameters& parameters, const std::string& name,
                                const std::vector<Vector>& sequence) const;
  void EncoderLayer(const Parameters& parameters, const std::string& name, std::vector<Vector>* sequence) const;

  const ModelParameters model_;
  const int64_t symbols_;
  const int64_t classes_;
  const ModelLayout layout_;
};

}  // namespace seedbed::engine
