#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "ATen/ATen.h"
#include "worker/engine/learner.h"

namespace seedbed::engine {

// Private to the engine: the optimisers on stacked [K, …] tensors, each replica with its own hyperparameters, schedule
// and count of updates. From the gradient g of the loss in parameters θ, in this order:
//
//  Grokfast      g ← g + λ·s, s ← α·s + (1 − α)·g, s starting as the first g (grokfast_lambda > 0). Lee, Kang, Kim and
//                Lee, "Grokfast: Accelerated Grokking by Amplifying Slow Gradients", arXiv:2405.20233.
//  ⊥Grad         g ← g − (θ·g / θ·θ)·θ, each tensor by itself (perpendicular_gradient). Prieto, Barsbey, Mediano and
//                Birdal, "Grokking at the Edge of Numerical Stability", ICLR 2025; as in the paper, without the
//                rescaling to the length of g that its code adds.
//  clipping      g ← g·min(1, clip_norm / (‖g‖ + 1e-6)), ‖g‖ over all tensors (clip_norm > 0)
//  the optimiser, with η the scheduled learning rate:
//   kSgd    d = g + λθ; m ← μm + d; θ ← θ − η·(d + μm if nesterov, else m), as torch.optim.SGD without dampening
//   kAdam   as kAdamw without its first step, on g + λθ, as torch.optim.Adam
//   kAdamw  θ ← (1 − ηλ)θ; m ← β₁m + (1−β₁)g; v ← β₂v + (1−β₂)g²; θ ← θ − η·m/(1−β₁ᵗ) / (√v/√(1−β₂ᵗ) + ε)
//   kMuon   for hidden matrices (IsHiddenMatrix): m ← μm + (1−μ)g; u = (1−μ)g + μm if nesterov, else m;
//           θ ← (1 − ηλ)θ − η·0.2·√max(rows, columns)·NewtonSchulz(u); kAdamw for all other tensors. Jordan et al.,
//           "Muon: An optimizer for hidden layers in neural networks" (2024), with the scale of Liu et al., "Muon is
//           Scalable for LLM Training", arXiv:2502.16982: the update's root mean square is then about AdamW's, and one
//           learning rate and decay serve all tensors. The stacked query, key and value weights count as three.
//
// A step is Prepare, Apply, Count. Only Apply works on the device, and it makes the same operations on the same tensors
// each time, so that it can be recorded and repeated: what changes from step to step lies in one small table that
// Prepare fills.
class StackedOptimizer {
 public:
  // `parameters`: [K, …] each, in the order of `layout`; they are updated in place. `replicas`: K entries of one kind.
  StackedOptimizer(std::vector<at::Tensor> parameters, const ModelLayout& layout,
                   const std::vector<ReplicaSettings>& replicas);

  // For a step of the replicas with which[k], or of all. Returns whether Apply will make other operations than it made
  // after the last Prepare.
  bool Prepare(const std::vector<bool>* which = nullptr);
  // `gradients` in the order of the parameters; they are left as they are. Parameters and memory of replicas that are
  // not stepped stay to the bit, whatever their gradients are.
  void Apply(const std::vector<at::Tensor>& gradients);
  void Count(const std::vector<bool>* which = nullptr);

  // Starts a replica anew, in place: no updates, empty memory. The kind, and whether Grokfast is on, stay those of all.
  void Refill(int replica, const OptimizerParameters& settings);

  // Updates made of a replica.
  int64_t updates(int replica) const { return updates_[static_cast<size_t>(replica)]; }
  void set_updates(int replica, int64_t updates) { updates_[static_cast<size_t>(replica)] = updates; }
  // What it remembers beside the updates, by the names of OptimizerSlabs; the tensors in the order of the parameters,
  // shared with it, so that what is copied into them is what the next step goes on from.
  std::map<std::string, std::vector<at::Tensor>> Memory() const;

 private:
  // What a replica's step depends on beside its tensors: the rows of the table.
  enum Number : int64_t {
    kIsStepped,
    kRate,
    kShrink,  // 1 − ηλ
    kDecay,
    kMomentum,
    kFresh,  // 1 − μ
    kNesterov,
    kBeta1,
    kFresh1,
    kBeta2,
    kFresh2,
    kMeanRate,   // η/(1 − β₁ᵗ)
    kRootScale,  // 1/√(1 − β₂ᵗ)
    kEpsilon,
    kClipNorm,
    kSlowKeep,
    kSlowFresh,
    kSlowWeight,
    kPerpendicular,
    kNumbers
  };
  // Which operations Apply makes.
  struct Form {
    bool holds_some = false;
    bool clips = false;
    bool has_nesterov = false;
    bool has_perpendicular = false;
    bool operator==(const Form& other) const {
      return holds_some == other.holds_some && clips == other.clips && has_nesterov == other.has_nesterov &&
             has_perpendicular == other.has_perpendicular;
    }
  };

  void FillNumbers(const OptimizerParameters& settings, int64_t updates, double* column, int64_t stride) const;
  // A row as [K, 1, …], to be broadcast against `like`, in its type.
  at::Tensor Row(Number number, const at::Tensor& like) const;
  // target ← value, but for the replicas that are held.
  void Assign(const at::Tensor& value, at::Tensor* target) const;
  template <typename F>
  bool Any(F f) const;

  void AmplifySlow(std::vector<at::Tensor>* gradients);
  void RemoveParallel(std::vector<at::Tensor>* gradients) const;
  void Clip(std::vector<at::Tensor>* gradients) const;
  void SgdStep(size_t i, const at::Tensor& gradient);
  void AdamStep(size_t i, const at::Tensor& gradient);
  void MuonStep(size_t i, const at::Tensor& gradient);
  // `momentum` itself, or a step ahead of it where Nesterov's form is wanted.
  at::Tensor Direction(const at::Tensor& momentum, const at::Tensor& fresh) const;

  std::vector<at::Tensor> parameters_;
  std::vector<TensorLayout> tensors_;
  std::vector<OptimizerParameters> settings_;   // by replica
  std::vector<int64_t> updates_;                // by replica
  std::vector<at::Tensor> momentum_;            // kSgd, kMuon
  std::vector<at::Tensor> mean_, mean_square_;  // kAdam, kAdamw, kMuon
  std::vector<at::Tensor> slow_;                // Grokfast's average
  at::Tensor numbers_;                          // [kNumbers, K], double, on the parameters' device
  at::Tensor typed_numbers_;                    // the same in the parameters' type, while Apply runs
  at::Tensor is_stepped_;                       // bool [K], while Apply runs
  Form form_;
};

// Whether Muon takes it as a matrix: two-dimensional, and neither an embedding (of symbols or positions) nor the output
// layer's weight.
bool IsHiddenMatrix(const TensorLayout& tensor);

// Of matrices [..., m, n] with singular value decomposition U·S·Vᵀ, about U·Vᵀ: five steps of X ← aX + (bA + cA²)X with
// A = XXᵀ, from X / (‖X‖ + 1e-7), and (a, b, c) = (3.4445, −4.7750, 2.0315) as Jordan et al. publish them. They take
// singular values from about 0.003 of the norm upwards to between 0.68 and 1.13, no nearer to 1. In the matrices' own
// precision (the published code computes in bfloat16).
at::Tensor NewtonSchulz(const at::Tensor& matrices);

}  // namespace seedbed::engine
