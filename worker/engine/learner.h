#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/engine/learner_state.h"
#include "worker/engine/model_layout.h"
#include "worker/engine/run_parameters.h"
#include "worker/engine/task.h"

namespace seedbed::engine {

// Over the training examples that a measure looks at, at the current parameters. The loss of an example is its
// cross-entropy in nats, or the mean over classes of (logits − one-hot label)², so that the mean over examples is
// torch.nn.functional.mse_loss.
struct TrainMeasure {
  double loss = 0;  // mean
  int64_t correct = 0;
  int64_t examples = 0;
};

// Over one class of test examples.
struct TestPart {
  double loss_sum = 0;
  int64_t correct = 0;
  int64_t examples = 0;
};

struct TestMeasure {
  TestPart mirrored;  // the pair's mirror is trained on
  TestPart unseen;
};

// A replica: what it starts from and how it is updated. These may differ between the replicas of one learner; all else
// is shared.
struct ReplicaSettings {
  uint64_t seed = 0;
  double init_scale = 1;
  OptimizerParameters optimizer;  // `kind` is the same for all
};

// How the replicas of a learner are trained beside their own settings.
struct TrainingOptions {
  Loss loss = Loss::kCrossEntropy;
  int64_t batch_size = 0;  // 0, or all training examples and more: full batch
  MatmulPrecision matmul_precision = MatmulPrecision::kFull;
};

// Parameters, gradients and optimiser state of K replicas of one model on one task, stepped together. For each step:
// Forward, Backward, then Update; MeasureTraining, Evaluate, Logits, GradientNorms and ParameterRms in between. An
// example counts as answered correctly if its label's logit is the largest, the first among equals. Not thread-safe; a
// learner stays on the thread that made it. Allocation failures are thrown as the library throws them (std::bad_alloc,
// c10::Error).
class Learner {
 public:
  virtual ~Learner() = default;

  virtual int replicas() const = 0;
  // What each replica's parameters are and how they lie in a slab.
  virtual const ModelLayout& layout() const = 0;

  // Whether each update is made from all training examples.
  virtual bool full_batch() const { return true; }
  // The forward pass over the training examples of the coming update, at the current parameters; one entry per replica.
  virtual std::vector<TrainMeasure> Forward() = 0;
  // The gradient of the training loss. After Forward at the same parameters.
  virtual void Backward() = 0;
  // One step of the optimiser. After Backward at the same parameters.
  virtual void Update() = 0;
  // The forward pass over all training examples, at the current parameters. Where full_batch(), Forward says it already
  // and this may return nothing.
  virtual std::vector<TrainMeasure> MeasureTraining() { return {}; }
  // The forward pass over all test examples. After Forward at the same parameters, whose results it may use.
  virtual std::vector<TestMeasure> Evaluate() = 0;

  // Euclidean norm of the gradient over all parameters, without decay. After Backward.
  virtual std::vector<double> GradientNorms() = 0;
  // Root mean square over all parameters.
  virtual std::vector<double> ParameterRms() = 0;

  // Logits of any examples (labels are not looked at) at the current parameters, row-major [examples, classes]. May be
  // called between any of the above and changes nothing that they see.
  virtual std::vector<double> Logits(int replica, const std::vector<Example>& examples) = 0;

  // Slabs of one replica, converted to double. Gradient: after Backward.
  virtual std::vector<double> Parameters(int replica) const = 0;
  virtual std::vector<double> Gradient(int replica) const = 0;

  // What Restore takes: only Update and Restore change it, so it is the same before and after Forward, Backward and any
  // measure. A learner of the same task, model, precision and settings that is restored to it goes on with the same
  // bits, from a new Forward.
  virtual LearnerState State(int replica) const = 0;
  // Other replicas are untouched. INVALID_ARGUMENT as CheckState, and then nothing has changed.
  virtual absl::Status Restore(int replica, const LearnerState& state) = 0;
};

// Autograd on stacked [K, …] tensors: the meaning of every model, at any K >= 1.
std::unique_ptr<Learner> MakeReferenceLearner(const Task& task, const ModelParameters& model, Precision precision,
                                              const std::vector<ReplicaSettings>& replicas,
                                              const TrainingOptions& training = {});

// Whether a hand-written learner has all that `run` asks for. They train one replica on a CPU, full batch, on
// cross-entropy, at full matrix precision, with every optimiser but Muon:
//  - mlp
//  - residual_mlp with layer_norm
//  - transformer of one layer with layer_norm before each sublayer, two tokens that see each other, mean read-out, no
//    final_norm
bool FastSupports(const RunParameters& run);

// The hand-written learner of model.kind; the model must be one that FastSupports.
std::unique_ptr<Learner> MakeFastLearner(const Task& task, const ModelParameters& model, Precision precision,
                                         const ReplicaSettings& replica);

// About how much memory the learner that `run` asks for would take.
double NeededBytes(const RunParameters& run);

// The learner that `run` asks for: its own task, one replica. Errors as BuildTask, and RESOURCE_EXHAUSTED, before
// anything is allocated, if it needs more memory than the machine has: the kernel would kill the process rather than
// refuse it.
absl::StatusOr<std::unique_ptr<Learner>> MakeLearner(const RunParameters& run, uint64_t seed);

}  // namespace seedbed::engine
